"""A lie in a quorum's claim, disputed on a real EVM: the member that holds the op's layer pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from bench import arena as arenas
from bench.arena import Arena, flip, openings
from consensus.dispute.game import Case, Stage, program_of
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.program.known import suite_of
from consensus.program.layers import LayerTable
from consensus.program.ops import NO_LAYER, Kind, Program
from consensus.program.step import step_program
from consensus.program.update import update_program
from consensus.training.outer import GlobalState
from economics.constants import CLAIM_BOND
from node.chain.quorums import BoundState, Consent, Member, Work
from node.data.corpus import ensure_default
from node.errors import RevertError

pytestmark = pytest.mark.process
TWO = ModelConfig("two", layers=2, width=16, heads=2, seq_len=32, batch=4)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A network of two layers on a chain of its own."""
    folder = tmp_path_factory.mktemp("quorum-arena")
    dataset, start = ensure_default(folder / "data"), GlobalState.start(init_weights(TWO, b"arena"))
    with arenas.arena(folder / "chain", TWO, dataset, start) as made:
        yield made


def begin(field: Arena) -> tuple[int, tuple[Member, ...]]:
    """The prover leads with layer 0, account 3 holds layer 1."""
    lead, other = field.prover, field.contracts[3]
    members = (Member(lead.client.address, 0, 1), Member(other.client.address, 1, 1))
    until = lead.client.block().timestamp + 3600
    consent = Consent(members[0].account, members, lead.quorums.nonce_of(members[0].account), until)
    lead.quorums.register(consent, [one.quorums.sign(consent) for one in (lead, other)])
    return lead.quorums.sessions(), members


def lie_in(program: Program, layer: int) -> int:
    """A multiplication in the middle of a layer's work."""
    found = [at for at, op in enumerate(program.ops) if program.layers[at] == layer and op.kind is Kind.MUL]
    return found[len(found) // 2]


def blame(field: Arena, step: int, op: int) -> tuple[int, ...]:
    """Play a claim with a lie at ``op``; what leader, member and challenger have gained once its owner is named."""
    honest = field.story(2)
    lying = field.story(2, {step: flip(op, 0, 1)})
    claim = field.claim(lying)
    case = Case(TWO, field.dispute(claim, step, lying, lying.reruns[step].trace.root))
    session, members = begin(field)
    staking = field.challenger.staking
    accounts = [member.account for member in members]
    before = [staking.account_of(account).active for account in accounts]
    facts = field.facts(step, honest.reruns[step])
    outcome = field.play(case, openings(lying, step), facts, lying.reruns[step], session=session)
    assert not outcome.prover_won
    quorums, claim_hash = field.challenger.quorums, field.challenger.registry.hash_claim(claim)
    assert quorums.claim_of(claim_hash).state is BoundState.FAULTY
    assert quorums.fault_of(claim_hash).op == op
    table = LayerTable.of(TWO, step_program(TWO), update_program(TWO))
    work = Work(claim_hash, step, case.dispute.trace)
    owner = table.segments[table.row_of(op)].layer
    with pytest.raises(RevertError) if owner == 1 else nullcontext():
        quorums.blame(claim, members, suite_of(TWO), table, op, field.prover.quorums.sign_work(work))
    if owner == 1:
        quorums.blame(claim, members, suite_of(TWO), table, op, field.contracts[3].quorums.sign_work(work))
    assert quorums.claim_of(claim_hash).state is BoundState.LOST
    now = [staking.account_of(account).active for account in accounts]
    gained = [after - was for after, was in zip(now, before, strict=True)]
    return *gained, staking.credit_of(field.challenger.client.address)


@pytest.mark.parametrize(("layer", "owner"), [(0, 0), (1, 1)])
def test_the_owner_of_the_layer_pays(field: Arena, layer: int, owner: int) -> None:
    program = program_of(TWO, Stage.STEP)
    with field.undone():
        lost = [0, 0]
        lost[owner] = -2 * CLAIM_BOND
        assert blame(field, 1, lie_in(program, layer)) == (*lost, CLAIM_BOND)


def test_the_leader_pays_for_what_is_nobodys(field: Arena) -> None:
    program = program_of(TWO, Stage.STEP)
    assert program.layers[program.inputs["schedule"]] == NO_LAYER
    with field.undone():
        assert blame(field, 1, program.inputs["schedule"]) == (-2 * CLAIM_BOND, 0, CLAIM_BOND)
