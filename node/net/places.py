"""Who holds a connection where room is short. Pure but for its memory: time is given by the caller, in seconds of a
monotonic clock.

Before its hello a peer is nobody: such connections have few places, counted by origin (see `node.net.origins`), and a
newcomer takes the place of the one that has been silent for longest. After the hello, incoming and outgoing connections
have places of their own: staked peers and those an operator named push out the unstaked peer with the lowest score.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum, unique

from node.net.errors import NetworkError
from node.net.guard import Bucket
from node.net.limits import (
    ADDRESSES_TRACKED,
    ARRIVAL_RATE_BANNED,
    CONNECTIONS_PER_PEER,
    PEERS_PER_ACCOUNT,
    UNPROVEN_BANNED,
)
from node.net.settings import Room
from node.net.wire.common_pb2 import Refusal


@unique
class Standing(IntEnum):
    """What is known of a connection's peer."""

    UNPROVEN = 0
    UNSTAKED = 1
    STAKED = 2
    NAMED = 3
    """The operator named it."""


@dataclass(eq=False)
class Place:
    """One connection. ``close`` ends it soon and does not block; ``peer`` is known once its key is proven."""

    origin: str
    outbound: bool
    since: float
    close: Callable[[], None]
    peer: str = ""
    account: str = ""
    standing: Standing = Standing.UNPROVEN


class Arrivals:
    """How fast connections may come from each of the ADDRESSES_TRACKED origins seen last."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._buckets: OrderedDict[tuple[str, bool], Bucket] = OrderedDict()

    def take(self, origin: str, banned: bool, now: float) -> bool:
        """Whether one more fits."""
        key = (origin, banned)
        rate = min(self._rate, ARRIVAL_RATE_BANNED) if banned else self._rate
        bucket = self._buckets.setdefault(key, Bucket(rate, now))
        self._buckets.move_to_end(key)
        while len(self._buckets) > ADDRESSES_TRACKED:
            self._buckets.popitem(last=False)
        return bucket.take(now)


class Places:
    """`score` gives a peer's, 0 or less; `banned` says whether an origin is, at a time."""

    def __init__(self, room: Room, score: Callable[[str], int], banned: Callable[[str, float], bool]) -> None:
        self._room, self._score, self._banned = room, score, banned
        self._held: dict[Place, None] = {}
        self._arrivals = Arrivals(room.arrivals)

    def __len__(self) -> int:
        return len(self._held)

    def arrive(self, origin: str, now: float, close: Callable[[], None]) -> Place | None:
        """A place for an incoming connection, of which only the origin is known; None where it comes too fast."""
        banned = self._banned(origin, now)
        if not self._arrivals.take(origin, banned, now):
            return None
        silent = [place for place in self._inbound() if place.standing is Standing.UNPROVEN]
        near = [place for place in silent if place.origin == origin]
        if len(near) >= (min(UNPROVEN_BANNED, self._room.unproven_each) if banned else self._room.unproven_each):
            self._evict(near[0])
        elif len(silent) >= self._room.unproven:
            crowd = Counter(place.origin for place in silent)
            self._evict(max(silent, key=lambda place: (crowd[place.origin], -place.since)))
        return self._hold(Place(origin, False, now, close))

    def dial(self, origin: str, peer: str, wanted: bool, now: float, close: Callable[[], None]) -> Place | None:
        """A place for a connection that we open, or None; what the node or its operator `wanted` pushes others out."""
        held = [place for place in self._held if place.outbound]
        if not wanted:
            near = sum(place.origin == origin for place in held)
            if len(held) >= self._room.outbound or near >= self._room.outbound_each or self._banned(origin, now):
                return None
        elif len(held) >= self._room.outbound:
            loser = self._worst(held)
            if loser is None:
                return None
            self._evict(loser)
        return self._hold(Place(origin, True, now, close, peer))

    def of_peer(self, peer: str) -> list[Place]:
        """The places of a peer."""
        return [place for place in self._held if place.peer == peer]

    def named(self, place: Place, peer: str) -> None:
        """The peer's key is proven; where it holds too many connections, its oldest goes."""
        place.peer = peer
        same = [other for other in self.of_peer(peer) if other.outbound == place.outbound]
        for oldest in same[:-CONNECTIONS_PER_PEER]:
            self._evict(oldest)

    def standing(self, peer: str, account: str, staked: bool, named: bool) -> Standing:
        """What a peer counts as; one account's stake speaks for PEERS_PER_ACCOUNT peers."""
        if named:
            return Standing.NAMED
        if not staked:
            return Standing.UNSTAKED
        others = {
            place.peer
            for place in self._held
            if place.standing is Standing.STAKED and place.account == account and place.peer != peer
        }
        return Standing.STAKED if len(others) < PEERS_PER_ACCOUNT else Standing.UNSTAKED

    def prove(self, peer: str, account: str, standing: Standing) -> None:
        """The peer has said hello: its places count as such from now on, and others may have to go.

        Raises:
            NetworkError: BUSY, there is no room for it.
        """
        mine = self.of_peer(peer)
        for place in mine:
            place.account, place.standing = account, standing
        for place in mine:
            loser = self._surplus(place)
            if loser in mine:
                for again in mine:
                    again.standing = Standing.UNPROVEN
                raise NetworkError("There is no place for another peer.", "Try another peer.", Refusal.BUSY)
            if loser is not None:
                self._evict(loser)

    def leave(self, place: Place) -> None:
        """The connection is closed; that it has left already is as good."""
        self._held.pop(place, None)

    def holds(self, place: Place) -> bool:
        """Whether it has not been pushed out."""
        return place in self._held

    def _inbound(self) -> list[Place]:
        return [place for place in self._held if not place.outbound]

    def _surplus(self, place: Place) -> Place | None:
        """Who has to go because of this place, if anyone."""
        proven = [p for p in self._held if p.outbound == place.outbound and p.standing is not Standing.UNPROVEN]
        if not place.outbound and place.standing is Standing.UNSTAKED:
            near = [p for p in proven if p.origin == place.origin and p.standing is Standing.UNSTAKED]
            if len(near) > self._room.unstaked_each:
                return self._worst(near)
        if len(proven) <= (self._room.outbound if place.outbound else self._room.inbound):
            return None
        loser = self._worst(proven)
        return place if loser is None and place.standing is not Standing.NAMED else loser

    def _worst(self, places: Iterable[Place]) -> Place | None:
        """The unstaked peer with the lowest score; of equals one of the most crowded origin, of those the newest."""
        unstaked = [place for place in places if place.standing is Standing.UNSTAKED]
        crowd = Counter(place.origin for place in unstaked)
        return min(
            unstaked, key=lambda place: (self._score(place.peer), -crowd[place.origin], -place.since), default=None
        )

    def _hold(self, place: Place) -> Place:
        self._held[place] = None
        return place

    def _evict(self, place: Place) -> None:
        self.leave(place)
        place.close()
