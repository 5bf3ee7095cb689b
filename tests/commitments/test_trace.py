"""The trace: its leaf's bytes, its tree, its proofs, and what it refuses."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.commitments import tree
from consensus.commitments.trace import StepLeaf, Trace, loss_bits, loss_value
from consensus.errors import CommitmentError

ROOT = st.binary(min_size=32, max_size=32)
U32 = st.integers(0, 2**32 - 1)


def sample(steps: int) -> Trace:
    return Trace(StepLeaf(tree.leaf_hash(b"s%d" % i), tree.leaf_hash(b"b%d" % i), i * 7, i) for i in range(steps))


@given(ROOT, ROOT, U32, U32)
def test_a_leaf_is_its_72_bytes(state: bytes, batch: bytes, loss: int, step: int) -> None:
    leaf = StepLeaf(state, batch, loss, step)
    assert leaf.encode() == state + batch + loss.to_bytes(4, "big") + step.to_bytes(4, "big")
    assert StepLeaf.decode(leaf.encode()) == leaf
    assert leaf.hash() == tree.leaf_hash(leaf.encode())


@settings(max_examples=30)
@given(st.integers(1, 130), st.data())
def test_pymerkle_agrees_with_our_tree(steps: int, data: st.DataObject) -> None:
    trace = sample(steps)
    hashes = [leaf.hash() for leaf in trace]
    step = data.draw(st.integers(0, steps - 1))
    assert trace.root() == tree.root(hashes)
    assert trace.prove(step) == tree.inclusion_proof(hashes, step)
    assert tree.verify_inclusion(trace[step].hash(), step, len(trace), trace.prove(step), trace.root())


def test_an_empty_trace() -> None:
    assert Trace().root() == tree.EMPTY_ROOT
    with pytest.raises(IndexError):
        Trace().prove(0)


def test_a_step_cannot_be_skipped_or_repeated() -> None:
    trace = sample(3)
    for step in (2, 4):
        with pytest.raises(CommitmentError, match="cannot follow"):
            trace.append(StepLeaf(bytes(32), bytes(32), 0, step))
    assert len(trace) == 3


def test_a_trace_survives_its_encoding() -> None:
    trace = sample(5)
    again = Trace.decode(trace.encode(), max_steps=5)
    assert list(again) == list(trace)
    assert again.root() == trace.root()
    for broken in (trace.encode()[:-1], trace.encode() + bytes(1), sample(6).encode()):
        with pytest.raises(CommitmentError):
            Trace.decode(broken, max_steps=5)
    with pytest.raises(CommitmentError):
        Trace.decode(trace[1].encode(), max_steps=5)


@pytest.mark.parametrize(
    "leaf", [(bytes(31), bytes(32), 0, 0), (bytes(32), bytes(32), 2**32, 0), (bytes(32),) * 2 + (0, -1)]
)
def test_what_is_no_leaf(leaf: tuple[bytes, bytes, int, int]) -> None:
    with pytest.raises(CommitmentError):
        StepLeaf(*leaf)


@given(st.floats(width=32, allow_nan=False))
def test_loss_bits_are_exact(loss: float) -> None:
    assert math.copysign(1, loss_value(loss_bits(loss))) == math.copysign(1, loss)
    assert loss_value(loss_bits(loss)) == loss


@pytest.mark.parametrize("loss", [0.1, 1e39, math.nan])
def test_a_loss_that_is_no_fp32_number(loss: float) -> None:
    with pytest.raises(CommitmentError):
        loss_bits(loss)
