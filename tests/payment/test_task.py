"""What a quote commits to."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import CommitmentError
from consensus.inference.task import TASK_TAG, Task, prompt_root

TASK = Task(bytes(range(32)), 1, 2, prompt_root([72, 105]), 2, 700, 9_500, True)
CHANGES = [
    {"model_root": bytes(32)},
    {"vocabulary": 2},
    {"program": 1},
    {"prompt_root": prompt_root([72, 106])},
    {"prompt_length": 3},
    {"temperature_milli": 701},
    {"top_p_bps": 9_499},
    {"stop_at_eos": False},
]


def test_vectors() -> None:
    assert prompt_root([72, 105]).hex() == hashlib.sha256(b"\x00" + bytes([72, 0, 0, 0, 105, 0, 0, 0])).hexdigest()
    fields = "0001" + "0002" + prompt_root([72, 105]).hex() + "00000002" + "000002bc" + "0000251c" + "01"
    assert TASK.encode() == b"ponw/inference/task/1\0" + bytes(range(32)) + bytes.fromhex(fields)
    assert TASK.hash().hex() == "2295ed107123c44ca81b4047ed634ad0bc3d6a394a8408fea5a3cbde61dacfe2"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_field_is_committed_to(change: dict[str, object]) -> None:
    assert replace(TASK, **change).hash() != TASK.hash()  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 2**31 - 1), max_size=600), st.lists(st.integers(0, 2**31 - 1), max_size=600))
def test_prompts_differ_where_their_ids_differ(left: list[int], right: list[int]) -> None:
    assert (prompt_root(left) == prompt_root(right)) == (left == right)


def test_the_encoding_has_one_length() -> None:
    assert len(TASK.encode()) == len(TASK_TAG) + 32 + 2 + 2 + 32 + 4 + 4 + 4 + 1


@pytest.mark.parametrize(
    "change",
    [
        {"model_root": bytes(31)},
        {"vocabulary": 2**16},
        {"program": -1},
        {"prompt_length": 0},
        {"temperature_milli": 2**32},
        {"top_p_bps": 0},
        {"top_p_bps": 10_001},
        {"stop_at_eos": 2**8},
    ],
    ids=str,
)
def test_a_field_out_of_range_is_no_task(change: dict[str, object]) -> None:
    with pytest.raises(CommitmentError):
        replace(TASK, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [-1, 2**31])
def test_an_id_beyond_31_bits_is_no_token(token: int) -> None:
    with pytest.raises(CommitmentError):
        prompt_root([token])
