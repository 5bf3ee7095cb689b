"""The proofs of a dispute as the contract takes them: tuples in the order of the fields of ``IJudge``."""

from typing import Any, Final

Proof = list[bytes]
Abi = tuple[Any, ...]

_ROOT: Final = bytes(32)
NO_CLAIM: Final[Abi] = (0, 0, "0x" + "00" * 20, _ROOT, _ROOT, _ROOT, _ROOT, _ROOT, _ROOT, 0, 0, 0, 0, 0)
NO_OUTPUT: Final[Abi] = (_ROOT, [], [])
NO_PATH: Final[Abi] = (_ROOT, [], _ROOT, [])
NO_LEAF: Final[Abi] = (0, b"", [])
NO_READ: Final[Abi] = ([],)


def output_root(root: bytes, sources: Proof, proof: Proof) -> Abi:
    """``OutputRoot``."""
    return (root, sources, proof)


def leaf(index: int, data: bytes, proof: Proof) -> Abi:
    """``Leaf``."""
    return (index, data, proof)


def set_path(set_root: bytes, set_proof: Proof, tensor_leaf: bytes, proof: Proof) -> Abi:
    """``SetPath``."""
    return (set_root, set_proof, tensor_leaf, proof)


def port_proof(
    port: int, data: bytes, proof: Proof, output: Abi, path: Abi = NO_PATH, finals: Proof | None = None,
    source: Abi = NO_CLAIM,
) -> Abi:  # fmt: skip
    """``PortProof``."""
    return (port, data, proof, output, path, finals or [], source)
