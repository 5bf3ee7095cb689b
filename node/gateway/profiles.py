"""Accepted uploads that a new one is compared with, kept in memory as far as they were looked at lately."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, col, select
from torch import Tensor

from node.gateway.archive import Archive
from node.gateway.outliers import SAMPLE_MIN, Profile, Sketcher, suspicion
from node.gateway.storage.store import Storage
from node.gateway.storage.tables import Update, UpdateState

COMPARED: Final = 48
"""The newest accepted uploads that one is compared with."""
_KEPT: Final = 512


@dataclass(frozen=True)
class Impression:
    """`reason`: why an upload stands apart, empty where it does not. `unlike`: too few were there to compare with."""

    reason: str = ""
    unlike: bool = False


class Profiles:
    """Profiles of uploads by their id. Safe to use from several threads."""

    def __init__(self, storage: Storage, archive: Archive, secret: bytes, lag: int) -> None:
        self._storage, self._archive, self._lag = storage, archive, lag
        self._sketcher = Sketcher(secret)
        self._kept: OrderedDict[str, Profile] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, update: Mapping[str, Tensor]) -> Profile:
        """Of an update in memory."""
        return self._sketcher.profile(update)

    def keep(self, update_id: str, profile: Profile) -> None:
        """Remember what was computed for an upload."""
        with self._lock:
            self._kept[update_id] = profile
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def impression(self, own: Profile, like: Update) -> Impression:
        """How an upload looks beside those accepted of its size, codec and version, or, while these are few, of the
        versions before it that are still trained. `like`: a row, in the database or not.

        Raises BlobError.
        """
        with self._storage.read() as session:
            if (copied := _copied(session, like)) is not None:
                return Impression(f"its payload is that of another batch ({copied})")
            near = _accepted(session, like, self._lag)
        return Impression(suspicion(own, [self.profile(row) for row in near]), len(near) < SAMPLE_MIN)

    def profile(self, row: Update) -> Profile:
        """Of an upload in the blob store. Raises BlobError."""
        with self._lock:
            found = self._kept.get(row.id)
        if found is None:
            found = self.of(self._archive.update(row))
            self.keep(row.id, found)
        return found


def _copied(session: Session, like: Update) -> str | None:
    asked = select(Update.batch_id).where(Update.payload_hash == like.payload_hash, Update.batch_id != like.batch_id)
    return session.exec(asked.limit(1)).first()


def _accepted(session: Session, like: Update, lag: int) -> list[Update]:
    """One a batch, newest first."""
    asked = (
        select(Update)
        .where(
            col(Update.state).in_((UpdateState.ACCEPTED, UpdateState.AGGREGATED)),
            Update.codec == like.codec,
            Update.samples == like.samples,
            col(Update.version) <= like.version,
            col(Update.version) >= like.version - lag,
            Update.batch_id != like.batch_id,
        )
        .order_by(col(Update.version).desc(), col(Update.decided_at).desc())
        .limit(2 * COMPARED)
    )
    first = {row.batch_id: row for row in reversed(list(session.exec(asked)))}
    return list(reversed(first.values()))[:COMPARED]
