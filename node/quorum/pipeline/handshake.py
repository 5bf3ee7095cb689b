"""Before the first step: neighbours agree on stages, round and start, and the pipeline on the step to go on from.

Each stage tells its right neighbour the steps from which all stages so far can go on; the last one chooses the newest
and the choice travels back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.commitments.tree import HASH_BYTES
from node.net.wire.common_pb2 import Refusal
from node.net.wire.pipeline_pb2 import PipelineFrame, PipelineHello
from node.quorum.pipeline.errors import FrameError, OtherSessionError
from node.quorum.pipeline.link import Link
from node.quorum.pipeline.place import Place

MAX_OFFERED = 64
"""Steps named in one hello, newest first."""


@dataclass(frozen=True)
class Terms:
    """What every member must agree on: the round, the root it starts from (32 bytes) and where it stops."""

    round: int
    start_root: bytes
    stop: int


def agree(
    place: Place, terms: Terms, left: Link | None, right: Link | None, offered: Sequence[int], timeout: float
) -> int:
    """The step to go on from: the newest that every member offers; 0, the round's start, is always among them.

    Raises:
        OtherSessionError: a neighbour has other stages or terms.
        FrameError: a hello that offers nothing or too much.
        PipelineError: a link failed, or no hello came within `timeout` seconds a stage.
    """
    common = {0, *offered}
    patience = timeout * len(place.stages)
    if left is not None:
        theirs = set(_hear(place, terms, left, place.at - 1, patience))
        if 0 not in theirs:
            raise left.broken(FrameError(f"{left.peer} cannot go on from the round's start."))
        common &= theirs
    if right is None:
        chosen = max(common)
    else:
        right.send(_hello(place, terms, [*sorted(common, reverse=True)[: MAX_OFFERED - 1], 0]))
        (chosen, *others) = _hear(place, terms, right, place.at + 1, patience)
        if others or chosen not in common:
            raise right.broken(FrameError(f"{right.peer} chose a step that this member did not offer."))
    if left is not None:
        left.send(_hello(place, terms, [chosen]))
    return chosen


def _hello(place: Place, terms: Terms, steps: list[int]) -> PipelineFrame:
    hello = PipelineHello(
        stage=place.at,
        layers=[stage.count for stage in place.stages],
        round=terms.round,
        start_root=terms.start_root,
        steps=steps,
        stop=terms.stop,
    )
    return PipelineFrame(hello=hello)


def _hear(place: Place, terms: Terms, link: Link, stage: int, timeout: float) -> list[int]:
    hello = link.take("hello", timeout).frame.hello
    if len(hello.start_root) != HASH_BYTES or not 1 <= len(hello.steps) <= MAX_OFFERED:
        raise link.broken(FrameError(f"{link.peer} sent a hello that does not say where it can start."))
    for what, theirs, ours in (
        ("stage", hello.stage, stage),
        ("layers of the stages", list(hello.layers)[:MAX_OFFERED], [one.count for one in place.stages]),
        ("start of the round", bytes(hello.start_root).hex(), terms.start_root.hex()),
        ("number of steps", hello.stop, terms.stop),
    ):
        if theirs != ours:
            raise OtherSessionError(
                f"{link.peer} has {what} {theirs}, this member {ours}.",
                "Both take the quorum's agreement and the round's state from the network again.",
                Refusal.OTHER_QUORUM,
            )
    return list(hello.steps)
