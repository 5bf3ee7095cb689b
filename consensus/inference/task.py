"""What a payer asks of a server, as one hash that a quote carries and that anyone can compute again."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from consensus.commitments.tensors import tensor_root
from consensus.errors import CommitmentError

TASK_TAG: Final = b"ponw/inference/task/1\0"
HASH_BYTES: Final = 32
TOP_P_ALL: Final = 10_000
"""Basis points of `top_p` at which nothing is cut off."""
_WIDTHS: Final = {
    "model_root": HASH_BYTES,
    "vocabulary": 2,
    "program": 2,
    "prompt_root": HASH_BYTES,
    "prompt_length": 4,
    "temperature_milli": 4,
    "top_p_bps": 4,
    "stop_at_eos": 1,
}
"""Field → bytes, in the order of the encoding; integers are big-endian."""


@dataclass(frozen=True, slots=True)
class Task:
    """One request: the model, the prompt and how to draw. Raises CommitmentError on a field out of its range.

    ``vocabulary`` and ``program`` are the versions of the vocabulary and of the rules of decoding; the temperature
    counts thousandths (0: always the likeliest token), ``top_p`` basis points.
    """

    model_root: bytes
    vocabulary: int
    program: int
    prompt_root: bytes
    prompt_length: int
    temperature_milli: int
    top_p_bps: int
    stop_at_eos: bool

    def __post_init__(self) -> None:
        for name, width in _WIDTHS.items():
            _check(name, width, getattr(self, name))
        if not 1 <= self.top_p_bps <= TOP_P_ALL:
            raise CommitmentError(f"top_p is {self.top_p_bps} basis points", "Use 1 to 10000.")
        if self.prompt_length < 1:
            raise CommitmentError("the prompt has no token")

    def encode(self) -> bytes:
        """The domain's tag and every field in its fixed width."""
        return TASK_TAG + b"".join(_encoded(getattr(self, field.name), _WIDTHS[field.name]) for field in fields(self))

    def hash(self) -> bytes:
        """sha256 of the encoding, 32 bytes: `task` in a quote."""
        return hashlib.sha256(self.encode()).digest()


def prompt_root(ids: Sequence[int]) -> bytes:
    """Tensor root of a prompt's token ids as little-endian int32, 32 bytes.

    Raises CommitmentError on an id that is negative or beyond 31 bits.
    """
    if any(not 0 <= token < 2**31 for token in ids):
        raise CommitmentError("a token's id is not from 0 to 2^31 - 1")
    return tensor_root(np.asarray(ids, dtype="<i4"))


def _check(name: str, width: int, value: object) -> None:
    if width == HASH_BYTES:
        if not isinstance(value, bytes) or len(value) != HASH_BYTES:
            raise CommitmentError(f"the task's {name} must be {HASH_BYTES} bytes")
    elif not isinstance(value, int) or not 0 <= value < 1 << 8 * width:
        raise CommitmentError(f"the task's {name} must be an integer of {width} bytes, from 0")


def _encoded(value: bytes | int, width: int) -> bytes:
    return value if isinstance(value, bytes) else int(value).to_bytes(width, "big")
