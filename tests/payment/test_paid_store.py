"""The server's memory of paid requests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.storage.errors import TransitionError
from node.storage.store import Store
from node.storage.tables import PaidState

REQUEST = b"\x01" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "home") as store:
        yield store


def test_a_request_is_accepted_once(store: Store) -> None:
    assert store.accept_paid(REQUEST, "{}")
    store.keep_voucher(REQUEST, 4, b"v")
    assert not store.accept_paid(REQUEST, "[]")
    record = store.paid(REQUEST)
    assert record is not None
    assert (record.quote, record.tokens, record.state) == ("{}", 4, PaidState.SERVING)


@settings(max_examples=15)
@given(vouchers=st.lists(st.integers(0, 50), max_size=12))
def test_the_highest_voucher_stands_in_whatever_order_they_come(
    vouchers: list[int],
) -> None:
    with tempfile.TemporaryDirectory() as home, Store.open(Path(home)) as store:
        store.accept_paid(REQUEST, "{}")
        for tokens in vouchers:
            store.keep_voucher(REQUEST, tokens, tokens.to_bytes(65, "big"))
        record = store.paid(REQUEST)
        assert record is not None
        highest = max(vouchers, default=0)
        assert (record.tokens, record.voucher) == (highest, highest.to_bytes(65, "big") if highest else b"")


def test_no_voucher_is_taken_when_the_settlement_has_begun(store: Store) -> None:
    store.accept_paid(REQUEST, "{}")
    store.end_paid(REQUEST)
    with pytest.raises(TransitionError):
        store.keep_voucher(REQUEST, 4, b"v")
    store.finish_paid(REQUEST, "settled")
    store.end_paid(REQUEST)
    record = store.paid(REQUEST)
    assert record is not None
    assert (record.state, record.outcome) == (PaidState.DONE, "settled")


def test_a_start_ends_what_was_being_served(store: Store) -> None:
    for number in range(3):
        store.accept_paid(bytes([number]) * 32, "{}")
    store.finish_paid(bytes(32), "settled")
    assert store.end_all_paid() == 2
    assert [record.request[0] for record in store.paid_in([PaidState.ENDED])] == [1, 2]
    assert store.end_all_paid() == 0


def test_an_unknown_request_is_an_error_of_the_caller(store: Store) -> None:
    for act in (
        lambda: store.keep_voucher(REQUEST, 1, b""),
        lambda: store.end_paid(REQUEST),
        lambda: store.finish_paid(REQUEST, ""),
    ):
        with pytest.raises(KeyError):
            act()
    assert store.paid(REQUEST) is None
