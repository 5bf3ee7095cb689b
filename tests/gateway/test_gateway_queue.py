"""Leases: one a volunteer, each batch to as many as it needs, whoever asks at once and whoever dies."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel import col, func, select

from node.gateway.auth import key_hash
from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import BatchRequest, Hardware
from node.gateway.storage.store import MICROSECONDS, new_id
from node.gateway.storage.tables import Batch, BatchState, Lease, LeaseState, Update, UpdateState, Worker

ROOT = Path(__file__).resolve().parents[2]
ANY = BatchRequest(samples=8)


def people(gateway, count, **given):
    """Volunteers, in the database."""
    with gateway.storage.write() as session:
        now = gateway.storage.now(session)
        rows = [
            Worker(
                id=new_id(),
                key_hash=key_hash(f"{new_id()}"),
                username=f"w{number:04}",
                created_at=now,
                last_seen=now,
                **given,
            )
            for number in range(count)
        ]
        session.add_all(rows)
    return rows


def rows(gateway, table, *where):
    with gateway.storage.read() as session:
        return list(session.exec(select(table).where(*where)))


def batch(gateway, offer):
    return rows(gateway, Batch, Batch.id == offer.batch_id)[0]


def refused(code, call, *given):
    with pytest.raises(ProblemError) as error:
        call(*given)
    assert error.value.code is code
    return error.value


def hold(gateway, worker, offer, result=b"r" * 32):
    """An upload that is held, without its payload."""
    with gateway.storage.write() as session:
        found, lease = gateway.queue.held(session, worker.id, offer.batch_id, offer.lease_id)
        session.add(
            Update(
                id=new_id(), worker_id=worker.id, batch_id=found.id, lease_id=lease.id, version=found.version,
                codec="fourlevel", loss=1.0, samples=found.samples, trace_root=bytes(32), payload_hash=bytes(32),
                result_hash=result, state=UpdateState.HELD.value, uploaded_at=gateway.storage.now(session),
            )
        )  # fmt: skip
        gateway.queue.uploaded(session, found, lease)


def test_a_batch_goes_to_as_many_as_it_needs(gateway):
    ada, bob, cyd = people(gateway, 3)
    first, second, third = (gateway.queue.request(who, ANY) for who in (ada, bob, cyd))
    assert first.batch_id == second.batch_id != third.batch_id
    assert batch(gateway, first).state == BatchState.ASSIGNED and batch(gateway, third).state == BatchState.PENDING
    assert (first.codec, first.residual, first.steps) == ("fourlevel", "zero", 2)


def test_one_result_of_who_is_trusted_is_enough(gateway):
    ada, bob = people(gateway, 2, reputation=9_000)
    one, other = gateway.queue.request(ada, ANY), gateway.queue.request(bob, ANY)
    assert one.batch_id != other.batch_id and one.residual == "carried"
    assert batch(gateway, one).replicas == 1 and batch(gateway, one).state == BatchState.ASSIGNED


def test_leases_end_and_go_to_others(gateway, clock):
    ada, bob = people(gateway, 2, reputation=9_000)
    lost = gateway.queue.request(ada, ANY)
    assert gateway.queue.sweep() == 0
    clock.advance(gateway.settings.lease_seconds + 1)
    assert gateway.queue.sweep() == 1 and gateway.queue.sweep() == 0
    taken = gateway.queue.request(bob, ANY)
    assert taken.batch_id == lost.batch_id
    again = gateway.queue.request(ada, ANY)
    assert again.batch_id != lost.batch_id, "nobody gets the same batch twice"
    with gateway.storage.write() as session:
        refused(Code.LEASE, gateway.queue.held, session, ada.id, lost.batch_id, lost.lease_id)


def test_an_upload_counts_while_nobody_took_the_lease_away(gateway, clock):
    (ada,) = people(gateway, 1, reputation=9_000)
    offer = gateway.queue.request(ada, ANY)
    clock.advance(gateway.settings.lease_seconds + 1)
    hold(gateway, ada, offer)
    assert gateway.queue.sweep() == 0


def test_asking_after_the_end_gives_another_batch(gateway, clock):
    (ada,) = people(gateway, 1)
    lost = gateway.queue.request(ada, ANY)
    clock.advance(gateway.settings.lease_seconds + 1)
    assert gateway.queue.request(ada, ANY).batch_id != lost.batch_id
    assert [row.state for row in rows(gateway, Lease, Lease.id == lost.lease_id)] == [LeaseState.EXPIRED]


def test_a_clock_that_goes_back_takes_nothing_away(gateway, clock):
    (ada,) = people(gateway, 1)
    offer = gateway.queue.request(ada, ANY)
    clock.advance(-86_400)
    assert gateway.queue.sweep() == 0 and gateway.queue.request(ada, ANY) == offer


def test_progress_prolongs_a_lease_up_to_the_longest(gateway, clock):
    (ada,) = people(gateway, 1)
    offer = gateway.queue.request(ada, ANY)
    settings, start = gateway.settings, clock.now
    clock.advance(settings.lease_seconds - 10)
    gateway.queue.progress(ada.id, offer.batch_id, 0)
    assert gateway.queue.request(ada, ANY).expires_at == offer.expires_at, "no progress"
    gateway.queue.progress(ada.id, offer.batch_id, 1)
    assert gateway.queue.request(ada, ANY).expires_at == clock.now // MICROSECONDS + settings.lease_seconds
    clock.now = start + (settings.lease_max_seconds - 1) * MICROSECONDS
    gateway.queue.progress(ada.id, offer.batch_id, 2)
    longest = start // MICROSECONDS + settings.lease_max_seconds
    assert rows(gateway, Lease)[0].expires_at // MICROSECONDS <= longest


def test_a_batch_fails_after_its_attempts(gateway, clock):
    gateway.queue.prepare()
    seen = Counter()
    for worker in people(gateway, 3 * gateway.settings.attempts_max, reputation=9_000):
        seen[gateway.queue.request(worker, ANY).batch_id] += 1
        clock.advance(gateway.settings.lease_max_seconds + 1)
        gateway.queue.sweep()
    failed = rows(gateway, Batch, Batch.state == BatchState.FAILED)
    assert failed and all(seen[row.id] == gateway.settings.attempts_max for row in failed)


def test_batches_are_made_by_speed_and_on_demand(gateway):
    assert gateway.queue.prepare() == 6 and gateway.queue.prepare() == 0
    seq_len, target = gateway.workshop.config.seq_len, gateway.settings.target_seconds

    def samples(per_target, **given):
        (who,) = people(gateway, 1)
        speed = per_target * seq_len / target
        return gateway.queue.request(who, BatchRequest(hardware=Hardware(tokens_per_s=speed), **given)).num_samples

    assert [samples(n) for n in (4, 8, 15, 16, 31, 32, 63)] == [4, 8, 8, 16, 16, 32, 32]
    assert samples(1000) == 64, "the largest"
    assert samples(0) == 8, "unmeasured: the smallest prepared"
    assert samples(0, samples=21) == 20, "what was asked for, in whole steps"


def test_sizes_that_nobody_else_has_do_not_pile_up(gateway):
    (ada,) = people(gateway, 1)
    for _ in range(5):
        offer = gateway.queue.request(ada, BatchRequest(samples=12))
        gateway.queue.release(ada, offer.batch_id)
    assert not rows(gateway, Batch, Batch.state == BatchState.PENDING, Batch.samples == 12)


def test_who_waited_for_a_replica_in_vain_is_computed_again(gateway, clock):
    (ada,) = people(gateway, 1)
    offer = gateway.queue.request(ada, ANY)
    hold(gateway, ada, offer)
    gateway.queue.sweep()
    assert batch(gateway, offer).state == BatchState.PENDING
    clock.advance(gateway.settings.replica_seconds + 1)
    gateway.queue.sweep()
    after = batch(gateway, offer)
    assert (after.state, after.replicas) == (BatchState.ASSIGNED, 1)


def test_a_new_version_ends_what_nobody_works_at(gateway):
    gateway.queue.prepare()
    ada, bob, cyd = people(gateway, 3)
    waiting, running = gateway.queue.request(ada, ANY), gateway.queue.request(bob, BatchRequest(samples=16))
    hold(gateway, ada, waiting)
    stored = gateway.registry.store(gateway.registry.weights(gateway.registry.current()))
    with gateway.storage.write() as session:
        gateway.registry.publish(session, stored, base=0, source="aggregation", metrics={})
    left = {row.id for row in rows(gateway, Batch, col(Batch.state).in_((BatchState.PENDING, BatchState.ASSIGNED)))}
    assert left == {waiting.batch_id, running.batch_id}
    assert gateway.queue.request(cyd, ANY).batch_id == waiting.batch_id, "the replica that is waited for comes first"
    gateway.queue.release(bob, running.batch_id)
    assert batch(gateway, running).state == BatchState.FAILED
    with gateway.storage.write() as session:
        refused(Code.CONFLICT, lambda: gateway.registry.publish(session, stored, base=0, source="x", metrics={}))


def test_quarantine_and_no_version(gateway, clock):
    (eve,) = people(gateway, 1, quarantined_until=clock.now + 90 * MICROSECONDS, quarantine_reason="it lied")
    error = refused(Code.QUARANTINED, gateway.queue.request, eve, ANY)
    assert "it lied" in error.detail and error.retry_after == 91
    clock.advance(91)
    assert gateway.queue.request(eve, ANY)


def test_many_ask_at_once(gateway):
    """40 threads, each volunteer twice at the same time: one lease each, two volunteers a batch, nothing twice."""
    workers = people(gateway, 40)
    with ThreadPoolExecutor(16) as pool:
        offers = list(pool.map(lambda who: (who.id, gateway.queue.request(who, ANY)), [*workers, *workers]))
    by_worker = {}
    for worker_id, offer in offers:
        assert by_worker.setdefault(worker_id, offer) == offer
    leases = rows(gateway, Lease)
    assert len(leases) == 40
    a_batch = Counter(lease.batch_id for lease in leases)
    assert max(a_batch.values()) <= 2
    with gateway.storage.read() as session:
        full = session.exec(select(func.count()).select_from(Batch).where(Batch.state == BatchState.ASSIGNED)).one()
    assert full == sum(1 for count in a_batch.values() if count == 2)


def child(gateway, database_url, *words):
    command = [sys.executable, "-m", "tests.gateway.queue_process", database_url, str(gateway.settings.home)]
    folder = str(gateway.workshop.dataset.folder)
    return subprocess.Popen(
        [*command, folder, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.process
def test_many_processes_share_one_queue(open_gateways, database_url):
    """Four processes, 48 volunteers, 30 batches of one replica: each batch exactly once, the rest hears why not."""
    gateway = open_gateways(database_url, real_clock=True, sizes=(8,), prepared=30, replicas=1)
    assert gateway.queue.prepare() == 30
    people(gateway, 48)
    children = [child(gateway, database_url, str(12 * n), "12") for n in range(4)]
    given = []
    for process in children:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        given += [line.split() for line in out.splitlines()]
    assert len(given) >= 30 and len({batch_id for _, batch_id in given}) == len(given)
    assert len(rows(gateway, Lease)) == len(given)


@pytest.mark.process
def test_a_process_that_dies_within_a_transaction_leaves_nothing(open_gateways, database_url):
    gateway = open_gateways(database_url, real_clock=True, sizes=(8,), prepared=2, replicas=1)
    gateway.queue.prepare()
    (ada,) = people(gateway, 1)
    dead = child(gateway, database_url, "0", "1", "--die")
    dead.communicate(timeout=120)
    assert dead.returncode == -9
    assert not rows(gateway, Lease) and len(rows(gateway, Batch, Batch.state == BatchState.PENDING)) == 2
    assert gateway.queue.request(ada, ANY)
