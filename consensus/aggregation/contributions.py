"""What a rule joins: the updates of a round and their integer weights, read a run of columns at a time."""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from consensus.aggregation.window import check_weights
from consensus.errors import AggregationError

Rows = list[Tensor]
"""One fp32 [columns] a contribution."""


class Columns(Protocol):
    """Weighted contributions whose values may be computed as they are read."""

    @property
    def weights(self) -> tuple[int, ...]:
        """Integer weights, at least 1 each."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor by name."""

    def tiles(self, name: str) -> Iterator[tuple[int, Rows]]:
        """Runs of columns of a tensor, flattened: (first column, rows), in order."""


class Rule(Protocol):
    """Joins contributions into one update. Exact: the same bits whatever their order and the number of threads."""

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """One update, fp32 by name. Raises AggregationError."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """Updates in memory; a tile is a whole tensor, without a copy."""

    weights: tuple[int, ...]
    updates: tuple[Mapping[str, Tensor], ...]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls, parts: Sequence[tuple[int, Mapping[str, Tensor]]], shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> "Contributions":
        """From (weight, update) pairs; ``shapes``: what each update must hold, by default what the first one holds.

        Raises AggregationError for no part, a weight out of range, or an update of other tensors.
        """
        weights = tuple(weight for weight, _ in parts)
        check_weights(weights)
        if shapes is None:
            shapes = {name: tuple(t.shape) for name, t in parts[0][1].items()}
        for name, shape in shapes.items():
            for _, update in parts:
                held = update.get(name)
                if held is None or tuple(held.shape) != shape or held.dtype is not torch.float32:
                    raise AggregationError(f"an update does not hold {name} in the model's shape")
        return cls(weights, tuple(update for _, update in parts), shapes)

    def tiles(self, name: str) -> Iterator[tuple[int, Rows]]:
        """The whole tensor at once."""
        yield 0, [update[name].reshape(-1) for update in self.updates]


def flat_output(shape: tuple[int, ...]) -> Tensor:
    """Room for a tensor's columns."""
    return torch.zeros(prod(shape), dtype=torch.float32)


def digest(parts: Columns, at: int) -> bytes:
    """sha256 over weight, names and bytes of one contribution: what decides between equals. Read only then."""
    running = hashlib.sha256(struct.pack(">Q", parts.weights[at]))
    for name in sorted(parts.shapes):
        running.update(f"{name}\x00{parts.shapes[name]}\x00".encode())
        for _, rows in parts.tiles(name):
            running.update(rows[at].contiguous().numpy().data)
    return running.digest()
