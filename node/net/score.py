"""Misbehaviour on record: points that decay, a ban when they reach the limit, bans that end. Pure but for its memory.

Integers only. Time is given by the caller in seconds: Unix time for peers, a monotonic clock's for origins.
`node.net.bans` keeps both over a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any, Final

from node.net.limits import BAN_SECONDS, BAN_SECONDS_MAX, LEDGER_MAX, SCORE_BAN, SCORE_HALF_LIFE

_SCALE = 1_000
"""Points are kept in thousandths, so that decay does not round small ones away at once."""
_REASON_LIMIT: Final = 200
SCORES_MIN: Final = LEDGER_MAX // 4
"""Entries without a ban that a full table has room for."""
_NAME_LIMIT: Final = 128
_BANS_MAX: Final = 64
"""Earlier bans that a row of `load` may count: after 16 the next one is no longer."""
ROW_BYTES: Final = 2_200
"""A row of `dump` in JSON at most: 6 bytes a character of the reason and of the name, five numbers."""


@unique
class Offence(IntEnum):
    """What a misbehaviour costs, in points."""

    FLOOD = 2
    BROKEN_STREAM = 4
    UNSTAKED_WRITE = 5
    MALFORMED = 10
    OVERSIZED = 20
    FORGED = 34


@dataclass
class Entry:
    """One peer's record: thousandths of points at time `at`, bans so far, and the ban in force."""

    milli: int = 0
    at: int = 0
    bans: int = 0
    banned_until: int = 0
    reason: str = ""


class Ledger:
    """Scores and bans of at most LEDGER_MAX peers; the one unheard of for longest goes first, of those that
    are not banned while they are more than SCORES_MIN.

    At `limit` points the first ban lasts `first` seconds, each further one twice as long, up to `longest`.
    """

    def __init__(self, limit: int = SCORE_BAN, first: int = BAN_SECONDS, longest: int = BAN_SECONDS_MAX) -> None:
        self._limit, self._first, self._longest = limit, first, longest
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.changes = 0
        """Grows with whatever is put on record."""
        self.on_ban: Callable[[], None] = lambda: None
        """Called after each ban; must not block."""

    def charge(self, peer: str, offence: Offence, reason: str, now: int) -> bool:
        """Put an offence on record; True if the peer is banned now."""
        return self.add(peer, int(offence), reason, now)

    def add(self, peer: str, points: int, reason: str, now: int) -> bool:
        """The same in points."""
        entry = self._entry(peer, now)
        entry.milli += points * _SCALE
        self.changes += 1
        if entry.milli >= self._limit * _SCALE and entry.banned_until <= now:
            self.ban(peer, reason, min(self._first << min(entry.bans, 16), self._longest), now)
        return entry.banned_until > now

    def ban(self, peer: str, reason: str, seconds: int, now: int) -> None:
        """Ban a peer for so long from now, the longest ban at most."""
        entry = self._entry(peer, now)
        entry.bans += 1
        entry.milli = 0
        entry.banned_until = now + min(seconds, self._longest)
        entry.reason = reason[:_REASON_LIMIT]
        self.changes += 1
        self.on_ban()

    def banned(self, peer: str, now: int) -> str | None:
        """Why a peer is banned at this time, or None."""
        entry = self._entries.get(peer)
        return entry.reason or "no reason given" if entry and entry.banned_until > now else None

    def score(self, peer: str, now: int) -> int:
        """0 for a clean record, below for misbehaviour; minus the limit is banned."""
        entry = self._entries.get(peer)
        if entry is None:
            return 0
        return -self._limit if entry.banned_until > now else -(_decayed(entry, now) // _SCALE)

    def bans(self, now: int) -> dict[str, Entry]:
        """The bans in force."""
        return {peer: entry for peer, entry in self._entries.items() if entry.banned_until > now}

    def dump(self, ahead: int = 0) -> dict[str, Any]:
        """All that is on record as JSON types, the longest unheard of first; times moved `ahead` by so many seconds."""
        return {
            name: [entry.banned_until + ahead, entry.bans, entry.reason, entry.milli, entry.at + ahead]
            for name, entry in self._entries.items()
        }

    def load(self, table: dict[str, Any], now: int, ahead: int = 0) -> int:
        """Take up what `dump` gave, times moved back; how many rows are left out, being too many or of another shape.

        Nothing counts for more than it could here: no ban ends later than the longest one that begins now.
        """
        odd = max(0, len(table) - LEDGER_MAX)
        for name, row in list(table.items())[:LEDGER_MAX]:
            # A row of three cells is an earlier release's, which kept no points.
            match [*row, 0, now + ahead] if isinstance(row, list) and len(row) == 3 else row:
                case [int(until), int(bans), str(reason), int(milli), int(at)] if len(name) <= _NAME_LIMIT:
                    self._entries[name] = Entry(
                        min(max(0, milli), self._limit * _SCALE),
                        min(at - ahead, now),
                        min(max(0, bans), _BANS_MAX),
                        min(until - ahead, now + self._longest),
                        reason[:_REASON_LIMIT],
                    )
                case _:
                    odd += 1
        return odd

    def _entry(self, peer: str, now: int) -> Entry:
        entry = self._entries.setdefault(peer, Entry(at=now))
        self._entries.move_to_end(peer)
        entry.milli, entry.at = _decayed(entry, now), now
        while len(self._entries) > LEDGER_MAX:
            del self._entries[self._dispensable(peer, now)]
        return entry

    def _dispensable(self, peer: str, now: int) -> str:
        """Who makes room: bans outlast scores, but leave them a part of the table. Were it all bans, several new peers
        that misbehave would push each other's points out, and none would ever be banned."""
        free = [name for name, held in self._entries.items() if held.banned_until <= now and name != peer]
        if len(free) >= SCORES_MIN:
            return free[0]
        return next(name for name, held in self._entries.items() if held.banned_until > now and name != peer)


def _decayed(entry: Entry, now: int) -> int:
    """Halved for each full half-life; in between on a straight line, so that integers do."""
    halves, rest = divmod(max(0, now - entry.at), SCORE_HALF_LIFE)
    points = entry.milli >> min(halves, 64)
    return points - points * rest // (2 * SCORE_HALF_LIFE)
