"""When steps may run: the owner's hours, mains power, and rests between steps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from node.volunteer.panel_schemas import Limits

_LOOK_SECONDS = 10.0
_REST_MAX_S = 600.0


def within(hours: str | None, minute: int) -> bool:
    """Whether `minute` of the day (0 … 1439) lies in `HH:MM-HH:MM`; the window may pass midnight, its end is outside.
    Equal ends and None: always."""
    if hours is None:
        return True
    begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
    if begin == end:
        return True
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def on_battery() -> bool | None:
    """Whether this machine runs on its battery; None where it has none (psutil: /sys/class/power_supply on Linux)."""
    found = psutil.sensors_battery()
    if found is None or found.power_plugged is None:
        return None
    return not found.power_plugged


def local_minute() -> int:
    """Minutes since local midnight."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


def all_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Gate:
    """Whether a step may run now, by the limits of this moment."""

    limits: Callable[[], Limits]
    minute: Callable[[], int] = local_minute
    battery: Callable[[], bool | None] = on_battery
    clock: Callable[[], float] = time.monotonic
    _looked: float = field(default=float("-inf"), init=False)
    _on_battery: bool = field(default=False, init=False)

    def closed(self) -> str:
        """Why no step may run, in words; empty where one may."""
        limits = self.limits()
        if not within(limits.hours, self.minute()):
            return f"outside {limits.hours}"
        if limits.pause_on_battery and self._battery():
            return "on battery"
        return ""

    def rest(self, seconds: float) -> float:
        """Seconds to rest after a step that took `seconds`, so that steps take their share of the time."""
        return min(seconds * (1.0 / self.limits().cpu_share - 1.0), _REST_MAX_S)

    def _battery(self) -> bool:
        if self.clock() - self._looked >= _LOOK_SECONDS:
            self._looked, self._on_battery = self.clock(), bool(self.battery())
        return self._on_battery
