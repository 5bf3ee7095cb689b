"""The text of batches: fixed by a batch's randomness and account, as that of a claim is."""

from __future__ import annotations

import hashlib

import numpy as np

from consensus.model.config import ModelConfig
from node.data.dataset import Dataset
from node.training.batch import draw_batch

_DOMAIN = b"ponw/gateway-batch/1"


def batch_randomness(version_root: bytes, batch_id: str) -> bytes:
    """Randomness of a batch that belongs to no round of a chain, 32 bytes: nobody chooses its text."""
    return hashlib.sha256(_DOMAIN + version_root + batch_id.encode()).digest()


def batch_text(config: ModelConfig, dataset: Dataset, randomness: bytes, account: bytes, steps: int) -> bytes:
    """Tokens u16 LE [steps, batch, seq_len + 1].

    Raises:
        DataError: the text is too small, or a shard cannot be read.
    """
    drawn = (draw_batch(config, dataset, randomness, account, step) for step in range(steps))
    return b"".join(tokens.numpy().astype(np.dtype("<u2")).tobytes() for tokens in drawn)
