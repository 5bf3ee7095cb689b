"""The limits in force: read before every step, changed by the panel, kept in the home folder."""

from __future__ import annotations

import threading
from pathlib import Path

from node.volunteer import settings
from node.volunteer.board import Board
from node.volunteer.panel_schemas import Limits
from node.volunteer.settings import VolunteerSettings


class LimitsDesk:
    """One set of limits, shared by threads."""

    def __init__(self, home: Path, now: VolunteerSettings, board: Board) -> None:
        self._home, self._now, self._board = home, now, board
        self._lock = threading.Lock()
        board.update(limits=now.limits)

    def limits(self) -> Limits:
        """Those in force."""
        with self._lock:
            return self._now.limits

    def change(self, limits: Limits) -> Limits:
        """Put others in force from the next step on, and keep them. Raises DiskError; nothing changes then."""
        with self._lock:
            changed = self._now.limited(limits)
            # Flags of the command line are for one run: what is kept is what the file held, with the new limits.
            settings.save(self._home, settings.load(self._home).limited(limits))
            self._now = changed
        self._board.update(limits=limits)
        self._board.log("The limits were changed")
        return limits
