"""What the simulation counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from consensus.quorum.parts import Span


@dataclass
class Contribution:
    """What one account trained in one round."""

    account: bytes
    span: Span
    quorum: bytes | None
    batches: float = 0.0
    last_ms: int = 0


@dataclass
class Books:
    """Everything that the report is made of. Times in milliseconds, amounts in bytes and tokens."""

    proposed: int = 0
    formed: int = 0
    lapsed: int = 0
    renewals: int = 0
    switched: int = 0
    replaced: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    lifetimes_s: list[int] = field(default_factory=list)
    quorum_sizes: list[int] = field(default_factory=list)
    steps_us: list[int] = field(default_factory=list)
    batches: float = 0.0
    alone_batches: float = 0.0
    moved_bytes: int = 0
    """Parts of the model that nodes fetched."""
    samples: list[dict[str, object]] = field(default_factory=list)
    rounds: list[dict[str, object]] = field(default_factory=list)
    contributions: dict[bytes, Contribution] = field(default_factory=dict)
    """Of the round that runs, by account."""

    def add(self, account: bytes, span: Span, quorum: bytes | None, batches: float, now: int) -> None:
        """Note work of one account; it has one claim a round, for what it ran last."""
        if batches > 0:
            mine = self.contributions.setdefault(account, Contribution(account, span, quorum))
            mine.span, mine.quorum, mine.last_ms = span, quorum, now
            mine.batches += batches


def quantile(values: list[int] | list[float], share: float) -> float:
    """The value below which ``share`` of all lie; 0 for none."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else 0.0
