"""A quorum on a real EVM: three accounts sign, one posts, all are paid by what they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from consensus.commitments.claim import Claim, ClaimKind
from economics import Steps, member_shares
from economics.constants import CLAIM_BOND, SESSION_TIME_MAX
from economics.units import neuro
from node.chain.contracts import Contracts
from node.chain.quorum_events import ClaimBound, ClaimDue, MemberLeft, MemberPaid, Registered
from node.chain.quorums import BoundState, Consent, Member, QuorumError, Work, check_members
from node.errors import RevertError

if TYPE_CHECKING:
    from tests.conftest import Network

pytestmark = pytest.mark.process
Staked = Callable[[int, int], Contracts]
STEPS = 5


@pytest.fixture
def three(staked: Staked) -> list[Contracts]:
    """Accounts with unlike stakes."""
    return [staked(1, neuro(500)), staked(2, neuro(300)), staked(3, neuro(700))]


def _consent(three: list[Contracts], seconds: int = 3600) -> Consent:
    lead = three[0]
    accounts = [one.client.address for one in three]
    members = tuple(Member(account, *held) for account, held in zip(accounts, ((0, 1), (1, 2), (3, 1)), strict=True))
    until = lead.client.block().timestamp + seconds
    return Consent(accounts[0], members, lead.quorums.nonce_of(accounts[0]), until)


def _begin(three: list[Contracts]) -> Consent:
    consent = _consent(three)
    three[2].quorums.register(consent, [one.quorums.sign(consent) for one in three])
    return consent


def _claim(network: Network, node: Contracts) -> Claim:
    genesis = network.genesis
    return Claim(
        kind=ClaimKind.TRAIN,
        round=1,
        node=bytes.fromhex(node.client.address[2:]),
        program_hash=genesis.program_hash,
        data_root=genesis.data_root,
        start_root=genesis.start_root,
        end_root=b"\x04" * 32,
        trace_root=b"\x05" * 32,
        update_root=b"\x06" * 32,
        steps=STEPS,
        tokens=STEPS * genesis.tokens_per_step,
        first_layer=0,
        layer_count=genesis.layers,
        base=1,
    )


def test_a_session_trains_and_its_members_are_paid(network: Network, three: list[Contracts]) -> None:
    lead = three[0]
    consent = _begin(three)
    assert [one.staking.account_of(one.client.address).locked for one in three] == [2 * CLAIM_BOND] * 3
    lead.registry.open_round()
    claim = _claim(network, lead)
    lead.registry.post_for(claim, 1)
    claim_hash = lead.registry.hash_claim(claim)
    assert lead.quorums.claim_of(claim_hash).state is BoundState.OPEN
    times = network.deployment.parameters
    network.advance(int(times["train_time"]) + int(times["window"]) + 1)
    three[1].registry.finalise(claim)
    three[2].quorums.pay(claim_hash, consent.members)
    shares = member_shares(Steps(STEPS), [(1, neuro(500)), (2, neuro(300)), (1, neuro(700))])
    assert [one.emission.accrued_of(one.client.address) for one in three] == list(shares)
    assert all(shares)
    network.advance(3600)
    three[1].quorums.leave(1, consent.members)
    assert three[1].staking.account_of(three[1].client.address).locked == 0
    assert lead.quorums.session_of(1).freed == 2
    found = list(lead.quorums.events(network.deployment.block, lead.client.block().number))
    assert [type(event) for event in found] == [Registered, ClaimBound, ClaimDue, *[MemberPaid] * 3, MemberLeft]
    begun = found[0]
    assert isinstance(begun, Registered)
    assert tuple(Member(*one) for one in begun.members) == consent.members
    assert [event.reward for event in found if isinstance(event, MemberPaid)] == list(shares)


def test_a_consent_is_read_alike_on_both_sides(three: list[Contracts]) -> None:
    quorums, consent = three[0].quorums, _consent(three)
    place = (three[0].client.chain_id, quorums.address)
    assert consent.digest(*place) == quorums.hash_consent(consent)
    signature = three[1].quorums.sign(consent)
    assert consent.signer(signature, *place) == three[1].client.address
    assert consent.signer(signature, place[0] + 1, place[1]) != three[1].client.address
    assert replace(consent, nonce=1).signer(signature, *place) != three[1].client.address
    assert consent.signer(signature[:64], *place) is None
    assert consent.signer(b"\xff" * 65, *place) is None


def test_work_is_read_alike_and_the_session_is_as_long(three: list[Contracts]) -> None:
    quorums, work = three[0].quorums, Work(b"\x01" * 32, 7, b"\x02" * 32)
    place = (three[0].client.chain_id, quorums.address)
    assert work.digest(*place) == quorums.hash_work(work)
    assert work.signer(three[1].quorums.sign_work(work), *place) == three[1].client.address
    assert quorums.session_max() == SESSION_TIME_MAX


def test_a_member_that_did_not_sign_is_named(three: list[Contracts]) -> None:
    consent = _consent(three)
    signatures = [one.quorums.sign(consent) for one in (three[0], three[1], three[0])]
    with pytest.raises(RevertError) as refused:
        three[0].quorums.register(consent, signatures)
    assert refused.value.name == "NoConsent"
    assert "Member 2 did not sign" in refused.value.message


def test_a_leader_dissolves_and_everyone_leaves(three: list[Contracts]) -> None:
    consent = _begin(three)
    with pytest.raises(RevertError) as early:
        three[1].quorums.leave(1, consent.members)
    assert early.value.name == "SessionRuns"
    three[0].quorums.dissolve(1)
    for one in three:
        one.quorums.leave(1, consent.members)
        assert one.staking.account_of(one.client.address).locked == 0


def test_only_a_member_can_leave(three: list[Contracts]) -> None:
    with pytest.raises(QuorumError):
        three[0].quorums.leave(1, [Member(three[1].client.address, 0, 4)])


@pytest.mark.parametrize(
    "held",
    [
        [],
        [("a", 0, 3)],
        [("a", 0, 5)],
        [("a", 1, 3)],
        [("a", 0, 2), ("b", 1, 3)],
        [("a", 0, 2), ("b", 3, 1)],
        [("a", 0, 4), ("b", 4, 0)],
        [("a", 0, 2), ("a", 2, 2)],
        [("b", 0, 4)],
        [(str(at), at, 1) for at in range(17)],
    ],
)
def test_members_that_the_contract_would_refuse(held: list[tuple[str, int, int]]) -> None:
    check_members([Member("a", 0, 3), Member("b", 3, 1)], "a", 4)
    with pytest.raises(QuorumError):
        check_members([Member(*one) for one in held], "a", 4)
