"""The first element of a leaf that differs, and how it reads."""

from dataclasses import dataclass

from torch import Tensor

from consensus.commitments.tensors import tensor_bytes
from economics.constants import LEAF_BYTES


@dataclass(frozen=True, slots=True)
class Element:
    """An element of an op's output as the prover committed to it: ``committed`` are its bytes, little-endian.

    ``root``: of the op's output. ``leaf``, ``data``, ``proof``: the leaf of it that holds the element.
    """

    op: int
    index: int
    committed: bytes
    root: bytes
    leaf: int
    data: bytes
    proof: list[bytes]


def first_difference(own: Tensor, leaf: int, data: bytes) -> tuple[int, bytes]:
    """(index, committed bytes) of the first element of ``leaf`` that is not our own; at least one is not."""
    width = own.element_size()
    ours = tensor_bytes(own)[leaf * LEAF_BYTES : (leaf + 1) * LEAF_BYTES].tobytes()
    at = next(at for at in range(0, len(ours), width) if ours[at : at + width] != data[at : at + width])
    return (leaf * LEAF_BYTES + at) // width, data[at : at + width]


def element_bytes(own: Tensor, index: int) -> bytes:
    """The bytes of one element of a tensor."""
    width = own.element_size()
    return tensor_bytes(own)[index * width : (index + 1) * width].tobytes()


def as_hex(data: bytes) -> str:
    """Little-endian bytes as a number in hex."""
    return "0x" + data[::-1].hex()
