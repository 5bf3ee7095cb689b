"""The repository. PONW_TEST_DATABASE may name another database (a URL) to run the suite on."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from node.errors import DatabaseError
from node.storage.errors import ClaimConflictError, LeafConflictError, TransitionError
from node.storage.store import Store
from node.storage.tables import Audit, Challenge, ClaimRecord, ClaimState, Leaf, Peer, Phase, Round, TxState

ROOT = bytes(range(32))
OTHER = bytes(32)
NODE = "0x" + "ab" * 20


def wipe(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        SQLModel.metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    engine.dispose()


@pytest.fixture
def store(tmp_path):
    url = os.environ.get("PONW_TEST_DATABASE")
    if url:
        wipe(url)
    with Store.open_url(url) if url else Store.open(tmp_path) as opened:
        yield opened


def a_round(number, **changes):
    fields = {"start_root": ROOT, "randomness": OTHER, "phase": Phase.TRAIN, "claim_deadline": 100}
    return Round(number=number, challenge_deadline=700, **{**fields, **changes})


def a_claim(number=1, kind=1, claim_hash=ROOT, body='{"kind":1}', node=NODE, state=ClaimState.SENT):
    return ClaimRecord(hash=claim_hash, round=number, node=node, kind=kind, own=False, body=body, state=state)


def a_leaf(step, loss_bits=0xFFFFFFFF):
    return Leaf(round=1, step=step, state_root=ROOT, batch_root=OTHER, loss_bits=loss_bits)


def test_rounds_are_saved_closed_and_listed(store):
    assert store.latest_round() is None
    store.save_round(a_round(1))
    store.save_round(a_round(2, claim_deadline=2**40))
    store.set_phase(1, Phase.WINDOW)
    assert store.round(1).phase == Phase.WINDOW
    store.close_round(1, OTHER)
    assert (store.round(1).phase, store.round(1).end_root) == ("closed", OTHER)
    assert store.latest_round().number == 2
    assert [record.claim_deadline for record in store.rounds()] == [100, 2**40]
    store.save_round(a_round(2, phase=Phase.OUTER))
    assert store.round(2).phase == Phase.OUTER
    assert store.round(3) is None
    with pytest.raises(KeyError):
        store.set_phase(3, Phase.OUTER)


def test_a_recomputed_leaf_must_be_the_same(store):
    store.save_round(a_round(1))
    assert store.append_leaf(a_leaf(1))
    assert store.append_leaf(a_leaf(0))
    assert not store.append_leaf(a_leaf(1))
    with pytest.raises(LeafConflictError, match="Step 1 of round 1"):
        store.append_leaf(a_leaf(1, loss_bits=0))
    assert [(leaf.step, leaf.loss_bits) for leaf in store.leaves(1)] == [(0, 0xFFFFFFFF), (1, 0xFFFFFFFF)]


def test_a_leaf_needs_its_round(store):
    with pytest.raises(DatabaseError):
        store.append_leaf(a_leaf(0))
    assert store.leaves(1) == []


def test_one_own_claim_a_round_and_kind(store):
    store.save_round(a_round(1))
    planned = store.plan_claim(a_claim())
    assert (planned.state, planned.own) == (ClaimState.PLANNED, True)
    store.set_claim_state(ROOT, ClaimState.SENT, tx_hash="0x01")
    again = store.plan_claim(a_claim())
    assert (again.state, again.tx_hash) == (ClaimState.SENT, "0x01")
    with pytest.raises(ClaimConflictError, match="round 1"):
        store.plan_claim(a_claim(claim_hash=OTHER))
    with pytest.raises(ClaimConflictError):
        store.plan_claim(a_claim(body='{"kind":2}'))
    store.plan_claim(a_claim(kind=2, claim_hash=OTHER))
    assert [claim.hash for claim in store.claims(own=True)] == [ROOT, OTHER]
    assert store.own_claim(1, 1).hash == ROOT
    assert store.own_claim(2, 1) is None


def test_the_database_itself_refuses_a_second_own_claim(store):
    store.save_round(a_round(1))
    store.plan_claim(a_claim())
    second = a_claim(claim_hash=OTHER)
    second.own = True
    with pytest.raises(DatabaseError) as caught, store._write() as session:
        session.add(second)
    assert isinstance(caught.value.__cause__, IntegrityError)


def test_only_one_of_many_racing_plans_wins(tmp_path):
    hashes = [bytes([number]) * 32 for number in range(8)]
    with Store.open(tmp_path) as one, Store.open(tmp_path) as two:
        one.save_round(a_round(1))

        def plan(number):
            try:
                return (one, two)[number % 2].plan_claim(a_claim(claim_hash=hashes[number])).hash
            except ClaimConflictError:
                return None

        with ThreadPoolExecutor(4) as pool:
            won = [result for result in pool.map(plan, range(8)) if result]
        assert len(won) == 1
        assert [claim.hash for claim in two.claims()] == won


def test_claim_states_only_move_forward(store):
    store.save_round(a_round(1))
    store.plan_claim(a_claim())
    with pytest.raises(TransitionError, match="planned cannot become final"):
        store.set_claim_state(ROOT, ClaimState.FINAL)
    for state in (ClaimState.SENT, ClaimState.SENT, ClaimState.CHALLENGED, ClaimState.SENT, ClaimState.FINAL):
        assert store.set_claim_state(ROOT, state).state == state
    store.set_claim_state(ROOT, ClaimState.PAID, reason="paid 12")
    with pytest.raises(TransitionError):
        store.set_claim_state(ROOT, ClaimState.LOST)
    assert store.claim(ROOT).reason == "paid 12"
    with pytest.raises(KeyError):
        store.set_claim_state(OTHER, ClaimState.SENT)


def test_peer_claims_are_kept_apart_and_filtered(store):
    store.save_round(a_round(1))
    store.plan_claim(a_claim())
    peer = a_claim(claim_hash=OTHER, node="0x" + "cd" * 20)
    assert store.record_peer_claim(peer)
    assert not store.record_peer_claim(peer)
    assert [claim.hash for claim in store.claims(round_number=1, own=False)] == [OTHER]
    assert [claim.hash for claim in store.claims(states=[ClaimState.PLANNED])] == [ROOT]
    assert store.claims(round_number=2) == []


def test_peers_audits_and_challenges(store):
    store.save_round(a_round(1))
    store.save_peer(Peer(address=NODE, uri="http://a", last_seen=1))
    store.save_peer(Peer(address=NODE, uri="http://b", last_seen=2))
    assert [peer.uri for peer in store.peers()] == ["http://b"]
    assert store.peer("0x00") is None
    store.save_audit(Audit(claim_hash=ROOT, round=1, result="ok", detail=""))
    store.save_audit(Audit(claim_hash=ROOT, round=1, result="fraud", detail="step 3"))
    assert [audit.detail for audit in store.audits(1)] == ["step 3"]
    assert store.audit(OTHER) is None
    for number, deadline in ((1, 300), (2, 200)):
        store.save_challenge(
            Challenge(id=number, claim_hash=ROOT, step=3, role="challenger", state="open", deadline=deadline)
        )
    assert [challenge.id for challenge in store.challenges(state="open")] == [2, 1]
    store.save_challenge(Challenge(id=2, claim_hash=ROOT, step=3, role="challenger", state="won", deadline=200))
    assert [challenge.id for challenge in store.challenges(state="open")] == [1]


def test_a_purpose_has_one_transaction_until_it_fails(store):
    assert store.prepare_tx("claim 1 1", 7).state == TxState.PREPARED
    assert store.prepare_tx("claim 1 1", 8).nonce == 7
    store.tx_sent("claim 1 1", "0xaa")
    assert [tx.tx_hash for tx in store.open_txs()] == ["0xaa"]
    store.tx_done("claim 1 1", ok=False)
    assert store.open_txs() == []
    assert store.prepare_tx("claim 1 1", 9).nonce == 9
    store.tx_sent("claim 1 1", "0xbb")
    store.tx_done("claim 1 1", ok=True)
    assert store.prepare_tx("claim 1 1", 10).state == TxState.CONFIRMED
    with pytest.raises(TransitionError):
        store.tx_sent("claim 1 1", "0xcc")
    with pytest.raises(KeyError):
        store.tx_sent("stake", "0xcc")
    assert store.tx("stake") is None


def test_migrations_and_models_describe_the_same_schema(store):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with store._engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
        assert differences == []
        assert "claims" in inspect(connection).get_table_names()
