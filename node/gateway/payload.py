"""What an upload carries: an update in one of the codecs, or whole fp32 tensors, as bytes whose number the shapes fix.

`raw` is a safetensors file (github.com/huggingface/safetensors, "Format") with one header only that these shapes can
have: names in order, no metadata, padded with spaces to 8 bytes. So equal tensors are equal bytes, and one digest of
them is enough to compare replicas.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from typing import Final

import numpy as np
import torch
from torch import Tensor

from consensus.aggregation.compression import (
    Codec,
    FourLevel,
    Int8,
    TopK,
    TwoBit,
    decode_update,
    encode_update,
    encoded_size,
)
from consensus.errors import CompressionError
from node.gateway.schemas import CodecName

Shapes = Mapping[str, tuple[int, ...]]
CODECS: Final[Mapping[str, Codec]] = {
    "topk": TopK(),
    "int8": Int8(),
    "twobit": TwoBit(),
    "fourlevel": FourLevel(),
}
"""The lossy encodings by their name in the API; `raw` is none of them."""
_FP32: Final = 4
_ALIGN: Final = 8


def payload_size(codec: CodecName, shapes: Shapes) -> int:
    """Bytes of every payload of these shapes, before zstd."""
    if codec == "raw":
        return len(_raw_head(shapes)) + sum(_FP32 * prod(shape) for shape in shapes.values())
    return encoded_size(CODECS[codec], shapes)


def encode_payload(codec: CodecName, update: Mapping[str, Tensor]) -> bytes:
    """An update of finite fp32 tensors. Raises CompressionError on any other value."""
    return raw_bytes(update) if codec == "raw" else encode_update(CODECS[codec], update)


def decode_payload(codec: CodecName, data: bytes | bytearray | memoryview, shapes: Shapes) -> dict[str, Tensor]:
    """The update behind a payload that anybody may have sent; fp32 by name, of `shapes`.

    Raises CompressionError for anything that `encode_payload` never writes; every value returned is finite.
    """
    view = memoryview(data)
    return read_raw(view, shapes) if codec == "raw" else decode_update(CODECS[codec], view, shapes)


def raw_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Finite fp32 tensors as the one safetensors file that there is of them. Raises CompressionError on others."""
    parts = [_raw_head({name: tuple(t.shape) for name, t in tensors.items()})]
    for name in sorted(tensors):
        flat = tensors[name].detach().contiguous().reshape(-1)
        if flat.dtype is not torch.float32 or not bool(torch.isfinite(flat).all()):
            raise CompressionError(f"{name} is not all finite fp32 numbers")
        parts.append(flat.numpy().tobytes())
    return b"".join(parts)


def read_raw(data: memoryview, shapes: Shapes) -> dict[str, Tensor]:
    """The reverse of `raw_bytes`, for these shapes. Raises CompressionError."""
    head, due = _raw_head(shapes), payload_size("raw", shapes)
    if len(data) != due:
        raise CompressionError(f"{len(data)} bytes of tensors where {due} were due")
    if data[: len(head)] != head:
        raise CompressionError("the header is not the one that these tensors have")
    tensors, at = {}, len(head)
    for name in sorted(shapes):
        count = prod(shapes[name])
        tensor = torch.from_numpy(np.frombuffer(data, dtype="<f4", count=count, offset=at).copy())
        if not bool(torch.isfinite(tensor).all()):
            raise CompressionError(f"{name} holds a value that is not finite")
        tensors[name] = tensor.reshape(shapes[name])
        at += _FP32 * count
    return {name: tensors[name] for name in shapes}


def tensors_hash(tensors: Mapping[str, Tensor]) -> bytes:
    """sha256 of `raw_bytes`: names a residual. Raises CompressionError."""
    return hashlib.sha256(raw_bytes(tensors)).digest()


def zero_hash(shapes: Shapes) -> bytes:
    """What `residual_in` names where nothing was left out before: the hash of zeros."""
    return tensors_hash({name: torch.zeros(shape) for name, shape in shapes.items()})


def _raw_head(shapes: Shapes) -> bytes:
    """Length (u64 LE) and JSON of the file's header."""
    entries, at = {}, 0
    for name in sorted(shapes):
        end = at + _FP32 * prod(shapes[name])
        entries[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return len(text).to_bytes(8, "little") + text
