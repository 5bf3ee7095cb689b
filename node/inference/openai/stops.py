"""Stop sequences in a text that comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopScanner:
    """Passes text on up to the first stop sequence; holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """What is certain to belong to the answer; "" once a stop was found."""
        if self.found:
            return ""
        if not self._stops:
            return text
        self._held += text
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            self.found = True
            return self._take(min(ends), len(self._held))
        safe = len(self._held) - max(self._open(stop) for stop in self._stops)
        return self._take(safe, safe)

    def end(self) -> str:
        """What was held back and turned out to be no stop."""
        return "" if self.found else self._take(len(self._held), len(self._held))

    def _open(self, stop: str) -> int:
        """Length of the longest beginning of `stop` that the held text ends with."""
        return next((n for n in range(min(len(stop) - 1, len(self._held)), 0, -1) if self._held.endswith(stop[:n])), 0)

    def _take(self, upto: int, rest: int) -> str:
        taken, self._held = self._held[:upto], self._held[rest:]
        return taken
