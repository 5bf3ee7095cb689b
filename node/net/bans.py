"""Scores and bans, kept in the home folder: to end the peer process, or to make it crash, sets nobody free.

Two tables of one shape: of keys (`bans.json`) and of where peers come from (`origins.json`). In the files times are
Unix seconds, whatever clock a table runs by. Neither file has more than LEDGER_MAX rows, and what stands in one is held
to the bounds that the running process keeps to (`Ledger.load`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio
from pydantic_core import from_json

from node.errors import DiskError
from node.net.limits import LEDGER_MAX
from node.net.score import ROW_BYTES, Ledger
from node.paths import read_bounded, write_atomic

log = logging.getLogger(__name__)
BANS_NAME: Final = "bans.json"
ORIGINS_NAME: Final = "origins.json"
BANS_PAUSE: Final = 2.0
"""Seconds between two writings: a table is long where many are banned."""
SCORES_PAUSE: Final = 60.0
"""Seconds after which points without a ban are written; they halve in ten minutes."""
FILE_BYTES: Final = LEDGER_MAX * ROW_BYTES
Clock = Callable[[], float]


def _encoded(table: dict[str, Any]) -> bytes:
    """As JSON; halves of a pair of surrogates, which a reason may have, are no text and become question marks."""
    return json.dumps(table, ensure_ascii=False).encode("utf-8", "replace")


@dataclass
class Kept:
    """One table with its file. `clock` is the one that the table runs by, `wall` gives Unix seconds."""

    path: Path
    ledger: Ledger
    clock: Clock
    wall: Clock
    saved: int = 0

    def load(self) -> None:
        """Take up what an earlier process wrote; what is damaged is told in the log and left out."""
        try:
            # Unlike json.loads it bounds nesting, whatever the interpreter's recursion limit is.
            table = from_json(read_bounded(self.path, FILE_BYTES))
        except FileNotFoundError:
            return
        except (DiskError, ValueError) as error:
            log.warning("%s is unusable, the list is begun anew: %s", self.path, error)
            return
        if not isinstance(table, dict):
            log.warning("%s holds no table, the list is begun anew", self.path)
            return
        if odd := self.ledger.load(table, int(self.clock()), self._ahead()):
            log.warning("%s: %d rows are unusable and left out", self.path, odd)

    async def save(self) -> None:
        """Write the table if it has changed; a disk that refuses it is told in the log, and asked again later."""
        changes, table = self.ledger.changes, self.ledger.dump(self._ahead())
        if changes == self.saved:
            return
        try:
            await trio.to_thread.run_sync(lambda: write_atomic(self.path, _encoded(table)))
        except DiskError as error:
            log.warning("%s is not saved: %s", self.path.name, error.message)
        else:
            self.saved = changes

    def _ahead(self) -> int:
        return int(self.wall()) - int(self.clock())


class Bans:
    """Both tables of a folder. `wall` gives Unix seconds, by which keys are judged; `clock` monotonic ones, origins."""

    def __init__(self, folder: Path, keys: Ledger, origins: Ledger, wall: Clock, clock: Clock) -> None:
        self._tables = (
            Kept(folder / BANS_NAME, keys, wall, wall),
            Kept(folder / ORIGINS_NAME, origins, clock, wall),
        )
        self._banned = trio.Event()
        keys.on_ban = origins.on_ban = self._soon

    def load(self) -> None:
        """Take up what an earlier process wrote."""
        for table in self._tables:
            table.load()

    async def keep(self) -> None:
        """Write a ban at once, the rest now and then, and everything when cancelled."""
        try:
            while True:
                with trio.move_on_after(SCORES_PAUSE):
                    await self._banned.wait()
                self._banned = trio.Event()
                await self._save()
                await trio.sleep(BANS_PAUSE)
        finally:
            with trio.CancelScope(shield=True):
                await self._save()

    async def _save(self) -> None:
        for table in self._tables:
            await table.save()

    def _soon(self) -> None:
        self._banned.set()
