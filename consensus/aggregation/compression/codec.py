"""How an update travels: a short header, then every tensor in order of names, each in the codec's blocks.

The length of an encoding follows from the codec and the shapes alone, and is the first thing that is checked. Decoding
is exact: the same bytes give the same fp32 numbers on every machine, and it is the decoded update that a claim names.
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Final, Protocol

import torch
from torch import Tensor

from consensus.errors import CompressionError

Shapes = Mapping[str, tuple[int, ...]]

_HEADER: Final = struct.Struct("<4sBxxxQ")
"""Magic, codec, elements."""
_MAGIC: Final = b"PUP1"


class Codec(Protocol):
    """One way to write the elements of a tensor."""

    @property
    def number(self) -> int:
        """What the header says."""

    def size(self, elements: int) -> int:
        """Bytes that so many elements take, always."""

    def encode(self, x: Tensor) -> bytes:
        """Finite fp32 [elements] -> ``size(elements)`` bytes."""

    def decode(self, data: memoryview, elements: int) -> Tensor:
        """The reverse, fp32 [elements]. Raises CompressionError for bytes that ``encode`` never writes."""


def encoded_size(codec: Codec, shapes: Shapes) -> int:
    """Bytes of every update of these shapes: what a receiver lets a message grow to."""
    return _HEADER.size + sum(codec.size(prod(shape)) for shape in shapes.values())


def encode_update(codec: Codec, update: Mapping[str, Tensor]) -> bytes:
    """An update of fp32 tensors. Raises CompressionError on a value that is not finite."""
    parts = [_HEADER.pack(_MAGIC, codec.number, sum(t.numel() for t in update.values()))]
    for name in sorted(update):
        flat = update[name].contiguous().reshape(-1)
        if flat.dtype is not torch.float32 or not bool(torch.isfinite(flat).all()):
            raise CompressionError(f"{name} is not all finite fp32 numbers")
        parts.append(codec.encode(flat))
    return b"".join(parts)


def decode_update(codec: Codec, data: bytes | memoryview, shapes: Shapes) -> dict[str, Tensor]:
    """The update behind an encoding that anybody may have sent.

    Raises CompressionError for another length, codec or number of elements, and for what ``encode_update`` never
    writes: an index out of order or range, a scale out of range, a value that is not finite, a bit set in padding.
    """
    wanted = encoded_size(codec, shapes)
    if len(data) != wanted:
        raise CompressionError(f"an update of {len(data)} bytes where {wanted} were due")
    view = memoryview(data)
    elements = sum(prod(shape) for shape in shapes.values())
    if _HEADER.pack(_MAGIC, codec.number, elements) != bytes(view[: _HEADER.size]):
        raise CompressionError("an update of another codec or of other shapes")
    update, at = {}, _HEADER.size
    for name in sorted(shapes):
        count = prod(shapes[name])
        size = codec.size(count)
        update[name] = codec.decode(view[at : at + size], count).reshape(shapes[name])
        at += size
    return {name: update[name] for name in shapes}
