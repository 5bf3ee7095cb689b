"""What a node brings to quorums, and what it asks of the chain about time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consensus.quorum.capacity import Layout
from consensus.quorum.peers import Peer


@dataclass(frozen=True)
class Offer:
    """What this node says about itself and what the network runs. ``steps``: inner steps of a round; ``aside``: why it
    takes no seat, "" where it does."""

    node: Peer
    network: bytes
    layout: Layout
    steps: int
    arch_version: int = 0
    vocab_version: int = 0
    mode: str = ""
    round: int = 0
    step: int = 0
    aside: str = ""


class Almanac(Protocol):
    """Time and rounds; all may raise PonwError where a chain does not answer."""

    def now(self) -> int:
        """Unix seconds."""

    def current(self) -> int:
        """Number of the newest round."""

    def first_round(self, starts: int, ends: int, after: int) -> int | None:
        """The first round above `after` that a session of that time trains; None for none."""
