"""What the volunteer's process says about itself, kept in one place for the display, the panel and the heartbeats."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from node import paths
from node.volunteer.home import VolunteerHome
from node.volunteer.panel_schemas import Level, LogLine, PanelState

LOG_LINES = 200
STATE_LIMIT = 4 << 20


class Board:
    """The newest state; any thread reads and writes."""

    def __init__(self, gateway: str, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._state = PanelState(phase="idle", wish="start", gateway=gateway, connected=False, at=clock())
        self._log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self._said = 0
        self._version = 0

    @property
    def version(self) -> int:
        """Rises with every change."""
        return self._version

    def update(self, **changes: Any) -> None:
        """Change fields of the state."""
        with self._lock:
            self._state = self._state.model_copy(update=changes)
            self._version += 1

    def count(self, **more: int) -> None:
        """Add to the session's totals."""
        with self._lock:
            totals = self._state.session
            added = {name: getattr(totals, name) + value for name, value in more.items()}
            self._state = self._state.model_copy(update={"session": totals.model_copy(update=added)})
            self._version += 1

    def log(self, text: str, level: Level = "info") -> None:
        """Say something; the same line again is said once."""
        with self._lock:
            if self._log and self._log[-1].text == text:
                return
            self._log.append(LogLine(at=self._clock(), level=level, text=text))
            self._said += 1
            self._version += 1

    def now(self) -> PanelState:
        """The state of this moment, without the log."""
        with self._lock:
            return self._state.model_copy(update={"at": self._clock()})

    def whole(self) -> PanelState:
        """The state with the log."""
        with self._lock:
            return self._state.model_copy(update={"at": self._clock(), "log": list(self._log)})

    def lines_after(self, seen: int) -> tuple[int, list[LogLine]]:
        """(number of lines ever said, those after the first `seen` of them that are still kept)."""
        with self._lock:
            new = min(self._said - seen, len(self._log))
            return self._said, list(self._log)[len(self._log) - new :] if new > 0 else []

    def write(self, home: VolunteerHome) -> None:
        """Leave the state for other processes to read. Raises DiskError."""
        paths.write_atomic(home.state_file, self.whole().model_dump_json().encode())


def read_state(home: VolunteerHome) -> PanelState | None:
    """What the process of a folder last said, None where none ever ran. Raises DiskError."""
    try:
        return PanelState.model_validate_json(paths.read_bounded(home.state_file, STATE_LIMIT))
    except FileNotFoundError:
        return None
