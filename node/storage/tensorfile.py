"""fp32 tensors in safetensors files: written whole or not at all, read only if they hold exactly what is expected.

Files may come from peers, so the header (github.com/huggingface/safetensors, "Format") is checked here, bounded,
before the library maps the file.
"""

from __future__ import annotations

import errno
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from node.paths import PRIVATE_FILE, disk_error, private_folder
from node.storage.errors import TensorFileError
from node.storage.files import publish, reporting

Shapes = Mapping[str, tuple[int, ...]]
"""Expected tensors by name; all are fp32."""
Tensors = dict[str, torch.Tensor]

HEADER_LIMIT = 4 << 20
"""Bytes; the header of a model of 10,000 tensors is about 1 MiB."""
_LENGTH_BYTES = 8
_FP32_BYTES = 4
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_HINT = "Fetch or write the file again; an older checkpoint is used meanwhile."


@dataclass(frozen=True)
class TensorFile:
    """What a file held: tensors in memory of their own, and the writer's text metadata (unverified)."""

    tensors: Tensors
    metadata: dict[str, str]


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes to expect of a file with these tensors."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def largest_file(shapes: Shapes) -> int:
    """Bytes that a file with these tensors can have at most: what a download may be allowed to grow to."""
    return _LENGTH_BYTES + HEADER_LIMIT + _data_bytes(shapes)


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Replace `path` durably by a file with `tensors` (contiguous fp32).

    Raises:
        ValueError: a tensor is not fp32.
        DiskError: no space or no permission; the old file stands.
    """
    wrong = sorted(name for name, tensor in tensors.items() if tensor.dtype != torch.float32)
    if wrong:
        raise ValueError(f"tensor '{wrong[0]}' is not fp32")
    private_folder(path.parent)
    # The library makes a temporary file of its own beside its target; a folder holds both for the sweep to find.
    with (
        reporting("write", path),
        tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as staging,
    ):
        staged = Path(staging) / path.name
        _save({name: tensor.cpu() for name, tensor in tensors.items()}, staged, dict(metadata))
        staged.chmod(PRIVATE_FILE)
        publish(staged, path)


def load_tensors(path: Path, shapes: Shapes) -> TensorFile:
    """Read a file that must hold exactly the tensors of `shapes`, all fp32, and not a byte more.

    Raises:
        TensorFileError: truncated, oversized, malformed, or other tensors than expected; names the file.
        FileNotFoundError: there is no such file.
        DiskError: it cannot be read.
    """
    metadata = _check_header(path, shapes)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name).clone() for name in sorted(shapes)}
    except SafetensorError as error:
        raise TensorFileError(f"{path} is not a valid safetensors file ({error}).", _HINT) from error
    return TensorFile(tensors, metadata)


def _save(tensors: Tensors, path: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        # The library reports what the system said only as text.
        code = _OS_ERROR.search(str(error))
        number = int(code.group(1)) if code else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from error


def _data_bytes(shapes: Shapes) -> int:
    return sum(_FP32_BYTES * math.prod(shape) for shape in shapes.values())


def _check_header(path: Path, shapes: Shapes) -> dict[str, str]:
    """Checks all but the offsets' layout, which the library checks; returns the metadata."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(_LENGTH_BYTES)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < _LENGTH_BYTES or size < _LENGTH_BYTES + min(length, HEADER_LIMIT):
            raise TensorFileError(f"{path} is truncated: it ends inside its header.", _HINT)
        if length > HEADER_LIMIT:
            raise TensorFileError(f"{path} is not a safetensors file: its header would have {length} bytes.", _HINT)
        raw = file.read(length)
    header = _parse(path, raw)
    metadata = _metadata(path, header.pop("__metadata__", {}))
    _require_tensors(path, header, shapes)
    expected = _LENGTH_BYTES + length + _data_bytes(shapes)
    if size != expected:
        fault = "truncated" if size < expected else "too long"
        raise TensorFileError(f"{path} is {fault}: {size} bytes instead of {expected}.", _HINT)
    return metadata


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise disk_error("read", path, error) from error
    with file, reporting("read", path):
        yield file


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = from_json(raw)  # unlike json.loads it bounds nesting, whatever the interpreter's recursion limit is
    except ValueError as error:
        raise TensorFileError(f"{path} is not a safetensors file: its header is not JSON.", _HINT) from error
    if not isinstance(header, dict):
        raise TensorFileError(f"{path} is not a safetensors file: its header is not an object.", _HINT)
    return header


def _metadata(path: Path, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TensorFileError(f"{path} has malformed metadata.", _HINT)
    return value


def _require_tensors(path: Path, header: dict[str, Any], shapes: Shapes) -> None:
    if header.keys() != shapes.keys():
        odd = min(header.keys() ^ shapes.keys())
        fault = "lacks" if odd in shapes else "has an unexpected"
        raise TensorFileError(f"{path} {fault} tensor '{odd[:100]}'.", _HINT)
    for name, shape in shapes.items():
        entry = header[name]
        if not isinstance(entry, dict) or entry.get("dtype") != "F32":
            raise TensorFileError(f"{path}: tensor '{name}' is not fp32.", _HINT)
        if entry.get("shape") != list(shape):
            raise TensorFileError(f"{path}: tensor '{name}' does not have the shape {list(shape)}.", _HINT)
