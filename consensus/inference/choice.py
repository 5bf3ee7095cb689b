"""Which decoder this machine uses: each compiled one proves itself against the definition before it is taken."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic import choose_engine, library, numbers
from consensus.arithmetic.library import Library
from consensus.inference.compiled import CompiledDecoder
from consensus.inference.decoding import Decoder, Definition, Row
from consensus.inference.pace import Clock
from consensus.inference.sampling import Settings, choose
from consensus.model.config import ModelConfig

PROOF: Final = ModelConfig("proof", layers=2, width=144, heads=3, seq_len=64, batch=8)
"""Contracts over two blocks, in panels that are not all full; small enough to prove in a moment."""
_SLOTS: Final = 3
_STEPS: Final = ((1, 0, 0), (9, 1, 2), (1, 1, 1), (7, 5, 3), (1, 1, 0), (2, 0, 14), (1, 1, 1))
"""Rows of each slot in each step: groups of every size, prompts beside single tokens, more than one panel of keys."""


def choose_decoder(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    slots: int,
    threads: int = 0,
    max_isa: str | None = None,
    clock: Clock | None = None,
) -> Decoder:
    """The fastest decoder that is proven here; the definition where none is compiled. `clock` is for its `Pace`.

    Raises:
        InferenceError: the weights are not the model's. KernelError: nothing computes exactly here.
    """
    allowed = library.VARIANTS if max_isa is None else library.VARIANTS[library.VARIANTS.index(max_isa) :]
    for variant in allowed:
        loaded = library.load(variant)
        if loaded is not None and _proven(loaded):
            return CompiledDecoder(loaded, config, weights, slots, threads, clock)
    return Definition(config, weights, slots, choose_engine(threads, max_isa))


def proof_failure(loaded: Library) -> str | None:
    """Where the library's decoder differs from the definition; None where it does not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small gain nothing from a second one
    try:
        return _difference(loaded)
    finally:
        torch.set_num_threads(threads)


def _difference(loaded: Library) -> str | None:
    weights = proof_weights()
    mine = CompiledDecoder(loaded, PROOF, weights, _SLOTS)
    again = CompiledDecoder(loaded, PROOF, weights, _SLOTS)
    definition = Definition(PROOF, weights, _SLOTS)
    for number, rows in enumerate(_steps()):
        expected = definition.logits(rows)
        if not torch.equal(mine.logits(rows).view(torch.int32), expected.view(torch.int32)):
            return f"the logits of step {number} differ"
        if again.step(rows) != [choose(expected[i], row.choice) for i, row in enumerate(rows) if row.choice]:
            return f"a token drawn in step {number} differs"
    return None


def proof_weights() -> dict[str, Tensor]:
    """Weights from an integer ramp; every fifth row is constant, so that sums reach their largest magnitude."""
    return {name: _ramp(shape, 1.0 if name == "embed" else 0.15) for name, shape in PROOF.shapes().items()}


@functools.cache
def _proven(loaded: Library) -> bool:
    return proof_failure(loaded) is None


def _ramp(shape: tuple[int, ...], scale: float) -> Tensor:
    rows, columns = shape
    values = (torch.arange(rows * columns, dtype=torch.int64) * 7919 % 4093 - 2046).to(torch.float32)
    values = values.view(rows, columns)
    values[::5] = torch.where(torch.arange(rows) % 2 == 0, 2046.0, -2046.0)[::5, None]
    return values * numbers.round32(scale / 2048)


def _steps() -> Iterator[list[Row]]:
    place = [0] * _SLOTS
    for number, counts in enumerate(_STEPS):
        rows = []
        for slot, count in enumerate(counts):
            rows += [Row(slot, place[slot] + i, (number * 37 + i * 5 + slot) % PROOF.vocab) for i in range(count)]
            place[slot] += count
        for i, row in enumerate(rows):
            temperature, top_p = ((0, 10_000), (700, 9_000), (1000, 10_000), (3000, 1))[(number + i) % 4]
            row.choice = Settings(temperature, top_p, bytes(31) + bytes([number])).choice(i)
        yield rows
