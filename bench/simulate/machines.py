"""Made-up machines: speeds, memories, links, habits. All of it from one seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from random import Random
from typing import Final

from consensus.model.config import ModelConfig
from consensus.quorum.modes import Mode
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from economics.constants import TIER_LIMITS

GIB: Final = 1 << 30
MODEL: Final = ModelConfig("simulated", layers=30, width=2048, heads=16, seq_len=512, batch=8, vocab=32_000)
"""1.6 billion weights: no single machine below holds it."""
TIER_WEIGHTS: Final = (5, 30, 35, 20, 10)
"""Percent of machines of each tier."""
MEMORIES: Final = ((8, 35), (16, 30), (24, 20), (48, 10), (80, 5))
"""(GiB that a machine gives, percent of machines)."""
MSS: Final = 1460


@dataclass(frozen=True)
class Spec:
    """What to simulate. Shares are in percent, times in seconds unless named otherwise."""

    nodes: int
    hours: int = 6
    seed: int = 1
    round_seconds: int = 3600
    window: int = 600
    cheating: int = 10
    """Of nodes: every second one fakes its whole claim, the others one segment of ten."""
    uptime_hours: float = 12.0
    """Mean time until a machine goes away without a word; 0: they never do."""
    downtime_hours: float = 0.5
    slow_hours: float = 24.0
    """Mean time between two spells in which a machine runs five times slower; 0: none."""
    slow_seconds: int = 900
    loss_max: int = 3
    """Loss of a link is uniform up to this."""
    own_draw: bool = False
    """Each node draws audits for itself (``lottery.is_due``) instead of a panel of verifiers a claim."""
    model: ModelConfig = MODEL


@dataclass
class Machine:
    """One node: what it is, and what it does now. Times in milliseconds of the simulation."""

    account: bytes
    layer_us: int
    link_us: int
    bandwidth: int
    """Bytes a second, after what loss leaves of it."""
    memory: int
    shards: int
    wrong: int
    """Segments of ten that it fakes in every claim; 0: it is honest."""
    up: bool = False
    held: Span | None = None
    down_since: int = 0
    born: int = 0
    slow_until: int = -1
    searching: int = 0
    """When it began to look for a quorum."""
    mode: Mode = Mode.IDLE
    why: str = "not started"
    mode_since: int = 0
    credited: int = 0
    """Until when its work in async mode is counted."""
    mode_ms: dict[Mode, int] = field(default_factory=dict)
    slashed: bool = False

    @property
    def peer(self) -> Peer:
        """Its record."""
        return Peer(self.account, self.layer_us, self.link_us, self.held, self.memory)

    def runs_us(self, now: int) -> int:
        """Microseconds that a layer takes it at this moment."""
        return self.layer_us * (5 if now < self.slow_until else 1)

    def last_beat(self, now: int, heartbeat: int) -> int:
        """Second of its last heartbeat; each machine beats in its own rhythm."""
        until = (now if self.up else self.down_since) // 1000
        return until - (until - self.born // 1000) % heartbeat

    def enter(self, mode: Mode, why: str, now: int) -> None:
        """Change what it does, and keep the books of time."""
        if self.up:
            self.mode_ms[self.mode] = self.mode_ms.get(self.mode, 0) + now - self.mode_since
        self.mode, self.why, self.mode_since = mode, why, now


def make_machines(spec: Spec) -> list[Machine]:
    """The network's machines, all down and empty."""
    draw = Random(f"machines {spec.seed}")  # noqa: S311 - a simulation's, from a seed
    return [_make(spec, number, draw) for number in range(spec.nodes)]


def _make(spec: Spec, number: int, draw: Random) -> Machine:
    account = hashlib.sha256(f"{spec.seed} {number}".encode()).digest()[:20]
    tier = draw.choices(range(len(TIER_WEIGHTS)), TIER_WEIGHTS)[0]
    edges = (2, *TIER_LIMITS, 4000)
    layer_us = round(1000 * edges[tier] * (edges[tier + 1] / edges[tier]) ** draw.random())
    link_us = round(5_000 * 30 ** draw.random())
    loss = spec.loss_max / 100 * draw.random()
    line = 2.5e6 * 50 ** draw.random()
    # Mathis et al. 1997: what one TCP-like stream gets through a lossy link; bulk goes over four.
    lossy = 4 * 1.22 * MSS / (link_us / 1e6 * loss**0.5) if loss else line
    gib = draw.choices([size for size, _ in MEMORIES], [share for _, share in MEMORIES])[0]
    cheats = draw.random() < spec.cheating / 100
    return Machine(
        account=account,
        layer_us=layer_us,
        link_us=round(link_us * (1 + loss / (1 - loss))),
        bandwidth=int(min(line, lossy)),
        memory=gib * GIB,
        shards=draw.choices([0, 4], [80, 20])[0],
        wrong=(10 if number % 2 else 1) if cheats else 0,
    )
