"""What can be said of an upload without training anything: whether it is the one that was asked for, and whether any
training at all could have given it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from torch import Tensor

from consensus.commitments.batch import batch_root
from consensus.commitments.trace import StepLeaf, loss_value
from consensus.errors import CompressionError
from consensus.model.config import ModelConfig
from consensus.training.optimizer import AdamW
from node.gateway import wire
from node.gateway.payload import Shapes, decode_payload
from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import UploadMeta
from node.gateway.storage.tables import Batch, Lease

STEP_BOUND: Final = 3.0
"""No step of Adam with these constants moves a weight by more than 1.2 times its rate (Cauchy & Schwarz over both
moments), weight decay and the rounding of encodings included by more than 3 times while weights stay below 100."""
CARRIED_BOUND: Final = 100.0
"""An update that earlier ones left something over for may be so many times larger."""


@dataclass(frozen=True)
class Opened:
    """An upload that decodes."""

    meta: UploadMeta
    leaves: list[StepLeaf]
    update: dict[str, Tensor]
    trace_root: bytes
    payload_hash: bytes

    @property
    def result_hash(self) -> bytes:
        """What replicas must have in common."""
        return wire.result_hash(self.trace_root, self.payload_hash)


def open_upload(path: Path, shapes: Shapes) -> Opened:
    """Read a body that may be anybody's.

    Raises:
        ProblemError HEADER, PAYLOAD.
    """
    with path.open("rb") as file:
        try:
            meta = wire.read_meta(file)
        except wire.UploadError as error:
            raise ProblemError(Code.HEADER, error.message) from error
        try:
            payload = wire.read_payload(file, meta, shapes)
            update = decode_payload(meta.codec, payload, shapes)
        except wire.UploadError as error:
            raise ProblemError(Code.PAYLOAD, error.message) from error
        except CompressionError as error:
            raise ProblemError(Code.PAYLOAD, f"The payload does not decode: {error.message}.") from error
    leaves = wire.step_leaves(meta.leaves)
    return Opened(meta, leaves, update, wire.trace_root(leaves), bytes.fromhex(meta.payload_sha256))


def require_match(meta: UploadMeta, batch: Batch, lease: Lease, version: str) -> None:
    """Raises ProblemError MISMATCH unless the header is of this batch, as its lease offered it."""
    carried = lease.residual != "zero"
    for what, said, due in (
        ("model_version", meta.model_version, version),
        ("codec", meta.codec, lease.codec),
        ("num_samples", meta.num_samples, batch.samples),
        ("number of leaves", len(meta.leaves), batch.steps),
        ("residual_in", meta.residual_in is not None, carried),
        ("residual_out", meta.residual_out is not None, carried),
    ):
        if said != due:
            raise ProblemError(Code.MISMATCH, f"The upload's {what} is {said}, but the offer makes it {due}.")
    values = [loss_value(leaf.loss_bits) for leaf in meta.leaves]
    if not all(math.isfinite(value) for value in values):
        raise ProblemError(Code.MISMATCH, "The loss of a step is not a finite number.")
    if not wire.same_loss(meta.loss, math.fsum(values) / len(values)):
        raise ProblemError(Code.MISMATCH, "The loss is not the mean of the steps' losses.")


def disproof(opened: Opened, config: ModelConfig, text: bytes, carried: bool) -> str:
    """Why no training of the batch gives this, in words; empty where it may be true.

    `text`: the batch's tokens, u16 LE [steps, batch, seq_len + 1].
    """
    tokens = np.frombuffer(text, dtype="<u2").reshape(-1, config.batch, config.seq_len + 1)
    for leaf, rows in zip(opened.leaves, tokens, strict=True):
        if leaf.batch_root != batch_root(rows):
            return f"step {leaf.step} was not trained on the batch's text"
    limit = step_limit(len(opened.leaves), carried)
    top = max(float(t.abs().max()) for t in opened.update.values())
    if top > limit:
        return f"a weight moves by {top:.3g}, which {len(opened.leaves)} steps cannot (at most {limit:.3g})"
    return ""


def step_limit(steps: int, carried: bool) -> float:
    """The most that a weight can move in so many steps."""
    return STEP_BOUND * AdamW().lr * steps * (CARRIED_BOUND if carried else 1.0)
