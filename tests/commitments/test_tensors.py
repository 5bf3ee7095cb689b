"""Tensor, set and state roots by their definition; openings of single leaves."""

import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.commitments import tensors, tree
from consensus.commitments.batch import batch_root
from consensus.commitments.openings import TensorProof, leaf_place, tensor_proof, verify_tensor_proof
from consensus.errors import CommitmentError


def plain_tensor_root(data: bytes) -> bytes:
    return tree.root([tree.leaf_hash(data[at : at + 1024]) for at in range(0, len(data), 1024)])


def sample_set(seed: int) -> dict[str, torch.Tensor]:
    draw = np.random.default_rng(seed)
    shapes = {"wte": (264, 32), "block.0.up": (32, 96), "norm": (32,), "scale": ()}
    return {name: torch.from_numpy(np.asarray(draw.random(shape, dtype=np.float32))) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int8, torch.int64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7, 33), (3, 1024)])
def test_a_tensors_root_is_over_its_bytes(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape).to(dtype)
    raw = bytes(tensor.reshape(-1).view(torch.uint8).tolist())
    assert tensors.tensor_root(tensor) == plain_tensor_root(raw) == tensors.tensor_root(raw)


def test_strides_do_not_matter() -> None:
    tensor = torch.arange(6_000, dtype=torch.float32).reshape(60, 100)
    assert tensors.tensor_root(tensor.t()) == tensors.tensor_root(tensor.t().contiguous())
    assert tensors.tensor_root(tensor.numpy()[::2]) == tensors.tensor_root(tensor[::2])
    assert tensors.tensor_root(tensor.numpy()) == tensors.tensor_root(tensor)


def test_big_endian_arrays_are_refused() -> None:
    with pytest.raises(CommitmentError, match="little-endian"):
        tensors.tensor_root(np.zeros(4, dtype=">f4"))


def test_set_root_by_its_definition() -> None:
    chosen = sample_set(1)
    leaves = []
    for name in sorted(chosen):
        tensor = chosen[name]
        head = name.encode() + b"\0float32\0" + struct.pack(f">B{tensor.dim()}I", tensor.dim(), *tensor.shape)
        leaves.append(tree.leaf_hash(head + plain_tensor_root(tensor.numpy().tobytes())))
    assert tensors.tensor_set_root(chosen) == tree.root(leaves)
    assert tensors.tensor_set_root(dict(reversed(chosen.items()))) == tree.root(leaves), "order of insertion is nothing"


def test_state_and_global_roots_by_their_definition() -> None:
    sets = [sample_set(seed) for seed in range(3)]
    leaves = [tree.leaf_hash(tensors.tensor_set_root(one)) for one in sets]
    assert tensors.state_root(*sets) == tree.root(leaves)
    assert tensors.global_root(*sets[:2]) == tree.root(leaves[:2])
    assert tensors.state_root(*sets, threads=1) == tensors.state_root(*sets, threads=2)


def test_every_bit_counts() -> None:
    state, before = sample_set(4), tensors.tensor_set_root(sample_set(4))
    state["norm"][7] = -state["norm"][7]
    assert tensors.tensor_set_root(state) != before
    renamed = {("norn" if name == "norm" else name): tensor for name, tensor in sample_set(4).items()}
    assert tensors.tensor_set_root(renamed) != before
    reshaped = sample_set(4) | {"wte": sample_set(4)["wte"].reshape(132, 64)}
    assert tensors.tensor_set_root(reshaped) != before


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_would_be_ambiguous_are_refused(name: str) -> None:
    with pytest.raises(CommitmentError, match="cannot be called"):
        tensors.tensor_set_root({name: torch.zeros(1)})


@settings(max_examples=30)
@given(st.integers(0, 2), st.sampled_from(["wte", "block.0.up", "norm", "scale"]), st.data())
def test_a_leaf_opens_at_its_own_place_only(part: int, name: str, data: st.DataObject) -> None:
    sets = [sample_set(seed) for seed in range(3)]
    root = tensors.state_root(*sets)
    leaves = -(-sets[part][name].numel() * 4 // 1024)
    leaf = data.draw(st.integers(0, leaves - 1))
    proof, place = tensor_proof(sets, part, name, leaf), leaf_place(sets, part, name, leaf)
    assert proof.leaf == sets[part][name].numpy().tobytes()[leaf * 1024 : (leaf + 1) * 1024]
    assert verify_tensor_proof(proof, place, root)
    assert not verify_tensor_proof(proof, leaf_place(sets, (part + 1) % 3, name, leaf), root)
    assert not verify_tensor_proof(proof, leaf_place(sets, part, "norm" if name != "norm" else "wte", 0), root)
    forged = bytes([proof.leaf[0] ^ 1]) + proof.leaf[1:]
    lie = TensorProof(forged, proof.leaf_path, proof.tensor_path, proof.set_path)
    assert not verify_tensor_proof(lie, place, root)
    long = TensorProof(bytes(1025), proof.leaf_path, proof.tensor_path, proof.set_path)
    assert not verify_tensor_proof(long, place, root)


def test_openings_outside_the_state() -> None:
    sets = [sample_set(seed) for seed in range(2)]
    with pytest.raises(IndexError):
        tensor_proof(sets, 0, "norm", 1)
    with pytest.raises(KeyError):
        tensor_proof(sets, 0, "nothing", 0)


def test_batch_root_by_its_definition() -> None:
    rows = [[1, 2, 263], [65_535, 0, 7]]
    expected = hashlib.sha256(b"\0" + struct.pack("<6i", *rows[0], *rows[1])).digest()
    assert batch_root(rows) == expected
    assert batch_root(torch.tensor(rows, dtype=torch.int32)) == expected
    assert batch_root(np.array(rows, dtype=np.uint16)) == expected


@pytest.mark.parametrize("tokens", [[1, 2], [[-1]], [[65_536]], [[0.5]], [[True]]])
def test_what_is_no_batch(tokens: object) -> None:
    with pytest.raises(CommitmentError):
        batch_root(tokens)  # type: ignore[arg-type]
