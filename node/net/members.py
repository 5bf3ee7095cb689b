"""Who is connected and admitted, who was refused and why."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import trio

from node.net.limits import REFUSED_MAX
from node.net.wire.common_pb2 import Refusal, Versions


@dataclass
class Member:
    """An admitted peer. `account` is "" for one that only reads; `stake` in wei as of `since` (Unix seconds)."""

    peer: str
    account: str
    stake: int
    versions: Versions
    addresses: list[str]
    since: int


@dataclass
class Members:
    """The table of this process."""

    admitted: dict[str, Member] = field(default_factory=dict)
    refused: OrderedDict[str, Refusal] = field(default_factory=OrderedDict)
    """Peer -> the last refusal, by either side."""
    _waiting: dict[str, trio.Event] = field(default_factory=dict)

    def admit(self, member: Member) -> None:
        """Let a peer in and wake what waits for it."""
        self.admitted[member.peer] = member
        self.refused.pop(member.peer, None)
        self._wake(member.peer)

    def leave(self, peer: str) -> None:
        """It is gone."""
        self.admitted.pop(peer, None)
        self._wake(peer)

    def refuse(self, peer: str, refusal: Refusal) -> None:
        """Note why one side refused the other, and wake what waits for it."""
        self.refused[peer] = refusal
        self._wake(peer)
        self.refused.move_to_end(peer)
        while len(self.refused) > REFUSED_MAX:
            self.refused.popitem(last=False)

    async def wait_for(self, peer: str, seconds: float) -> Member | None:
        """The member, as soon as the handshake is through; None if it is refused, gone, or late."""
        if peer not in self.admitted:
            with trio.move_on_after(seconds):
                await self._waiting.setdefault(peer, trio.Event()).wait()
        return self.admitted.get(peer)

    def _wake(self, peer: str) -> None:
        event = self._waiting.pop(peer, None)
        if event is not None:
            event.set()
