"""Emission, slashing, audit shares and deployments: nothing is created, nothing pays a cheat."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from economics import (
    DEVNET,
    MAINNET,
    NETWORKS,
    Epoch,
    Minted,
    NetworkParameters,
    Seconds,
    Wei,
    audit_share,
    audited_claims,
    day_of,
    emission_ceiling,
    epoch_cap,
    epoch_of,
    is_drawn,
    lost_challenge,
    lost_claim,
    neuro,
    payable,
)

AMOUNT = st.integers(0, MAINNET.supply_cap).map(Wei)


def test_emission_halves_and_ends() -> None:
    assert epoch_cap(Epoch(0), MAINNET) == epoch_cap(Epoch(1_459), MAINNET) == neuro(20_000)
    assert epoch_cap(Epoch(1_460), MAINNET) == neuro(10_000)
    assert epoch_cap(Epoch(1_460 * 80), MAINNET) == 0


@pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
def test_genesis_and_all_epochs_stay_within_the_supply_cap(network: NetworkParameters) -> None:
    assert network.genesis_supply + emission_ceiling(network) <= network.supply_cap


def test_ceiling_is_the_sum_of_all_epochs() -> None:
    short = replace(MAINNET, epoch_emission=Wei(1_000), halving_epochs=Epoch(3))
    assert emission_ceiling(short) == sum(epoch_cap(Epoch(epoch), short) for epoch in range(40))


def test_epochs_and_days_count_from_their_starts() -> None:
    start = Seconds(1_000)
    assert epoch_of(start, start, MAINNET) == 0
    assert epoch_of(Seconds(1_000 + 86_400), start, MAINNET) == 1
    assert day_of(Seconds(86_399), MAINNET) == 0
    with pytest.raises(ValueError, match="before deployment"):
        epoch_of(Seconds(999), start, MAINNET)


@given(AMOUNT, AMOUNT, AMOUNT, AMOUNT, st.integers(0, 10_000).map(Epoch))
def test_payment_stays_within_every_cap(reward: Wei, spent: Wei, day: Wei, supply: Wei, epoch: Epoch) -> None:
    paid = payable(reward, epoch, Minted(spent, day, supply), MAINNET)
    assert 0 <= paid <= reward
    if paid:
        assert spent + paid <= epoch_cap(epoch, MAINNET)
        assert day + paid <= MAINNET.node_day_cap
        assert supply + paid <= MAINNET.supply_cap


@given(AMOUNT)
def test_a_lost_claim_conserves_and_challenging_oneself_loses(bond: Wei) -> None:
    split = lost_claim(bond)
    assert split.slashed == split.to_challenger + split.burned == 2 * bond
    assert split.slashed - split.to_challenger >= bond


@given(AMOUNT)
def test_a_lost_challenge_conserves_and_burns_the_odd_wei(bond: Wei) -> None:
    split = lost_challenge(bond)
    assert split.to_prover + split.burned == bond
    assert split.burned - split.to_prover in (0, 1)


@pytest.mark.parametrize(
    ("nodes", "share"),
    [(0, 10_000), (19, 10_000), (20, 2_000), (99, 2_000), (100, 500), (499, 500), (500, 300), (10**6, 300)],
)
def test_audit_share_by_network_size(nodes: int, share: int) -> None:
    assert audit_share(nodes) == share
    assert sum(is_drawn(draw, nodes) for draw in range(10_000)) == share


def test_a_round_with_a_claim_has_an_audit() -> None:
    assert [audited_claims(n, 1_000) for n in (0, 1, 33, 34, 100)] == [0, 1, 1, 2, 3]
    assert audited_claims(7, 3) == 7


def test_presets_follow_the_protocol() -> None:
    assert (MAINNET.window, MAINNET.response, MAINNET.thaw) == (600, 300, 18 * 86_400)
    assert MAINNET.claim_bond == neuro(50)
    votes = (MAINNET.discussion, MAINNET.vote, MAINNET.grace, MAINNET.emergency)
    assert votes == (7 * 86_400, 7 * 86_400, 7 * 86_400, 48 * 3_600)
    assert MAINNET.thaw >= MAINNET.vote + MAINNET.vote_extension + MAINNET.grace + MAINNET.emergency
    assert (MAINNET.progress, MAINNET.settle) == (30, 30)
    assert DEVNET.claim_bond == MAINNET.claim_bond, "money is the same everywhere; only times are short"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"claim_bond": neuro(51)}, "min_stake"),
        ({"challenge_bond": neuro(101)}, "challenge_bond"),
        ({"window": Seconds(0)}, "window"),
        ({"thaw": Seconds(899)}, "thaw"),
        ({"steps_per_round": 0}, "steps_per_round"),
        ({"genesis_supply": neuro(100_000_001)}, "genesis_supply"),
    ],
)
def test_a_deployment_that_breaks_a_rule_is_refused(change: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(MAINNET, **change)  # type: ignore[arg-type]


def test_neuro_refuses_parts_of_a_wei() -> None:
    with pytest.raises(ValueError, match="whole number of wei"):
        neuro(1, 3)


def test_economics_is_light_to_import() -> None:
    probe = "import sys, economics; print(sorted({'torch', 'numpy', 'web3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
