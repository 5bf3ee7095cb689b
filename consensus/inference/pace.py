"""How many threads a step takes: a matter of speed alone, found out while serving. Threads never change a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Clock = Callable[[], float]

SMALL_WORK: Final = 3_000_000
"""Products of a step below which a second thread costs more than it does."""
PROBE: Final = 128
"""Every so many steps the other number of threads is tried: on a machine that others use, threads that wait for each
other can be many times slower than one."""
_MEMORY: Final = 0.2


class Pace:
    """Chooses between one thread and `threads`, apart for steps of about as many rows; without a clock by size only."""

    def __init__(self, threads: int, clock: Clock | None) -> None:
        self._threads, self._clock = threads, clock
        self._steps: dict[int, int] = {}
        self._mean: dict[tuple[int, int], float] = {}

    def run(self, rows: int, work: int, step: Callable[[int], None]) -> None:
        """Call `step` with the number of threads for `rows` rows of `work` products in all."""
        if work < SMALL_WORK or self._threads == 1:
            step(1)
        elif self._clock is None:
            step(self._threads)
        else:
            kind = rows.bit_length()
            threads = self._choose(kind)
            began = self._clock()
            step(threads)
            taken, key = (self._clock() - began) / rows, (kind, threads)
            self._mean[key] = self._mean.get(key, taken) * (1 - _MEMORY) + taken * _MEMORY

    def _choose(self, kind: int) -> int:
        self._steps[kind] = number = self._steps.get(kind, -1) + 1
        one, all_of_them = self._mean.get((kind, 1)), self._mean.get((kind, self._threads))
        if all_of_them is None or one is None:
            return self._threads if all_of_them is None else 1
        better, other = (1, self._threads) if one < all_of_them else (self._threads, 1)
        return other if number % PROBE == 0 else better
