"""How embedding and head grow into the next version of the vocabulary, and shrink back: tensor operations alone.

A new row is (row[left] + row[right]) x 0.5, in the order of the merges, of the weights and of the outer velocity alike.
That is all the optimizer state there is between rounds: moments start a round at zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from consensus.errors import OuterStepError
from consensus.model.config import ModelConfig
from consensus.training.outer import GlobalState

TABLES: Final = ("embed", "head")
"""Tensors with one row a token."""


@dataclass(frozen=True, slots=True)
class Change:
    """What follows an outer step between two versions. ``rows``: those of embedding and head afterwards; ``merges``:
    the (left, right) rows that each new one comes from, none where rows are taken away."""

    rows: int
    merges: tuple[tuple[int, int], ...] = ()

    def after(self, config: ModelConfig) -> ModelConfig:
        """The architecture that the change leads to; raises OuterStepError where it does not fit ``config``."""
        grown = config.vocab + len(self.merges)
        fits = grown == self.rows if self.merges else self.rows < config.vocab
        if not fits or any(max(pair) >= config.vocab + at or min(pair) < 0 for at, pair in enumerate(self.merges)):
            raise OuterStepError(f"{config.vocab} rows do not become {self.rows} by {len(self.merges)} merges")
        return replace(config, vocab=self.rows)

    def table(self, rows: Tensor) -> Tensor:
        """[rows, width] -> [rows afterwards, width]."""
        return grown(rows, self.merges) if self.merges else rows[: self.rows]

    def state(self, state: GlobalState) -> GlobalState:
        """The whole global state; raises OuterStepError where a row would leave the finite range."""
        weights, velocity = (self.tensors(part) for part in (state.weights, state.velocity))
        if not all(bool(torch.isfinite(part[name]).all()) for part in (weights, velocity) for name in TABLES):
            raise OuterStepError("a row of a merged token would leave the finite range")
        return GlobalState(weights, velocity)

    def tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A set of the model's tensors by name."""
        return {name: self.table(t).contiguous() if name in TABLES else t for name, t in tensors.items()}


def grown(table: Tensor, merges: tuple[tuple[int, int], ...]) -> Tensor:
    """``table`` with a row for each merge after its own. Rows of merged merges are right after as many passes as they
    are merges deep, so a pass for each depth makes all of them, in any order."""
    left, right = (torch.tensor([pair[side] for pair in merges]) for side in (0, 1))
    new = torch.zeros((len(merges), table.shape[1]), dtype=torch.float32)
    for _ in range(depth(merges, table.shape[0])):
        known = torch.cat([table, new])
        new = (known[left] + known[right]) * 0.5
    return torch.cat([table, new])


def depth(merges: tuple[tuple[int, int], ...], rows: int) -> int:
    """Merges on the longest way from a new row to rows that were there."""
    depths: list[int] = []
    for pair in merges:
        depths.append(1 + max(depths[part - rows] if part >= rows else 0 for part in pair))
    return max(depths, default=0)
