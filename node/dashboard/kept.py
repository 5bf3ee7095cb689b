"""Answers that are kept for a moment, so that many open pages cost the chain no more than one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The result of `make`, made anew when it is older than `seconds`; one thread makes it, the others wait."""

    def __init__(self, make: Callable[[], Value], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._seconds, self._clock = make, seconds, clock
        self._lock = threading.Lock()
        self._found: tuple[float, Value] | None = None

    def get(self) -> Value:
        """The newest value; raises what `make` raises, and then asks again the next time."""
        with self._lock:
            if self._found is None or self._clock() - self._found[0] >= self._seconds:
                self._found = None
                self._found = (self._clock(), self._make())
            return self._found[1]
