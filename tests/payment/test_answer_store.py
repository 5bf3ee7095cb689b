"""What a home keeps for disputes: signed answers while they can be disputed, and the weights that they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.arena import MICRO
from consensus.commitments.tensors import tensor_set_root
from consensus.model.init import init_weights
from node.inference.paid.exhibit import ExhibitError, read_exhibit
from node.inference.paid.weights import FOLDER, KeptWeights
from node.storage.errors import TensorFileError
from node.storage.store import Store
from node.storage.tables import SignedAnswer

WEIGHTS = init_weights(MICRO, b"kept")
ROOT = tensor_set_root(WEIGHTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def answer(number: int, signed_at: int) -> SignedAnswer:
    roots = {name: bytes([number]) * 32 for name in ("claim_hash", "request", "weights_root")}
    return SignedAnswer(**roots, signed_at=signed_at, body="{}")


def test_answers_are_forgotten_when_their_time_is_over(store: Store) -> None:
    store.keep_answer(answer(1, 100), 0)
    store.keep_answer(answer(2, 200), 100)
    assert store.signed_answer(b"\x01" * 32) is not None
    store.keep_answer(answer(3, 300), 101)
    assert store.signed_answer(b"\x01" * 32) is None
    assert store.drop_answers(201) == {b"\x03" * 32}


def test_a_claim_is_on_record_once(store: Store) -> None:
    store.keep_answer(answer(1, 100), 0)
    store.keep_answer(answer(1, 150), 0)
    kept = store.signed_answer(b"\x01" * 32)
    assert kept is not None
    assert kept.signed_at == 150


def test_kept_weights_come_back_and_others_go(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path)
    kept.keep(ROOT, WEIGHTS)
    loaded = kept.load(MICRO, ROOT)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in WEIGHTS.items())
    kept.drop_except([ROOT])
    assert kept.has(ROOT)
    kept.drop_except([bytes(32)])
    assert not kept.has(ROOT)
    with pytest.raises(TensorFileError, match="not kept here"):
        kept.load(MICRO, ROOT)


def test_weights_under_a_wrong_name_are_refused(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path)
    kept.keep(ROOT, WEIGHTS)
    other = bytes(31) + b"\x01"
    (tmp_path / FOLDER / f"{ROOT.hex()}.safetensors").rename(tmp_path / FOLDER / f"{other.hex()}.safetensors")
    with pytest.raises(TensorFileError, match="other weights"):
        kept.load(MICRO, other)


@pytest.mark.parametrize("body", ["", "{}", '{"config": 1}', "[" * 2_000])
def test_a_damaged_answer_is_an_error_of_ours(body: str) -> None:
    with pytest.raises(ExhibitError, match="damaged"):
        read_exhibit(body)
