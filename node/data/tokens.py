"""Bytes to token ids and back: id = byte, specials above (see `consensus.model.tokens`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from consensus.model.tokens import BOS, BYTE_VOCAB, EOS, PAD, VOCAB_SIZE

__all__ = ["BOS", "BYTE_VOCAB", "EOS", "PAD", "TOKEN_BYTES", "TOKEN_DTYPE", "VOCAB_SIZE", "Tokens", "decode", "encode"]

TOKEN_DTYPE = np.dtype("<u2")
"""Shards hold unsigned 16-bit little-endian ids."""
TOKEN_BYTES = TOKEN_DTYPE.itemsize

Tokens = NDArray[np.uint16]


def encode(data: bytes) -> Tokens:
    """One id a byte, shape (len(data),); adds no specials."""
    return np.frombuffer(data, dtype=np.uint8).astype(TOKEN_DTYPE)


def decode(tokens: Tokens) -> bytes:
    """The bytes behind a sequence of ids; specials are left out."""
    return tokens[tokens < BYTE_VOCAB].astype(np.uint8).tobytes()
