"""The update that a claim names: start weights minus end weights in int8 blocks, and the bytes that carry it.

Rounding is part of the arithmetic that a claim commits to (consensus/program/update.py): its root is that of the
rounded numbers, so whoever decodes the bytes has exactly what is judged. It follows from start and end alone: what it
leaves out goes into no later round, or a claim would have to name that as well.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.compression.codec import Shapes, decode_update, encode_update, encoded_size
from consensus.aggregation.compression.int8 import Int8, through_int8
from consensus.errors import CompressionError
from consensus.training.outer import update_of

_CODEC: Final = Int8()


def claimed_update(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a claim over training from ``start`` to ``end`` adds to the outer step: fp32, where the start lies."""
    return {name: through_int8(difference) for name, difference in update_of(start, end).items()}


def update_bytes(shapes: Shapes) -> int:
    """Bytes of every claimed update of these shapes."""
    return encoded_size(_CODEC, shapes)


def pack_update(update: Mapping[str, Tensor]) -> bytes:
    """A claimed update, without loss. Raises CompressionError for one that int8 blocks do not hold exactly."""
    for name, tensor in update.items():
        if not torch.equal(through_int8(tensor).view(torch.int32), tensor.contiguous().view(torch.int32)):
            raise CompressionError(f"{name} is not rounded as claimed updates are")
    return encode_update(_CODEC, {name: tensor.cpu() for name, tensor in update.items()})


def unpack_update(data: bytes | memoryview, shapes: Shapes) -> dict[str, Tensor]:
    """The update behind bytes that anybody may have sent. Raises CompressionError for another length or form.

    Several encodings may give one update, so it is the update's root that tells whether it is the claimed one.
    """
    return decode_update(_CODEC, data, shapes)
