"""Exact amounts, consecutive nonces."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.nonces import NonceCounter
from node.chain.units import format_time, format_units, parse_neuro
from node.errors import PonwError


@given(st.integers(0, 10**45))
def test_amounts_survive_the_round_trip(wei: int) -> None:
    assert parse_neuro(format_units(wei).removesuffix(" NEURO")) == wei


@pytest.mark.parametrize(
    ("text", "wei"), [("1", 10**18), ("0.000000000000000001", 1), ("0.1", 10**17), (" 2.50 ", 25 * 10**17), ("0", 0)]
)
def test_parse(text: str, wei: int) -> None:
    assert parse_neuro(text) == wei


@pytest.mark.parametrize("text", ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000000000000001", "½", "٣٫"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(PonwError, match="not an amount"):
        parse_neuro(text)


def test_format() -> None:
    assert format_units(-15 * 10**17, "ETH") == "-1.5 ETH"
    assert format_time(0) == "1970-01-01T00:00:00Z"
    assert format_time(2**64 - 1) == str(2**64 - 1)


def test_nonces_are_consecutive_across_threads() -> None:
    fetched: list[int] = []

    def fetch() -> int:
        fetched.append(7)
        return 7

    counter = NonceCounter(fetch)
    taken: list[int] = []

    def work() -> None:
        for _ in range(25):
            with counter.take() as nonce:
                taken.append(nonce)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == list(range(7, 107))
    assert len(fetched) == 1


def test_nonces_are_fetched_again_after_an_error() -> None:
    answers = iter([3, 9])
    counter = NonceCounter(lambda: next(answers))
    with pytest.raises(ValueError, match="lost"), counter.take():
        raise ValueError("lost")
    with counter.take() as nonce:
        assert nonce == 9
    with counter.take() as nonce:
        assert nonce == 10
