"""A step's work on a GPU: queued at once, replayed as a CUDA graph while its tensors stay the same, read once."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field

import torch
from torch import Tensor

from consensus.arithmetic.engine import AdamWConstants

Work = Callable[..., Tensor]


def constants_tensor(constants: Sequence[AdamWConstants]) -> Tensor:
    """fp32 [n, 9], a row each."""
    return torch.tensor([astuple(row) for row in constants], dtype=torch.float32)


@dataclass(slots=True)
class DeviceQueue:
    """Runs work whose every tensor lies on one device. From the second time over the same tensors on, a CUDA graph
    replays what the second recorded; other tensors begin anew."""

    graphs: bool = True
    _inputs: list[Tensor] = field(default_factory=list)
    _held: list[Tensor] = field(default_factory=list)
    _graph: torch.cuda.CUDAGraph | None = None
    _result: Tensor | None = None

    def holds(self, held: Sequence[Tensor]) -> bool:
        """Whether the last work was over these very tensors, so that the next is a repetition."""
        return len(held) == len(self._held) and all(a is b for a, b in zip(held, self._held, strict=True))

    def run(self, work: Work, inputs: Sequence[Tensor], held: Sequence[Tensor], device: torch.device) -> list[int]:
        """``work(*inputs)`` -> its integers. ``inputs`` (on the CPU) are copied to the device; ``held`` are the tensors
        that the work reads and changes besides."""
        if not self.holds(held):
            self._graph, self._result = None, None
            self._held, self._inputs = list(held), [t.to(device) for t in inputs]
            return _read(work(*self._inputs))
        for kept, new in zip(self._inputs, inputs, strict=True):
            kept.copy_(new)
        if not self.graphs:
            return _read(work(*self._inputs))
        if self._graph is None or self._result is None:
            self._graph = torch.cuda.CUDAGraph()
            # Other threads of this process may use the GPU meanwhile.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._result = work(*self._inputs)
        self._graph.replay()
        return _read(self._result)


def _read(result: Tensor) -> list[int]:
    return [int(value) for value in result.tolist()]
