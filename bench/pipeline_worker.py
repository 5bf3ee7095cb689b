"""One member of a pipeline in a process of its own, over sockets it was given; writes what it found as JSON.

The tests use it too: `--wrong STEP` lets it send a wrong activation, `--die STEP` kills it between two micro-batches.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from consensus.arithmetic import set_threads
from consensus.arithmetic.choice import candidates
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from consensus.pipeline.boundary import StageRecord
from consensus.pipeline.capacity import capacity
from consensus.pipeline.compute import StageTrainer
from consensus.pipeline.stages import by_counts
from consensus.training.step import TrainState
from node.data.dataset import Dataset
from node.errors import PonwError
from node.net.wire.common_pb2 import Versions
from node.quorum.pipeline.handshake import Terms
from node.quorum.pipeline.link import Link, Timeouts
from node.quorum.pipeline.member import Member
from node.quorum.pipeline.place import Place
from node.quorum.pipeline.session import Ends, Plan, Session
from node.storage.checkpoints import CheckpointStore
from node.training.batch import draw_batch

VERSIONS = Versions(network=bytes(32), quorum=bytes(range(32)))
ROUND = 1
SEED = b"ponw genesis"
RANDOMNESS, NODE = bytes(range(32)), bytes(20)
HELDOUT_WINDOWS = 64


@dataclass(slots=True)
class Faulty(StageTrainer):
    """A stage that at one step sends a wrong activation, or dies between two micro-batches."""

    wrong: int = -1
    die: int = -1
    at: int = -1

    def forward(self, micro: int, given: Tensor) -> Tensor | None:
        self.at += micro == 0
        if micro and self.at == self.die:
            os.kill(os.getpid(), signal.SIGKILL)
        x = StageTrainer.forward(self, micro, given)
        if x is not None and self.at == self.wrong:
            x[0, 0] += 1.0
        return x


@dataclass
class Found:
    """What one member reports."""

    leaves: list[StepLeaf] = field(default_factory=list)
    records: dict[int, StageRecord] = field(default_factory=dict)
    stamps: list[float] = field(default_factory=list)
    heldout: list[tuple[int, float]] = field(default_factory=list)


def main() -> None:
    """Train one stage; exit 3 with the error's name in the report where the session breaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--preset", "--kernel", "--layers"):
        parser.add_argument(name, required=True)
    for name in ("--threads", "--steps", "--at"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--left", "--right", "--wrong", "--die"):
        parser.add_argument(name, type=int, default=-1)
    parser.add_argument("--recorded", type=int, default=0)
    parser.add_argument("--heldout", type=int, default=0, help="steps between held-out losses; 0: none")
    parser.add_argument("--limit", type=int, default=0, help="bytes this member may use; 0: any")
    parser.add_argument("--frame-timeout", type=float, default=60.0)
    for name in ("--data", "--folder", "--report"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    set_threads(options.threads)
    config = PRESETS[options.preset]
    place = Place(config, by_counts(config, [int(n) for n in options.layers.split(",")]), options.at)
    found, report = Found(), {"at": options.at}
    try:
        if options.limit:
            place.require_memory(options.limit)
        _train(options, place, found, report)
    except PonwError as error:
        report |= {"error": type(error).__name__, "message": error.message}
    report |= _facts(place, found)
    options.report.write_text(json.dumps(report), encoding="utf-8")
    sys.exit(3 if "error" in report else 0)


def _peak() -> int:
    """Most bytes this process has held at once (getrusage's figure carries over from the process that started it)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


def _train(options: argparse.Namespace, place: Place, found: Found, report: dict[str, Any]) -> None:
    engine, dataset = dict(candidates())[options.kernel](), Dataset.open(options.data)
    if engine is None:
        raise SystemExit(f"{options.kernel} does not run on this machine")
    before = _peak()
    shapes = place.stage.shapes(place.config)
    sockets = [None if fd < 0 else socket.socket(fileno=fd) for fd in (options.left, options.right)]
    timeouts = Timeouts(frame=options.frame_timeout, close=2.0)
    with Ends.over(place, (sockets[0], sockets[1]), VERSIONS, ROUND, timeouts) as ends:
        member = Member(place, engine, ends.left, ends.right, ROUND, found.leaves.append)
        member.trainer = Faulty(place.config, place.stage, engine, wrong=options.wrong, die=options.die)
        plan = Plan(
            Terms(ROUND, bytes(32), options.steps),
            lambda: init_weights(place.config, SEED, shapes),
            lambda step: draw_batch(place.config, dataset, RANDOMNESS, NODE, step),
        )
        session = Session(member, ends, plan, CheckpointStore(options.folder, shapes, state_root))
        links = [link for link in (ends.left, ends.right) if link is not None]
        watch = _Watch(options.heldout, dataset, member, links, found)
        state = session.run(options.recorded, watch.on_step)
    report["root"] = state_root(state.weights, state.m, state.v).hex()
    report["stage_bytes"] = capacity(place.config, place.stages, place.at).total
    report["rss_bytes"] = _peak() - before
    report["waited"] = watch.waited
    report["sent"] = sum(link.sent for link in links)


@dataclass
class _Watch:
    """Times steps, waiting and held-out losses."""

    every: int
    dataset: Dataset
    member: Member
    links: list[Link]
    found: Found
    waited: list[float] = field(default_factory=list)

    def on_step(self, state: TrainState, record: StageRecord) -> None:
        """After each step of this member: times, then the held-out loss through the whole pipeline."""
        self.found.records[state.step - 1] = record
        self.found.stamps.append(time.monotonic())
        self.waited.append(sum(link.waited for link in self.links))
        if self.every and state.step % self.every == 0:
            windows = self.dataset.heldout_windows(self.member.place.config.seq_len, HELDOUT_WINDOWS)
            loss = self.member.evaluate(state, torch.from_numpy(windows.astype(np.int32)))
            if loss is not None:
                self.found.heldout.append((state.step, loss))


def _facts(place: Place, found: Found) -> dict[str, Any]:
    sides = {"left": 0, "right": 0}
    crossed = {
        side: [
            None if (hashes := getattr(record, side)) is None else hashes.root().hex()
            for _, record in sorted(found.records.items())
        ]
        for side in sides
    }
    return {
        "leaves": [leaf.encode().hex() for leaf in found.leaves],
        "boundaries": crossed,
        "stamps": found.stamps,
        "heldout": found.heldout,
    }


if __name__ == "__main__":
    main()
