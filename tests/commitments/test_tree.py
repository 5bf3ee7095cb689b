"""The tree against the vectors of certificate transparency and against the RFC's recursive definition."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.commitments import tree

# Leaves and roots of the reference implementation (google/certificate-transparency, merkle_tree_test.cc).
CT_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, 2.1.3.1, as it is written there."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(index, leaves[:split]), mth(leaves[split:])]
    return [*path(index - split, leaves[split:]), mth(leaves[:split])]


def sample(size: int) -> list[bytes]:
    return [tree.leaf_hash(i.to_bytes(4, "big")) for i in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_certificate_transparency_vectors(size: int) -> None:
    hashes = [tree.leaf_hash(leaf) for leaf in CT_LEAVES[:size]]
    assert tree.root(hashes).hex() == CT_ROOTS[size - 1]


def test_empty_tree() -> None:
    assert tree.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with pytest.raises(IndexError):
        tree.inclusion_proof([], 0)
    assert not tree.verify_inclusion(tree.leaf_hash(b""), 0, 0, [], tree.EMPTY_ROOT)


@pytest.mark.parametrize("size", [*range(1, 40), 64, 100])
def test_roots_and_proofs_are_the_rfcs(size: int) -> None:
    hashes = sample(size)
    root = tree.root(hashes)
    assert root == mth(hashes)
    for index in range(size):
        proof = tree.inclusion_proof(hashes, index)
        assert proof == path(index, hashes)
        assert tree.verify_inclusion(hashes[index], index, size, proof, root)


@given(st.integers(1, 300), st.data())
def test_a_proof_shows_one_place_only(size: int, data: st.DataObject) -> None:
    hashes = sample(size)
    index = data.draw(st.integers(0, size - 1))
    root, proof = tree.root(hashes), tree.inclusion_proof(hashes, index)
    other = data.draw(st.integers(0, size + 3))
    if other != index:
        assert not tree.verify_inclusion(hashes[index], other, size, proof, root)
    assert not tree.verify_inclusion(tree.leaf_hash(b"forged"), index, size, proof, root)
    assert not tree.verify_inclusion(hashes[index], index, size, [*proof, bytes(32)], root)
    if proof:
        assert not tree.verify_inclusion(hashes[index], index, size, proof[:-1], root)
        at = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        assert not tree.verify_inclusion(hashes[index], index, size, [*proof[:at], flipped, *proof[at + 1 :]], root)


def test_a_node_is_no_leaf() -> None:
    hashes = sample(4)
    root = tree.root(hashes)
    left, right = tree.node_hash(*hashes[:2]), tree.node_hash(*hashes[2:])
    forged = tree.leaf_hash(hashes[0] + hashes[1])
    assert forged != left
    assert not tree.verify_inclusion(forged, 0, 2, [right], root)


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_outside_the_tree(index: int) -> None:
    with pytest.raises(IndexError):
        tree.inclusion_proof(sample(5), index)
    assert not tree.verify_inclusion(sample(5)[0], index, 5, [], tree.root(sample(5)))


def test_odd_sizes_of_hashes_and_long_proofs_are_refused() -> None:
    hashes = sample(2)
    assert not tree.verify_inclusion(hashes[0], 0, 2, [hashes[1][:31]], tree.root(hashes))
    assert not tree.verify_inclusion(hashes[0], 0, 2**200, [bytes(32)] * 200, tree.root(hashes))
