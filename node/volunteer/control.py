"""What the owner wants, said from any thread: a button, Ctrl-C, the panel."""

from __future__ import annotations

import threading
import time

from node.volunteer.errors import StoppedError, WishChangedError
from node.volunteer.panel_schemas import Wish


class Control:
    """The wish in force, whether to stop at once, and whether the gateway took the lease back."""

    def __init__(self, wish: Wish = "start") -> None:
        self._changed = threading.Condition()
        self._wish: Wish = wish
        self._halted = False
        self._lost = False
        self._lease = ""
        self.idle = True
        """No batch is under way: a waiting call gives up as soon as the wish changes."""

    @property
    def wish(self) -> Wish:
        """The button pressed last."""
        return self._wish

    @property
    def halted(self) -> bool:
        """Whether to stop at once."""
        return self._halted

    def set(self, wish: Wish) -> None:
        """Press a button. `finish` is final: the process is on its way out."""
        with self._changed:
            if self._wish != "finish":
                self._wish = wish
            self._changed.notify_all()

    def halt(self) -> None:
        """Stop now; whatever runs saves its state first."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def hold(self, lease_id: str) -> None:
        """Work under this lease begins."""
        with self._changed:
            self._lease, self._lost = lease_id, False

    def lose(self, lease_id: str) -> None:
        """The gateway says that a lease has ended; it may be somebody else's."""
        with self._changed:
            self._lost = self._lost or lease_id == self._lease
            self._changed.notify_all()

    @property
    def lost(self) -> bool:
        """Whether it is the one under which work goes on."""
        return self._lost

    def check(self) -> None:
        """Raises StoppedError when it is time to stop at once."""
        if self._halted:
            raise StoppedError("Stopped; everything is saved.")

    def sleep(self, seconds: float) -> None:
        """Wait, or less where something changes.

        Raises:
            StoppedError: stop now. WishChangedError: a button was pressed and no batch is under way.
        """
        self.check()
        with self._changed:
            before, lost = self._wish, self._lost
            end = time.monotonic() + seconds
            while not self._halted and (self._wish, self._lost) == (before, lost):
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            changed = self._wish != before
        self.check()
        if changed and self.idle:
            raise WishChangedError("The wish changed.")
