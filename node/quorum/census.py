"""Who is there: what nodes said about themselves in their newest heartbeats, as the rules of quorums take it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from consensus.errors import ConsensusError
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from consensus.quorum.presence import Presence, presence
from economics.networks import QuorumTimes
from node.logs import get_logger
from node.net.wire.gossip_pb2 import Heartbeat

log = get_logger("census")
NODES_MAX: Final = 10_000
"""Nodes remembered; the one heard of longest ago makes room."""


@dataclass(frozen=True)
class Seen:
    """A node's newest heartbeat. ``peer``: libp2p id in base58; ``at``: Unix seconds when it came; ``aside``: it takes
    no seat; ``alone``: the last round that it began to train alone."""

    node: Peer
    peer: str
    quorum: bytes
    mode: str
    at: int
    aside: bool = False
    alone: int = 0


class Census:
    """Heartbeats by account. Threads may share it. ``now``: Unix seconds."""

    def __init__(self, times: QuorumTimes, now: Callable[[], int]) -> None:
        self._times, self._now = times, now
        self._seen: dict[bytes, Seen] = {}
        self._lock = threading.Lock()

    def hear(self, account: bytes, peer: str, beat: Heartbeat) -> None:
        """Note a heartbeat of a staked account; one that makes no sense is dropped with a line in the log."""
        try:
            node = _node(account, beat)
        except ConsensusError as error:
            log.info("a heartbeat makes no sense", peer=peer, reason=error.message)
            return
        with self._lock:
            self._seen.pop(account, None)
            if len(self._seen) >= NODES_MAX:
                del self._seen[next(iter(self._seen))]
            self._seen[account] = Seen(node, peer, bytes(beat.quorum), beat.mode, self._now(), beat.aside, beat.alone)

    def all(self) -> dict[bytes, Seen]:
        """Everyone heard of, the newest last."""
        with self._lock:
            return dict(self._seen)

    def presence_of(self, account: bytes) -> Presence:
        """Online, stale or offline, by the protocol's times."""
        with self._lock:
            seen = self._seen.get(account)
        return Presence.OFFLINE if seen is None else presence(seen.at, self._now(), self._times)

    def online(self) -> dict[bytes, Seen]:
        """Those whose heartbeats keep coming."""
        now = self._now()
        return {a: s for a, s in self.all().items() if presence(s.at, now, self._times) is Presence.ONLINE}


def _node(account: bytes, beat: Heartbeat) -> Peer:
    held = Span(beat.first_part, beat.first_part + beat.part_count) if beat.part_count else None
    return Peer(account, beat.layer_us, beat.link_us, held, beat.memory)
