"""A process that asks for leases until there are none, for tests of the queue: python -m … URL HOME FIRST COUNT.

Prints one line a lease: worker, batch. With `--die` it kills itself inside the transaction of a lease.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import event
from sqlmodel import Session, col, select

from consensus.model.config import ModelConfig
from node.data.dataset import Dataset
from node.gateway.batches import BatchMaker
from node.gateway.blobs import BlobStore
from node.gateway.bus import BusEvents, LocalBus
from node.gateway.problems import Code, ProblemError
from node.gateway.queue import BatchQueue
from node.gateway.schemas import BatchRequest
from node.gateway.settings import load
from node.gateway.sizing import Sizing
from node.gateway.storage.store import Storage
from node.gateway.storage.tables import Lease, Worker

MICRO = ModelConfig("micro", layers=1, width=32, heads=2, seq_len=32, batch=4)


def main() -> None:
    """Ask for each of the workers in turn."""
    url, home, data, first, count = sys.argv[1:6]
    settings = load(Path(home), sizes=(8,), samples_max=64, replicas=1, pending_max=1)
    storage, blobs = Storage.open(url), BlobStore(settings.blobs)
    sizing = Sizing(MICRO, settings.sizes, settings.samples_max, settings.target_seconds)
    maker = BatchMaker(blobs, Dataset.open(Path(data)), sizing, bytes(20))
    queue = BatchQueue(storage, blobs, maker, settings, BusEvents(LocalBus()))
    if "--die" in sys.argv:

        @event.listens_for(Session, "after_flush")
        def _flushed(session: Session, _context: object) -> None:
            if any(isinstance(row, Lease) for row in session.new):
                os.kill(os.getpid(), signal.SIGKILL)

    with storage.read() as session:
        rows = session.exec(select(Worker).order_by(col(Worker.username)).offset(int(first)).limit(int(count)))
        workers = list(rows)
    for worker in workers:
        try:
            offer = queue.request(worker, BatchRequest(samples=8))
        except ProblemError as error:
            assert error.code is Code.NO_WORK
            continue
        print(worker.id, offer.batch_id, flush=True)


if __name__ == "__main__":
    main()
