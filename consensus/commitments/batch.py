"""The root of one step's batch: what was trained on, committed token by token."""

import numpy as np
from numpy.typing import ArrayLike

from consensus.commitments import tree
from consensus.errors import CommitmentError

_MAX_TOKEN = 2**16 - 1


def batch_root(tokens: ArrayLike) -> bytes:
    """tokens ``[sequences, seq_len + 1]``, integers below 2^16; one leaf a sequence, its tokens as u16 little-endian.

    Raises CommitmentError on any other shape, type or range.
    """
    rows = np.asarray(tokens)
    if rows.ndim != 2 or rows.dtype.kind not in "iu":
        raise CommitmentError(f"a batch is a matrix of integers, not {rows.dtype} {list(rows.shape)}")
    if rows.size and (rows.min() < 0 or rows.max() > _MAX_TOKEN):
        raise CommitmentError("a token of the batch does not fit 16 bits")
    return tree.root([tree.leaf_hash(row.tobytes()) for row in rows.astype("<u2")])
