"""A paid answer with one wrong token, from the stream to the slash; and an honest server that is accused of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from economics.constants import CHALLENGE_BOND, CLAIM_BOND
from node.chain.court import AccusationState
from node.dispute.accusing import Accuser
from node.dispute.court import Player
from node.errors import RevertError
from node.inference.paid.exhibit import exhibit_of
from node.inference.paid.journal import Record
from node.inference.paid.verify import verify_with
from node.storage.store import Store
from tests.payment.conftest import Market
from tests.payment.trials import STAKE, TOKENS, WRONG, Lying, Trials, player_of


@pytest.fixture
def store(market: Market) -> Iterator[Store]:
    """The server's database."""
    with Store.open(market.home / "server") as store:
        yield store


def answered(trials: Trials, store: Store, answerer: object = None) -> Record:
    """A paid and signed answer, as the payer finds it on its disk."""
    with trials.serving(store, answerer) as uri:
        record = trials.opened(uri)
        "".join(trials.payer().answer(record))
        trials.market.await_over(record)
    return trials.payer().journal.load(record.request)


def players(trials: Trials, store: Store) -> tuple[Player, Player]:
    """The payer's and the server's."""
    payer, server = trials.market.contracts(1), trials.market.contracts(2)
    return (
        player_of(payer, trials.homes[0], None, trials.first),
        player_of(server, trials.homes[1], store, trials.first),
    )


def play(*sides: Player) -> int:
    """Let the sides move in turn until nobody has a move; how many were made."""
    made, moves = 0, 1
    while moves:
        moves = sum(side.look() for side in sides)
        made += moves
    return made


def test_a_server_that_lies_in_one_token_is_slashed(trials: Trials, store: Store) -> None:
    record = answered(trials, store, Lying)
    verdict = verify_with(trials.model, record)
    assert verdict.wrong == WRONG
    assert f"token {WRONG}" in verdict.words
    accuser = trials.accused(record, verdict.wrong)
    assert play(*players(trials, store)) == 2, "the server opens the token, and one proof decides"
    assert accuser.stands().state is AccusationState.WON
    assert trials.stake_of(2) == (STAKE - 2 * CLAIM_BOND, 0, 0)
    assert trials.stake_of(1) == (STAKE, 0, CLAIM_BOND)


def test_a_server_that_is_silent_is_slashed(trials: Trials, store: Store) -> None:
    record = answered(trials, store, Lying)
    accuser = trials.accused(record, WRONG)
    mine, _ = players(trials, store)
    assert mine.look() == 0, "the server still has time"
    trials.market.network.advance(trials.market.contracts(0).court.terms().response + 1)
    assert play(mine) == 1
    assert accuser.stands().state is AccusationState.WON
    assert trials.stake_of(2) == (STAKE - 2 * CLAIM_BOND, 0, 0)


def test_an_honest_server_wins_against_a_false_accusation(trials: Trials, store: Store) -> None:
    record = answered(trials, store)
    assert verify_with(trials.model, record).matches
    accuser = trials.accused(record, WRONG)
    sides = players(trials, store)
    assert play(*sides) == 1, "the server answers, and there is nothing to prove against it"
    trials.market.network.advance(3600)
    assert play(*sides) == 1
    assert accuser.stands().state is AccusationState.FAILED
    assert trials.stake_of(2) == (STAKE, 0, CHALLENGE_BOND // 2)
    assert trials.stake_of(1) == (STAKE - CHALLENGE_BOND, 0, 0)


def test_an_accusation_is_made_once_and_in_time(trials: Trials, store: Store) -> None:
    record = answered(trials, store)
    late = Accuser(trials.market.contracts(1), exhibit_of(record))
    trials.market.network.advance(trials.market.contracts(0).court.terms().window + 1)
    with pytest.raises(RevertError, match="deadline passed"):
        late.accuse(WRONG)
    assert late.stands().state is AccusationState.NONE


def test_both_sides_keep_the_signature_and_the_claim_is_the_same(trials: Trials, store: Store) -> None:
    record = answered(trials, store)
    exhibit = exhibit_of(record)
    claim = exhibit.require_signed(trials.market.contracts(1).court.domain)
    assert trials.market.contracts(1).court.hash_claim(claim) == trials.market.contracts(1).court.domain.hash(claim)
    kept = store.signed_answer(trials.market.contracts(1).court.domain.hash(claim))
    assert kept is not None
    assert (kept.request, kept.weights_root, claim.steps) == (record.id, trials.model.root, len(record.ids))
    assert record.tokens == len(record.ids) == TOKENS
