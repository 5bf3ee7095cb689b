"""How much work a volunteer is given: about as much as takes it the time that the operator aims at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.model.config import ModelConfig


@dataclass(frozen=True)
class Sizing:
    """Sizes of batches for one architecture, in samples (sequences)."""

    config: ModelConfig
    prepared: Sequence[int]
    largest: int
    target_seconds: int

    def ready(self) -> list[int]:
        """The prepared sizes, in whole steps, ascending."""
        return sorted({self.whole(size) for size in self.prepared})

    def whole(self, samples: int) -> int:
        """`samples` in whole steps: at least one, at most `largest`."""
        batch = self.config.batch
        return min(max(batch, samples - samples % batch), max(batch, self.largest - self.largest % batch))

    def steps(self, samples: int) -> int:
        """Steps of a batch."""
        return samples // self.config.batch

    def choose(self, tokens_per_s: float, asked: int | None = None) -> int:
        """Samples for a volunteer of this speed: what it asked for, else a prepared size that it can do in the target
        time, else fewer than the smallest, or more than the largest, prepared one. Unmeasured: the smallest."""
        ready = self.ready()
        if asked is not None:
            return self.whole(asked)
        if tokens_per_s <= 0:
            return ready[0] if ready else self.whole(self.config.batch)
        able = int(min(tokens_per_s * self.target_seconds / self.config.seq_len, self.largest))
        if not ready or able < ready[0] or able >= 2 * ready[-1]:
            return self.whole(able)
        return max(size for size in ready if size <= able)

    def seconds(self, samples: int, tokens_per_s: float) -> float:
        """How long a batch should take; the target where nothing was measured."""
        return samples * self.config.seq_len / tokens_per_s if tokens_per_s > 0 else float(self.target_seconds)
