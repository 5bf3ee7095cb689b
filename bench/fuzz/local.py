"""Junk from where only a quorum's members can speak: outcomes of a proposal, a leader's requests, a neighbour's link.

Over connected sockets in a process of its own: `python -m bench.fuzz.local --count N`; one line of JSON a protocol.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil
from google.protobuf.message import Message

from bench.accounts import NumberedAccount
from bench.fuzz.messages import U32, Junk
from bench.fuzz.targets import VERSIONS, plan_of
from bench.quorum_node import REGISTRY
from consensus.commitments.tensors import state_root
from consensus.model.config import PRESETS
from consensus.pipeline.stages import by_counts
from node.net.frames import FrameError, FrameSocket, SilentError
from node.net.hotkey import peer_text
from node.net.identity import peer_bytes
from node.net.wire.pipeline_pb2 import (
    PipelineBoundary,
    PipelineFrame,
    PipelineHello,
    PipelineOutcome,
    PipelineReport,
    PipelineSeal,
)
from node.net.wire.quorum_pb2 import Outcome, Reply, Start
from node.net.wire.stages_pb2 import StagesWanted
from node.quorum.agreement import Seats
from node.quorum.assembly import serve_stages
from node.quorum.consent import Consents
from node.quorum.pipeline.errors import BoundaryHashError, PipelineError
from node.quorum.pipeline.errors import FrameError as PipelineFrameError
from node.quorum.pipeline.handshake import Terms, agree
from node.quorum.pipeline.link import Timeouts
from node.quorum.pipeline.place import Place
from node.quorum.pipeline.session import Ends
from node.storage.checkpoints import CheckpointStore

PEER: Final = peer_bytes(b"p" * 32)
CONFIG: Final = PRESETS["tiny"]
HASH: Final = b"h" * 32
SECONDS: Final = 20.0
Serve = Callable[[socket.socket], bool]
"""Serves one stream to its end; whether what came counts against the peer."""


def outcomes() -> Serve:
    """A seat that has consented and hears the outcome."""
    blamed: list[str] = []
    consents = Consents(NumberedAccount(1), 31337, REGISTRY)
    seats = Seats(
        NumberedAccount(1).account, consents, lambda plan: None, lambda *_: None, lambda peer, why: blamed.append(why)
    )

    def serve(stream: socket.socket) -> bool:
        before = len(blamed)
        seats.answer(stream, peer_text(PEER))
        return len(blamed) > before

    return serve


def requests(folder: Path) -> Serve:
    """A member whose leader asks for its stages."""
    store = CheckpointStore(folder, CONFIG.shapes(), state_root)

    def serve(stream: socket.socket) -> bool:
        with stream:
            try:
                serve_stages(stream, peer_text(PEER), VERSIONS, store)
            except FrameError:
                return True
            except SilentError:
                return False
        return False

    return serve


def links() -> Serve:
    """The last of two stages, whose left neighbour says hello and goes on."""
    place = Place(CONFIG, by_counts(CONFIG, [2, 2]), 1)
    timeouts = Timeouts(SECONDS, SECONDS, SECONDS, 1.0)

    def serve(stream: socket.socket) -> bool:
        with Ends.over(place, (stream, None), VERSIONS, 1, timeouts) as ends:
            try:
                agree(place, Terms(1, HASH, 4), ends.left, None, [], SECONDS)
                while ends.left is not None:
                    ends.left.take("boundary")
            except PipelineError:
                return ends.left is not None and isinstance(ends.left.error, PipelineFrameError | BoundaryHashError)
        return False

    return serve


def frames() -> list[PipelineFrame]:
    """One of every kind, as a left neighbour of `links` sends them; a boundary's tensor is missing."""
    boundary = PipelineBoundary(round=1, direction=1, shape=[CONFIG.seq_len, CONFIG.width], hash=HASH)
    hello = PipelineHello(stage=0, layers=[2, 2], round=1, start_root=HASH, steps=[0], stop=4)
    return [
        PipelineFrame(versions=VERSIONS, hello=hello),
        PipelineFrame(versions=VERSIONS, boundary=boundary),
        PipelineFrame(versions=VERSIONS, report=PipelineReport(round=1, batch_root=HASH, boundary_roots=[HASH])),
        PipelineFrame(versions=VERSIONS, seal=PipelineSeal(round=1, boundary_root=HASH)),
        PipelineFrame(versions=VERSIONS, outcome=PipelineOutcome(round=1, leaf=HASH)),
    ]


def attack(name: str, serve: Serve, valid: list[Message], first: Message | None, count: int) -> dict[str, Any]:
    """`count` streams, each with one junk message made of one of `valid`, after `first` where there is one."""
    junk, blamed, began = Junk(count), 0, time.monotonic()
    memory = psutil.Process().memory_info().rss
    for number in range(count):
        ours, theirs = socket.socketpair()
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(serve(theirs)))  # noqa: B023 - ends within the turn
        thread.start()
        with ours, contextlib.suppress(OSError, SilentError, FrameError):  # it hangs up in the middle of junk
            ours.settimeout(SECONDS)
            if first is not None:
                frames = FrameSocket(ours, name)
                frames.send(first, SECONDS)
                if name == "quorum outcome":
                    frames.receive(Reply, 1 << 13, SECONDS)
            ours.sendall(junk.message(valid[number % len(valid)], U32, (StagesWanted(round=1),))[1])
            ours.shutdown(socket.SHUT_WR)
            while ours.recv(1 << 16):
                pass
        thread.join(2 * SECONDS)
        if len(found) != 1:
            raise RuntimeError(f"{name}: message {number} of seed {count} was not served to its end")
        blamed += found[0]
    grown = psutil.Process().memory_info().rss - memory
    took = round(time.monotonic() - began, 1)
    return {"target": name, "sent": count, "blamed": blamed, "grown_mb": grown / 1e6, "seconds": took}


def main() -> int:
    """All three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    plan = plan_of(PEER)
    start = Outcome(start=Start(plan=plan.digest, signatures=[b"s" * 65] * 2))
    hello = frames()[0]
    with tempfile.TemporaryDirectory() as folder:
        cases: list[tuple[str, Serve, list[Message], Message | None]] = [
            ("quorum outcome", outcomes(), [start], plan.message()),
            ("leader's request", requests(Path(folder)), [StagesWanted(versions=VERSIONS, round=1)], None),
            ("pipeline handshake", links(), [hello], None),
            ("pipeline link", links(), list(frames()[1:]), hello),
        ]
        for case in cases:
            attack(*case, min(200, options.count))  # threads, pools and caches fill once
            print(json.dumps(attack(*case, options.count)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
