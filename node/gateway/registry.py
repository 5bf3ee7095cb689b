"""Versions of the model: rows in the database, weights in the blob store."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select, update
from torch import Tensor

from consensus.commitments.tensors import tensor_set_root
from consensus.model.config import ModelConfig
from consensus.training.outer import GlobalState
from node.errors import DatabaseError
from node.gateway.blobs import BlobStore
from node.gateway.ports import Blob, Events, Shapes, StoredModel
from node.gateway.problems import Code, ProblemError
from node.gateway.storage.store import Storage
from node.gateway.storage.tables import (
    Batch,
    BatchState,
    Lease,
    LeaseState,
    ModelVersion,
    Update,
    UpdateState,
)
from node.storage.tensorfile import load_tensors, save_tensors

WEIGHTS, CARRIED = "versions", "carried"
"""Kinds of blobs."""
_OPEN = (BatchState.PENDING, BatchState.ASSIGNED)


class ModelRegistry:
    """Implements `ports.Registry`. Weights that were read lately stay in `cache`, a folder of this process's own."""

    def __init__(
        self, storage: Storage, blobs: BlobStore, config: ModelConfig, events: Events, cache: Path, lag: int
    ) -> None:
        self._storage, self._blobs, self._config, self._events = storage, blobs, config, events
        self._cache, self._lag = cache, lag

    def current(self) -> ModelVersion | None:
        """The active version; None before the first."""
        with self._storage.read() as session:
            return session.exec(select(ModelVersion).where(col(ModelVersion.active))).one_or_none()

    def find(self, name: str) -> ModelVersion | None:
        """The version called `name`."""
        with self._storage.read() as session:
            return session.exec(select(ModelVersion).where(ModelVersion.name == name)).one_or_none()

    def get(self, number: int) -> ModelVersion:
        """A version that must exist."""
        with self._storage.read() as session:
            return session.get_one(ModelVersion, number)

    def versions(self, limit: int = 200) -> list[ModelVersion]:
        """The newest first."""
        with self._storage.read() as session:
            rows = session.exec(select(ModelVersion).order_by(col(ModelVersion.number).desc()).limit(limit))
            return list(rows)

    def weights(self, version: ModelVersion) -> dict[str, Tensor]:
        """Its weights, fp32 by name.

        Raises:
            BlobError: the store lacks them. TensorFileError: they are of another architecture.
        """
        return self._load(version.checkpoint_url, self._config.shapes())

    def carried(self, version: ModelVersion, shapes: Shapes) -> dict[str, Tensor] | None:
        """What was stored as `state` with it; raises as `weights` does."""
        return self._load(version.state_url, shapes) if version.state_url else None

    def store(
        self, weights: Mapping[str, Tensor], state: Mapping[str, Tensor] | None = None, root: bytes | None = None
    ) -> StoredModel:
        """Put tensors into the blob store; raises BlobError, DiskError."""
        own = root if root is not None else tensor_set_root(weights)
        blob = self._save(WEIGHTS, weights, {"root": own.hex(), "architecture": self._config.name})
        carried = None if state is None else self._save(CARRIED, state, {"root": own.hex()})
        return StoredModel(blob, own, sum(math.prod(w.shape) for w in weights.values()), carried)

    def publish(
        self, session: Session, model: StoredModel, *, base: int, source: str, metrics: Mapping[str, Any]
    ) -> ModelVersion:
        """Make a version on top of `base`, in the caller's transaction.

        Raises:
            ProblemError CONFLICT: `base` is no longer the active version.
        """
        active = self._lock_active(session)
        if active is None or active.number != base:
            now = "none" if active is None else active.name
            raise ProblemError(Code.CONFLICT, f"The active version is {now} and no longer v{base}.")
        row = self._row(session, model, active, source, metrics)
        return self._activate(session, active, row)

    def start(self, state: GlobalState, metrics: Mapping[str, Any]) -> ModelVersion:
        """The genesis version, unless there is a version; the active one."""
        if (found := self.current()) is not None:
            return found
        model = self.store(state.weights)
        try:
            with self._storage.write() as session:
                row = self._row(session, model, None, "genesis", metrics)
                session.add(row)
        except DatabaseError:  # another process was first: the primary key lets one in
            if (found := self.current()) is None:
                raise
            return found
        return row

    def rollback(self, name: str, reason: str) -> ModelVersion:
        """A new version with the weights of `name`; what was trained since on others and not aggregated is rejected.

        Raises:
            ProblemError VERSION: no such version. CONFLICT: it is the active one.
        """
        with self._storage.write() as session:
            active = self._lock_active(session)
            old = session.exec(select(ModelVersion).where(ModelVersion.name == name)).one_or_none()
            if old is None or active is None:
                raise ProblemError(Code.VERSION, f"There is no version {name}.")
            if old.number == active.number:
                raise ProblemError(Code.CONFLICT, f"{name} is the active version.")
            metrics = {**old.metrics, "rolled_back_to": name, "reason": reason}
            copied = StoredModel(
                Blob(old.checkpoint_url, old.sha256, old.size),
                old.root,
                old.parameters,
                Blob(old.state_url, b"", 0) if old.state_url else None,
            )
            row = self._activate(session, active, self._row(session, copied, active, "rollback", metrics))
            _discard(session, old.number, self._storage.now(session))
        self._events.publish("version", {"version": row.name, "source": "rollback", "weights_of": name})
        return row

    def _lock_active(self, session: Session) -> ModelVersion | None:
        asked = select(ModelVersion).where(col(ModelVersion.active)).with_for_update()
        # Who waited for the row finds it no longer active; the version that took its place needs a second look.
        return session.exec(asked).one_or_none() or session.exec(asked).one_or_none()

    def _row(
        self,
        session: Session,
        model: StoredModel,
        parent: ModelVersion | None,
        source: str,
        metrics: Mapping[str, Any],
    ) -> ModelVersion:
        number = 0 if parent is None else parent.number + 1
        return ModelVersion(
            number=number,
            name=f"v{number}",
            parent=None if parent is None else parent.number,
            source=source,
            checkpoint_url=model.weights.key,
            state_url="" if model.state is None else model.state.key,
            sha256=model.weights.sha256,
            size=model.weights.size,
            root=model.root,
            parameters=model.parameters,
            active=True,
            metrics=dict(metrics),
            created_at=self._storage.now(session),
        )

    def _activate(self, session: Session, active: ModelVersion, row: ModelVersion) -> ModelVersion:
        active.active = False
        session.flush()
        session.add(row)
        session.flush()
        now = row.created_at
        waits = select(Update.id).where(Update.batch_id == Batch.id, Update.state == UpdateState.HELD)
        leased = select(Lease.id).where(Lease.batch_id == Batch.id, Lease.state == LeaseState.HELD)
        idle = ~leased.exists() & ~waits.exists()
        _fail(session, (col(Batch.version) < row.number) & (idle | (col(Batch.version) < row.number - self._lag)), now)
        return row

    def _save(self, kind: str, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> Blob:
        with tempfile.TemporaryDirectory(prefix="ponw-version-") as folder:
            path = Path(folder) / "tensors.safetensors"
            save_tensors(path, tensors, about)
            return self._blobs.put(kind, path)

    def _load(self, key: str, shapes: Shapes) -> dict[str, Tensor]:
        path = self._cache / key.replace("/", "-")
        if not path.exists():
            self._blobs.fetch(key, path)
            self._forget_old()
        return load_tensors(path, shapes).tensors

    def _forget_old(self, keep: int = 4) -> None:
        kept = sorted(self._cache.glob("*-*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in kept[keep:]:
            path.unlink(missing_ok=True)


def _fail(session: Session, which: ColumnElement[bool], now: int) -> None:
    """Give up open batches and end their leases. Rows that somebody holds are waited for: batches before leases."""
    asked = select(Batch.id).where(col(Batch.state).in_(_OPEN), which).order_by(col(Batch.id)).with_for_update()
    ids = list(session.exec(asked))
    session.exec(update(Batch).where(col(Batch.id).in_(ids)).values(state=BatchState.FAILED.value, completed_at=now))
    session.exec(
        update(Lease)
        .where(col(Lease.batch_id).in_(ids), col(Lease.state) == LeaseState.HELD)
        .values(state=LeaseState.RELEASED.value, ended_at=now)
    )


def _discard(session: Session, target: int, now: int) -> None:
    """What came after version `target` no longer counts."""
    _fail(session, col(Batch.version) > target, now)
    waiting = (UpdateState.HELD, UpdateState.ACCEPTED)
    session.exec(
        update(Update)
        .where(col(Update.version) > target, col(Update.state).in_(waiting))
        .values(state=UpdateState.REJECTED.value, reason="the model was rolled back", decided_at=now)
    )
