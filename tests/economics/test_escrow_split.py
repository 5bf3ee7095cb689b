"""The split of an answer's fee: nothing created, nothing lost, the contract's constants."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from economics import constants as c
from economics.escrow_split import split
from economics.units import Wei

LAYERS = st.lists(st.integers(1, 2**16 - 1), min_size=1, max_size=c.PAYEES_MAX)
FEES = st.integers(0, c.SUPPLY_CAP).map(Wei)


@given(FEES, LAYERS)
def test_every_wei_goes_somewhere_once(fee: Wei, layers: list[int]) -> None:
    shares = split(fee, layers)
    assert shares.embedding + shares.head + sum(shares.layers) + shares.burned + shares.returned == fee
    assert 0 <= shares.returned < len(layers)


@given(FEES, LAYERS)
def test_every_part_is_its_share_rounded_down(fee: Wei, layers: list[int]) -> None:
    shares = split(fee, layers)
    rest = fee - shares.embedding - shares.head - shares.burned
    assert shares.embedding * 10_000 <= fee * c.SPLIT_EMBEDDING < (shares.embedding + 1) * 10_000
    assert shares.head * 10_000 <= fee * c.SPLIT_HEAD < (shares.head + 1) * 10_000
    assert shares.burned * 10_000 <= fee * c.SPLIT_BURN < (shares.burned + 1) * 10_000
    for part, held in zip(shares.layers, layers, strict=True):
        assert part * sum(layers) <= rest * held < (part + 1) * sum(layers)


@given(FEES, LAYERS, st.integers(1, 2**16 - 2))
def test_one_holder_gains_no_wei_by_standing_in_the_list_twice(fee: Wei, layers: list[int], cut: int) -> None:
    layers = [max(2, layers[0]), *layers[1 : c.PAYEES_MAX - 1]]
    first = cut % (layers[0] - 1) + 1
    parts = split(fee, [first, layers[0] - first, *layers[1:]]).layers
    assert parts[0] + parts[1] <= split(fee, layers).layers[0]


@pytest.mark.parametrize("layers", [[], [0], [1, 0], [1] * (c.PAYEES_MAX + 1)])
def test_nobody_or_nothing_to_pay_is_refused(layers: list[int]) -> None:
    with pytest.raises(ValueError, match="payees"):
        split(Wei(1), layers)


def test_the_contract_has_the_same_constants() -> None:
    files = ("libraries/Split.sol", "InferenceEscrow.sol")
    source = "".join((Path("contracts/src") / name).read_text() for name in files)
    found = {name: int(value) for name, value in re.findall(r"constant (\w+) = (\d[\d_]*);", source)}
    shares = (found["EMBEDDING_BPS"], found["HEAD_BPS"], found["BURN_BPS"], found["MAX_PAYEES"])
    assert shares == (c.SPLIT_EMBEDDING, c.SPLIT_HEAD, c.SPLIT_BURN, c.PAYEES_MAX)
