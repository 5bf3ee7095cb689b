"""What nobody needs any more: the text of batches that ended long ago, challenges that were used."""

from __future__ import annotations

from sqlmodel import col, select, update

from node.gateway.auth import Accounts
from node.gateway.blobs import BlobStore
from node.gateway.storage.store import MICROSECONDS, Storage
from node.gateway.storage.tables import Batch, BatchState

KEPT_SECONDS = 86_400
_AT_ONCE = 200


class Tidier:
    """A text can be made again from its batch's randomness and account, so only the blob is removed."""

    def __init__(self, storage: Storage, blobs: BlobStore, accounts: Accounts) -> None:
        self._storage, self._blobs, self._accounts = storage, blobs, accounts

    def run(self) -> int:
        """Once; how many texts went. Raises DatabaseError, BlobError."""
        self._accounts.sweep()
        removed = 0
        while rows := self._due():
            for row in rows:
                self._blobs.delete(row.data_url)
            with self._storage.write() as session:
                session.exec(update(Batch).where(col(Batch.id).in_([row.id for row in rows])).values(data_url=""))
            removed += len(rows)
        return removed

    def _due(self) -> list[Batch]:
        with self._storage.read() as session:
            before = self._storage.now(session) - KEPT_SECONDS * MICROSECONDS
            asked = (
                select(Batch)
                .where(
                    col(Batch.state).in_((BatchState.COMPLETED, BatchState.FAILED)),
                    Batch.data_url != "",
                    col(Batch.completed_at) < before,
                )
                .limit(_AT_ONCE)
            )
            return list(session.exec(asked))
