"""How layers are added on top of the model between two rounds, and taken away again: what is there stays as it is.

A new layer's two matrices that write into the residual stream are zero, so it adds exactly nothing (Net2Net, Chen et
al. 2016, calls this function preserving); the two that read from it come from the counter-based generator of the
initial weights, under a seed of this growth's own: its origin. Outer velocity of a new layer is zero.
"""

from dataclasses import dataclass, replace
from typing import Final

import torch

from consensus.errors import OuterStepError
from consensus.model.config import ModelConfig
from consensus.model.init import init_tensor
from consensus.training.outer import GlobalState
from consensus.training.resize import Change

ORIGIN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Growth:
    """What follows an outer step between two depths. ``config``: the architecture before; ``layers``: those afterwards;
    ``origin``: 32 bytes that name the growth, none where layers are taken away."""

    config: ModelConfig
    layers: int
    origin: bytes = b""

    def __post_init__(self) -> None:
        grows = self.layers > self.config.layers
        if not 0 < self.layers < 1_000 or self.layers == self.config.layers:
            raise OuterStepError(f"{self.config.layers} layers do not become {self.layers}")
        if len(self.origin) != (ORIGIN_BYTES if grows else 0):
            raise OuterStepError("layers are added under an origin of 32 bytes, and taken away under none")
        if grows and self.config.young:
            raise OuterStepError("layers are added once those of the last growth learn at the full rate")

    @property
    def added(self) -> int:
        """Layers more than before; negative where some are taken away."""
        return self.layers - self.config.layers

    def after(self, config: ModelConfig) -> ModelConfig:
        """The architecture of the next round; raises OuterStepError where the growth is another architecture's."""
        if config != self.config:
            raise OuterStepError(f"a growth of {self.config.name} does not follow {config.name} as it is")
        return replace(config.grown_up, layers=self.layers, young=max(self.added, 0), age=0)

    def new_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that is added, in order of names."""
        before = self.config.shapes()
        return {name: shape for name, shape in self.after(self.config).shapes().items() if name not in before}

    def state(self, state: GlobalState) -> GlobalState:
        """The whole global state. Tensors that stay are the very same objects; raises OuterStepError where ``state``
        is not one of the architecture before."""
        if {name: tuple(t.shape) for name, t in state.weights.items()} != self.config.shapes():
            raise OuterStepError(f"a state does not have the {self.config.layers} layers that this growth starts from")
        new = self.new_shapes()
        weights = state.weights | {name: init_tensor(name, shape, self.origin) for name, shape in new.items()}
        velocity = state.velocity | {name: torch.zeros(shape, dtype=torch.float32) for name, shape in new.items()}
        kept = self.after(self.config).shapes()
        return GlobalState({name: weights[name] for name in kept}, {name: velocity[name] for name in kept})


Transition = Change | Growth
"""What an outer step may end with."""
