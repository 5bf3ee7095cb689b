"""Which text a node trains on: fixed by the round's randomness and the node's address, so nobody picks its data."""

import hashlib
from typing import Final

_DOMAIN: Final = b"ponw/batch/1"


def draw_offsets(randomness: bytes, node: bytes, step: int, count: int, limit: int) -> list[int]:
    """Start offsets of the ``count`` sequences of one step, each in ``0 … limit - 1`` tokens.

    Offset i is sha256("ponw/batch/1" ‖ randomness (32) ‖ node (20) ‖ step (u32 BE) ‖ i (u32 BE)) as a big-endian
    integer modulo ``limit``; the bias of the modulo is below limit / 2^256. ``step`` counts from 0 in the round.
    Raises ValueError on sizes out of range.
    """
    if len(randomness) != 32 or len(node) != 20:
        raise ValueError("randomness has 32 bytes and a node address 20")
    if not 0 <= step < 2**32 or not 0 <= count <= 2**32 or limit < 1:
        raise ValueError("step and count are 32-bit, limit is at least 1")
    stem = hashlib.sha256(_DOMAIN + randomness + node + step.to_bytes(4, "big"))
    offsets = []
    for i in range(count):
        draw = stem.copy()
        draw.update(i.to_bytes(4, "big"))
        offsets.append(int.from_bytes(draw.digest(), "big") % limit)
    return offsets
