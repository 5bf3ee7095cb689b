"""The root of one step's batch: the tensor root of the step program's input ``tokens``."""

import numpy as np
from numpy.typing import ArrayLike

from consensus.commitments.tensors import tensor_root
from consensus.errors import CommitmentError

_MAX_TOKEN = 2**16 - 1


def batch_root(tokens: ArrayLike) -> bytes:
    """tokens ``[sequences, seq_len + 1]``, integers below 2^16, committed as int32: what the program reads.

    Raises CommitmentError on any other shape, type or range.
    """
    rows = np.asarray(tokens)
    if rows.ndim != 2 or rows.dtype.kind not in "iu":
        raise CommitmentError(f"a batch is a matrix of integers, not {rows.dtype} {list(rows.shape)}")
    if rows.size and (rows.min() < 0 or rows.max() > _MAX_TOKEN):
        raise CommitmentError("a token of the batch does not fit 16 bits")
    return tensor_root(rows.astype("<i4"))


def batch_place(index: int, length: int) -> tuple[int, int]:
    """(sequence, position) of element ``index`` of a batch of sequences of ``length`` tokens."""
    return divmod(index, length)
