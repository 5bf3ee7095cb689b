"""What a running node says about itself: for the live display, and for `ponw status` in another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from node import paths

STATUS_NAME = "status.json"
WRITE_SECONDS = 1.0


class ClaimRow(BaseModel):
    """One claim of this node; `state` in the words of its life."""

    model_config = ConfigDict(extra="forbid")

    round: int
    kind: str
    steps: int
    state: str
    detail: str = ""


class Snapshot(BaseModel):
    """A node at one moment. Times are Unix seconds, amounts wei; `updated` is this machine's clock."""

    model_config = ConfigDict(extra="forbid")

    pid: int = 0
    address: str = ""
    uri: str = ""
    preset: str = ""
    version: int = 0
    target: int = 0
    rows: int = 0
    kernel: str = ""
    mode: str = "idle"
    why: str = ""
    tier: int = 0
    layer_us: int = 0
    holds: str = ""
    quorum: str = ""
    activity: str = "starting"
    block: int = 0
    round: int = 0
    phase: str = ""
    phase_ends: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    heldout_loss: float | None = None
    tokens: int = 0
    tokens_per_s: float = 0.0
    nodes: int = 0
    audits: int = 0
    audits_failed: int = 0
    rounds_done: int = 0
    collected_wei: int = 0
    claims: list[ClaimRow] = []
    updated: float = 0.0
    stopped: bool = False


@dataclass
class Reporter:
    """Keeps the newest snapshot, writes it to the home folder now and then, and tells whoever listens."""

    home: Path
    listen: Callable[[Snapshot], None] = lambda _: None
    clock: Callable[[], float] = time.time
    now: Snapshot = field(default_factory=lambda: Snapshot(pid=os.getpid()))
    _written: float = 0.0

    def update(self, **changes: object) -> None:
        """Change fields of the snapshot; the file follows at most once a second, at once when the activity changes."""
        urgent = any(name in changes and changes[name] != getattr(self.now, name) for name in ("activity", "stopped"))
        at = self.clock()
        self.now = self.now.model_copy(update={**changes, "updated": at})
        if urgent or at - self._written >= WRITE_SECONDS:
            self._written = at
            paths.write_atomic(self.home / STATUS_NAME, self.now.model_dump_json().encode())
        self.listen(self.now)


def read_snapshot(home: Path) -> Snapshot | None:
    """What the node of a home folder last said; None if it never ran or the file is not one.

    Raises:
        DiskError: the file cannot be read.
    """
    try:
        return Snapshot.model_validate_json(paths.read_bounded(home / STATUS_NAME))
    except (FileNotFoundError, ValidationError):
        return None
