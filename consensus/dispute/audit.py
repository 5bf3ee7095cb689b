"""Audits: which segments of a claim to recompute, and the first step where a recomputation disagrees."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consensus.commitments.trace import StepLeaf, loss_value

_DOMAIN: Final = b"ponw/audit/1"


@dataclass(frozen=True, order=True, slots=True)
class Segment:
    """Steps ``start`` to ``stop - 1`` of a claim, 0-based in the round."""

    start: int
    stop: int


class Field(StrEnum):
    """The part of a step's leaf that differs; earlier ones are causes of later ones."""

    STEP = "step number"
    BATCH = "batch root"
    STATE = "state root"
    LOSS = "loss"
    MISSING = "leaf"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step where the committed and the recomputed trace disagree, and in what."""

    step: int
    field: Field
    committed: str
    recomputed: str

    def __str__(self) -> str:
        return f"step {self.step}, {self.field}: committed {self.committed}, recomputed {self.recomputed}"


def claim_draw(seed: bytes, claim_hash: bytes, auditor: bytes) -> int:
    """A number that decides (``economics.audit.is_drawn``) whether ``auditor`` audits this claim.

    sha256("ponw/audit/1" ‖ "claim" ‖ seed (32) ‖ claim hash (32) ‖ auditor (20)) as a big-endian integer.
    """
    if len(seed) != 32 or len(claim_hash) != 32 or len(auditor) != 20:
        raise ValueError("seed and claim hash have 32 bytes, an auditor's address 20")
    return int.from_bytes(hashlib.sha256(_DOMAIN + b"claim" + seed + claim_hash + auditor).digest(), "big")


def draw_segments(
    seed: bytes, claim_hash: bytes, auditor: bytes, steps: int, segment_length: int, count: int
) -> list[Segment]:
    """Up to ``count`` distinct segments of ``segment_length`` steps, sorted; the last of a claim may be shorter.

    A partial Fisher-Yates shuffle over the claim's segments; its i-th draw is sha256("ponw/audit/1" ‖ seed (32) ‖
    claim hash (32) ‖ auditor (20) ‖ i (u32 BE)). ``seed`` must be known only after the claim was committed.
    Raises ValueError on sizes out of range.
    """
    if len(seed) != 32 or len(claim_hash) != 32 or len(auditor) != 20:
        raise ValueError("seed and claim hash have 32 bytes, an auditor's address 20")
    if steps < 1 or segment_length < 1 or count < 1:
        raise ValueError("steps, segment_length and count are at least 1")
    segments = -(-steps // segment_length)
    moved: dict[int, int] = {}
    drawn = []
    for i in range(min(count, segments)):
        digest = hashlib.sha256(_DOMAIN + seed + claim_hash + auditor + i.to_bytes(4, "big")).digest()
        pick = i + int.from_bytes(digest, "big") % (segments - i)
        drawn.append(moved.get(pick, pick))
        moved[pick] = moved.get(i, i)
    starts = (number * segment_length for number in sorted(drawn))
    return [Segment(start, min(start + segment_length, steps)) for start in starts]


def first_difference(committed: Sequence[StepLeaf], recomputed: Sequence[StepLeaf]) -> Difference | None:
    """The first step, in order, whose leaves differ; None where all agree. Both start at the same step."""
    for ours, theirs in zip(recomputed, committed, strict=False):
        if ours != theirs:
            return _difference(theirs, ours)
    if len(committed) != len(recomputed):
        at = min(len(committed), len(recomputed))
        longer = committed if len(committed) > at else recomputed
        present = "0x" + longer[at].hash().hex()
        sides = (present, "none") if longer is committed else ("none", present)
        return Difference(longer[at].step, Field.MISSING, *sides)
    return None


def _difference(committed: StepLeaf, recomputed: StepLeaf) -> Difference:
    if committed.step != recomputed.step:
        return Difference(recomputed.step, Field.STEP, str(committed.step), str(recomputed.step))
    at = recomputed.step
    for field, theirs, ours in (
        (Field.BATCH, committed.batch_root, recomputed.batch_root),
        (Field.STATE, committed.state_root, recomputed.state_root),
    ):
        if theirs != ours:
            return Difference(at, field, "0x" + theirs.hex(), "0x" + ours.hex())
    return Difference(at, Field.LOSS, _loss(committed), _loss(recomputed))


def _loss(leaf: StepLeaf) -> str:
    return f"0x{leaf.loss_bits:08x} ({loss_value(leaf.loss_bits):.6g})"
