"""Every message of the newest rounds, in the order in which it came: what a member knows and passes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from node.cohort.contribution import identity
from node.cohort.sealing import Sealed
from node.net.wire.cohort_pb2 import Contribution

ROUNDS_MAX: Final = 4
"""Rounds kept; messages further than one round ahead are not taken."""
MESSAGES_MAX: Final = {"contribution": 256, "ballot": 1024, "proposal": 256, "accept": 1024, "leaves": 1024}
"""Of one round and kind; further ones are dropped."""
EACH_MAX: Final = {"contribution": 4, "ballot": 40, "proposal": 40, "accept": 40, "leaves": 40}
"""Of one account, round and kind: encodings are fetched, so there are fewest of them."""


class Log:
    """Messages by round. Threads may share it. `open` is moved on by whoever follows the rounds."""

    def __init__(self) -> None:
        self._messages: dict[int, dict[bytes, Sealed]] = {}
        self._counts: dict[tuple[int, str, bytes], int] = {}
        self._open = 0
        self._changed = threading.Condition()
        self._version = 0

    def add(self, message: Sealed) -> bool:
        """Keep a message; False where it is known, of a round that is not kept, or one too many."""
        number, kind, account = message.body.round, message.kind, bytes(message.body.account)
        with self._changed:
            kept = self._messages.setdefault(number, {})
            if message.digest in kept or not self._open - ROUNDS_MAX < number <= self._open + 1:
                return False
            place, all_of_kind = (number, kind, account), (number, kind, b"")
            full = self._counts.get(all_of_kind, 0) >= MESSAGES_MAX[kind]
            if full or self._counts.get(place, 0) >= EACH_MAX[kind]:
                return False
            for one in (place, all_of_kind):
                self._counts[one] = self._counts.get(one, 0) + 1
            kept[message.digest] = message
            self._version += 1
            self._changed.notify_all()
            return True

    def opened(self, number: int) -> None:
        """A round opened: older ones than those kept are forgotten."""
        with self._changed:
            self._open = number
            self._messages = {n: kept for n, kept in self._messages.items() if number - ROUNDS_MAX < n <= number + 1}
            self._counts = {place: count for place, count in self._counts.items() if place[0] in self._messages}
            self._version += 1
            self._changed.notify_all()

    def of(self, number: int, kind: str = "") -> list[Sealed]:
        """Messages of a round, of one kind or all, in the order in which they came."""
        with self._changed:
            return [m for m in self._messages.get(number, {}).values() if kind in ("", m.kind)]

    def contributions(self, number: int) -> Iterator[tuple[bytes, Contribution]]:
        """(id, header) of each contribution to a round."""
        for message in self.of(number, "contribution"):
            yield identity(message.body.contribution), message.body.contribution

    def wait(self, seconds: float, version: int) -> int:
        """Until something changed after `version`, at most so long; the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            return self._version
