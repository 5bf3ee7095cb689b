"""A gateway's inside in one process: database, blobs, queue, registry, intake, recomputation and aggregation, as they
run behind the server, with a clock of its own. Volunteers are called one after the other.

Used by tests/gateway and by bench/gateway_attacks.py.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sqlmodel import col, select
from torch import Tensor

from consensus.arithmetic import choose_engine, set_threads
from consensus.arithmetic.engine import Engine
from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, loss_bits
from consensus.model.config import ModelConfig
from consensus.training.outer import update_of
from consensus.training.step import TrainState
from node.data.dataset import Dataset
from node.gateway import wire
from node.gateway.aggregator import Aggregator
from node.gateway.batches import BatchMaker
from node.gateway.blobs import BlobStore
from node.gateway.intake import UploadIntake
from node.gateway.payload import encode_payload
from node.gateway.queue import BatchQueue
from node.gateway.recompute import Recomputer
from node.gateway.registry import ModelRegistry
from node.gateway.schemas import BatchOffer, BatchRequest, Receipt, UploadMeta
from node.gateway.settings import GatewaySettings, load
from node.gateway.sizing import Sizing
from node.gateway.storage.store import MICROSECONDS, Storage, new_id
from node.gateway.storage.tables import ModelVersion, Update, Worker
from node.training.work import Workshop

MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)
SECRET = b"a secret of the gateway's own...."
Tensors = Mapping[str, Tensor]


@cache
def engine() -> Engine:
    """One for all houses of this process: they take turns. A model this small is fastest on one thread."""
    set_threads(1)
    return choose_engine()


@dataclass
class Heard:
    """What a gateway told those who watch."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def publish(self, kind: str, detail: Mapping[str, Any]) -> None:
        self.events.append((kind, dict(detail)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Details of one kind, in order."""
        return [detail for name, detail in self.events if name == kind]


@dataclass(frozen=True)
class Trained:
    """What a batch gives."""

    update: dict[str, Tensor]
    leaves: list[StepLeaf]


class House:
    """One gateway. `again` on the same folder is the same gateway after a restart."""

    def __init__(self, home: Path, dataset: Dataset, config: ModelConfig = MICRO, **chosen: Any) -> None:
        options: dict[str, Any] = {"sizes": (64,), "codec": "int8", **chosen}
        self.config, self.dataset = config, dataset
        self.settings: GatewaySettings = load(home, **options)
        self.time = 1_800_000_000 * MICROSECONDS
        self.storage = Storage.open(self.settings.database, self._clock)
        self.blobs = BlobStore(self.settings.blobs)
        self.heard = Heard()
        self.shop = Workshop(config, engine(), dataset)
        lag = self.settings.version_lag
        folder = home / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        self.registry = ModelRegistry(self.storage, self.blobs, config, self.heard, folder, lag)
        sizing = Sizing(config, self.settings.sizes, self.settings.samples_max, self.settings.target_seconds)
        account = bytes.fromhex(self.settings.account)
        maker = BatchMaker(self.storage, self.blobs, dataset, sizing, account)
        self.queue = BatchQueue(self.storage, self.blobs, maker, self.settings, self.heard)
        self.intake = UploadIntake(self.storage, self.queue, self.blobs, self.settings, config, self.heard, SECRET)
        parts = (self.shop, self.settings, self.heard)
        self.recomputer = Recomputer(self.storage, self.intake, self.registry, *parts, threading.Event())
        self.aggregator = Aggregator(self.storage, self.registry, self.intake.archive, *parts)
        state = self.shop.genesis_state()
        self.registry.start(state, {"heldout_loss": self.shop.heldout_loss(state.weights)})
        self._trained: dict[str, Trained] = {}

    def _clock(self) -> int:
        self.time += 1_000
        return self.time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += int(seconds * MICROSECONDS)

    def close(self) -> None:
        """Close the database."""
        self.storage.close()

    def worker(self, name: str, reputation: int = 0) -> Worker:
        """A new volunteer."""
        row = Worker(
            id=new_id(),
            key_hash=hashlib.sha256(name.encode()).digest(),
            username=name,
            reputation=reputation,
            created_at=self.time,
            last_seen=self.time,
        )
        with self.storage.write() as session:
            session.add(row)
        return row

    def look(self, worker: Worker) -> Worker:
        """A volunteer's row as it is now."""
        with self.storage.read() as session:
            return session.get_one(Worker, worker.id)

    def update(self, receipt: Receipt) -> Update:
        """An upload's row as it is now."""
        with self.storage.read() as session:
            return session.get_one(Update, receipt.update_id)

    def updates(self) -> list[Update]:
        """Every upload, oldest first."""
        with self.storage.read() as session:
            return list(session.exec(select(Update).order_by(col(Update.uploaded_at))))

    def current(self) -> ModelVersion:
        """The active version."""
        found = self.registry.current()
        assert found is not None  # noqa: S101 - there is always one after the start
        return found

    # --- what a volunteer does ---

    def request(self, worker: Worker, samples: int | None = None) -> BatchOffer:
        """A lease. Raises ProblemError."""
        return self.queue.request(worker, BatchRequest(samples=samples))

    def tokens(self, offer: BatchOffer) -> Tensor:
        """The batch's text, int32 [steps, batch, seq_len + 1]."""
        text = b"".join(self.queue.data(self.queue.find(offer.batch_id)))
        shape = (offer.steps, self.config.batch, self.config.seq_len + 1)
        return torch.from_numpy(np.frombuffer(text, dtype="<u2").reshape(shape).astype(np.int32))

    def train(self, offer: BatchOffer) -> Trained:
        """The batch, honestly. Its result is kept: whoever trains it gets the same bits."""
        if offer.batch_id not in self._trained:
            version = self.registry.find(offer.model_version)
            assert version is not None  # noqa: S101 - the gateway offered it
            start = self.registry.weights(version)
            state, leaves = TrainState.start(start), []
            for step, tokens in enumerate(self.tokens(offer)):
                loss = self.shop.trainer.step(state, tokens)
                root = state_root(state.weights, state.m, state.v)
                leaves.append(StepLeaf(root, batch_root(tokens.numpy()), loss_bits(loss), step))
            self._trained[offer.batch_id] = Trained(update_of(start, state.weights), leaves)
        return self._trained[offer.batch_id]

    def meta(
        self, worker: Worker, offer: BatchOffer, leaves: list[StepLeaf], payload: bytes, **changes: Any
    ) -> UploadMeta:
        """The header of an upload."""
        given: dict[str, Any] = {
            "worker_id": worker.id,
            "batch_id": offer.batch_id,
            "lease_id": offer.lease_id,
            "model_version": offer.model_version,
            "codec": offer.codec,
            "loss": wire.mean_loss(leaves),
            "num_samples": offer.num_samples,
            "leaves": [wire.wire_leaf(leaf) for leaf in leaves],
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "payload_size": len(payload),
        }
        return UploadMeta.model_validate({**given, **changes})

    def send(self, worker: Worker, meta: UploadMeta, payload: bytes) -> Receipt:
        """An upload, through the real intake. Raises ProblemError."""
        return self.intake.accept(worker, meta, self.spooled(lambda file: wire.write_upload(file, meta, payload)))

    def upload(self, worker: Worker, offer: BatchOffer, leaves: list[StepLeaf], update: Tensors) -> Receipt:
        """An update without a residual. Raises ProblemError."""
        payload = encode_payload(offer.codec, update)
        return self.send(worker, self.meta(worker, offer, leaves, payload), payload)

    def honest(self, worker: Worker) -> Receipt:
        """One whole turn of an honest volunteer whose error feedback does not carry over."""
        offer = self.request(worker)
        done = self.train(offer)
        return self.upload(worker, offer, done.leaves, done.update)

    def spooled(self, write: Callable[[Any], None]) -> Path:
        """A file as the server leaves it to the intake."""
        self.settings.spool.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.settings.spool, delete=False) as file:
            write(file)
        return Path(file.name)
