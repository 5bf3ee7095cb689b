"""From a trained batch to the bytes of its upload: encoded, with or without what was left out before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor

from consensus.aggregation.compression import ErrorFeedback
from consensus.training.outer import update_of
from node.gateway import wire
from node.gateway.payload import CODECS, encode_payload, payload_size, zero_hash
from node.gateway.schemas import UploadMeta
from node.storage.files import atomic_file
from node.volunteer.job import JobFolder, JobRecord
from node.volunteer.residuals import Residuals
from node.volunteer.training import BatchTrainer


@dataclass(frozen=True)
class Encoded:
    """A payload, and the hashes of what was left out before and after it (None: nothing carries over)."""

    payload: bytes
    before: str | None = None
    after: str | None = None


def encode(record: JobRecord, update: dict[str, Tensor], residuals: Residuals) -> Encoded:
    """An update as the offer wants it. With `carried`, the new residual is on disk when this returns.

    Raises:
        CompressionError (consensus): a value that is not finite. DiskError.
    """
    offer = record.offer
    if offer.codec == "raw" or offer.residual == "zero":
        return Encoded(encode_payload(offer.codec, update))
    left, before = residuals.current({name: tuple(t.shape) for name, t in update.items()})
    sent = ErrorFeedback(left).send(CODECS[offer.codec], update)
    return Encoded(sent.data, before, residuals.keep(dict(sent.feedback.left)))


def write_body(folder: JobFolder, record: JobRecord, done: BatchTrainer, worker_id: str, residuals: Residuals) -> int:
    """Put the whole upload on disk; the bytes that the same update takes as `raw`.

    Raises:
        CompressionError (consensus), DiskError.
    """
    update = update_of(done.start_weights(), done.state.weights)
    encoded, offer = encode(record, update, residuals), record.offer
    meta = UploadMeta(
        worker_id=worker_id,
        batch_id=offer.batch_id,
        lease_id=offer.lease_id,
        model_version=offer.model_version,
        codec=offer.codec,
        loss=wire.mean_loss(done.leaves),
        num_samples=offer.num_samples,
        leaves=[wire.wire_leaf(leaf) for leaf in done.leaves],
        payload_sha256=hashlib.sha256(encoded.payload).hexdigest(),
        payload_size=len(encoded.payload),
        residual_in=encoded.before,
        residual_out=encoded.after,
    )
    with atomic_file(folder.upload) as file:
        wire.write_upload(file, meta, encoded.payload)
    return payload_size("raw", done.config.shapes())


def goes_on_from_nothing(meta: UploadMeta, record: JobRecord) -> bool:
    """Whether an upload carries nothing over, so that there is no other residual to try."""
    shapes = record.config().shapes()
    return meta.residual_in is None or meta.residual_in == zero_hash(shapes).hex()
