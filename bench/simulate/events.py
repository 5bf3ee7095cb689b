"""Time that jumps from event to event. Events at one moment run in the order in which they were asked for."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Call = Callable[[], None]


@dataclass
class Loop:
    """Milliseconds since the start, and what is to happen."""

    now: int = 0
    done: int = 0
    """Events run so far."""
    _heap: list[tuple[int, int, Call]] = field(default_factory=list)
    _asked: int = 0

    @property
    def seconds(self) -> int:
        """Whole seconds since the start, as the rules take them."""
        return self.now // 1000

    def after(self, milliseconds: int, call: Call) -> None:
        """Run ``call`` so much later, at once for anything below 1."""
        self._asked += 1
        heapq.heappush(self._heap, (self.now + max(0, milliseconds), self._asked, call))

    def every(self, milliseconds: int, call: Callable[[], bool]) -> None:
        """Run ``call`` now and again until it gives False."""

        def again() -> None:
            if call():
                self.after(milliseconds, again)

        again()

    def run(self, until: int) -> None:
        """Run everything up to and including ``until`` milliseconds."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, call = heapq.heappop(self._heap)
            self.done += 1
            call()
        self.now = until
