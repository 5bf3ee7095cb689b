"""Members of a pipeline in threads of one process, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.pipeline.boundary import StageRecord
from consensus.pipeline.stages import by_counts
from node.net.wire.common_pb2 import Versions
from node.quorum.pipeline.handshake import Terms
from node.quorum.pipeline.link import Timeouts
from node.quorum.pipeline.member import Member
from node.quorum.pipeline.place import Place
from node.quorum.pipeline.session import Ends, Plan, Session
from node.storage.checkpoints import CheckpointStore

MINI = ModelConfig("mini", layers=3, width=32, heads=2, seq_len=64, batch=24)
"""3 micro-batches of 8 sequences."""
VERSIONS = Versions(network=b"n" * 32, arch_version=1, vocab_version=2, quorum=b"q" * 32)
TIMEOUTS = Timeouts(hello=20.0, frame=20.0, send=20.0, close=1.0)


def fresh_engine() -> Engine:
    """An engine of its own: threads share none."""
    for _, make in candidates():
        made = make()
        if made is not None:
            return made
    raise AssertionError("no kernel runs here")


def batch(step: int) -> torch.Tensor:
    """A step's tokens, the same at every member."""
    draw = torch.Generator().manual_seed(step)
    return torch.randint(0, 256, (MINI.batch, MINI.seq_len + 1), generator=draw, dtype=torch.int32)


@dataclass
class Seat:
    """One member: what it is given and what came of it."""

    at: int
    place: Place
    folder: Path
    terms: Terms
    recorded: int = 0
    tamper: Callable[[Member], None] = lambda member: None
    versions: Versions = field(default_factory=lambda: VERSIONS)
    leaves: list[StepLeaf] = field(default_factory=list)
    records: list[StageRecord] = field(default_factory=list)
    error: Exception | None = None

    def run(self, left: socket.socket | None, right: socket.socket | None) -> None:
        """Take part; what ends it is kept."""
        weights = init_weights(MINI, b"seed", self.place.stage.shapes(MINI))
        store = CheckpointStore(self.folder / str(self.at), self.place.stage.shapes(MINI), state_root)
        try:
            with Ends.over(self.place, (left, right), self.versions, self.terms.round, TIMEOUTS) as ends:
                member = Member(self.place, fresh_engine(), ends.left, ends.right, self.terms.round, self.leaves.append)
                self.tamper(member)
                session = Session(member, ends, Plan(self.terms, lambda: weights, batch), store, TIMEOUTS.hello)
                session.run(self.recorded, lambda state, record: self.records.append(record))
        except Exception as error:  # noqa: BLE001 - the tests look at each of them
            self.error = error


def seats(folder: Path, counts: tuple[int, ...] = (1, 1, 1), steps: int = 3) -> list[Seat]:
    """A member for each stage, all with the same terms."""
    stages = by_counts(MINI, counts)
    return [Seat(at, Place(MINI, stages, at), folder, Terms(7, b"s" * 32, steps)) for at in range(len(counts))]


def run_all(given: list[Seat]) -> None:
    """Run all seats to their end over socket pairs."""
    pairs = [socket.socketpair() for _ in given[1:]]
    with ThreadPoolExecutor(len(given)) as pool:
        runs = []
        for at, seat in enumerate(given):
            left = pairs[at - 1][1] if at else None
            right = pairs[at][0] if at < len(pairs) else None
            runs.append(pool.submit(seat.run, left, right))
        for run in runs:
            run.result()
