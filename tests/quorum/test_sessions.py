"""A session's life: every way through it ends, no member is in two, times and renewals are the protocol's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from quorum_cases import account

from consensus.errors import QuorumError
from consensus.quorum import session as rules
from consensus.quorum.parts import Span
from consensus.quorum.presence import Health, Presence, fault, missed, presence
from consensus.quorum.proposal import Proposal, Seat
from consensus.quorum.session import NEXT, Session, State
from consensus.quorum.sizes import members_min, session_seconds
from economics.networks import MAINNET_TIMES, QuorumTimes
from economics.units import Seconds

NOW = 1_000_000
A, B, C, D = (account(n) for n in range(1, 5))
SEATS = (Seat(A, Span(0, 3)), Seat(B, Span(3, 6)), Seat(C, Span(6, 8)))


def proposal(initiator: bytes = B, seconds: int = 3600) -> Proposal:
    return Proposal(initiator, SEATS, 0, 0, NOW, seconds)


def well(at: int) -> dict[bytes, Health]:
    return {a: Health(at) for a in (A, B, C, D)}


def active() -> Session:
    session = rules.open_session(proposal(), NOW)
    for member in (A, C):
        session = rules.accept(session, member, NOW)
    return rules.start(session, NOW)


def renewing() -> Session:
    at = NOW + 2880
    return rules.tick(rules.count(active(), 1000), well(at), at)


# --- the states ---


def test_every_state_leads_to_the_end_and_nothing_leads_out_of_it() -> None:
    def reachable(state: State) -> set[State]:
        found, todo = {state}, [state]
        while todo:
            for after in NEXT[todo.pop()] - found:
                found.add(after)
                todo.append(after)
        return found

    assert set(NEXT) == set(State)
    assert all(State.DISSOLVED in reachable(state) for state in State)
    assert reachable(State.DISSOLVED) == {State.DISSOLVED}
    assert reachable(State.PROPOSED) == set(State)


def test_time_alone_ends_every_state() -> None:
    dissolving = rules.dissolve(active(), "asked to", NOW)
    accepted = replace(rules.open_session(proposal(), NOW), agreed=frozenset({A, B}))
    for session in (
        rules.open_session(proposal(), NOW),
        rules.accept(accepted, C, NOW),
        active(),
        renewing(),
        dissolving,
    ):
        after = session
        for _ in range(4):
            after = rules.tick(after, {}, after.ends)
        assert after.state is State.DISSOLVED
        assert after.why


class Life(RuleBasedStateMachine):
    """Any events in any order: only steps of NEXT are made, and time brings the end."""

    @initialize()
    def begin(self) -> None:
        self.at, self.before = NOW, State.PROPOSED
        self.session = rules.open_session(proposal(), NOW)

    def _take(self, session: Session) -> None:
        if session.state is not self.session.state:
            assert session.state in NEXT[self.session.state]
            assert session.since == self.at
        self.session = session

    @rule(member=st.sampled_from([A, B, C, D]), what=st.sampled_from(["accept", "refuse", "saved"]))
    def member_says(self, member: bytes, what: str) -> None:
        try:
            if what == "refuse":
                self._take(rules.refuse(self.session, member, "busy", self.at))
            else:
                self._take(getattr(rules, what)(self.session, member, self.at))
        except QuorumError:
            assert what != "accept" or self.session.state not in {State.PROPOSED, State.RENEWING} or member == D

    @precondition(lambda self: self.session.state is State.ACCEPTED)
    @rule()
    def starts(self) -> None:
        self._take(rules.start(self.session, self.at))

    @precondition(lambda self: self.session.state in rules.RUNNING)
    @rule(batches=st.integers(0, 2000))
    def trains(self, batches: int) -> None:
        self._take(rules.count(self.session, batches))

    @precondition(lambda self: self.session.state in rules.RUNNING)
    @rule(lost=st.sampled_from([A, B, C]))
    def loses(self, lost: bytes) -> None:
        if lost in self.session.accounts and D not in self.session.accounts:
            self._take(rules.replace_member(self.session, lost, D, "silent", self.at))

    @rule(seconds=st.integers(1, 2000), silent=st.booleans())
    def waits(self, seconds: int, silent: bool) -> None:
        self.at += seconds
        self._take(rules.tick(self.session, {} if silent else well(self.at), self.at))

    @invariant()
    def it_holds(self) -> None:
        if not hasattr(self, "session"):
            return
        spans = [seat.span for seat in self.session.seats]
        assert spans == [seat.span for seat in SEATS]
        assert len(set(self.session.accounts)) == len(spans)
        assert self.session.initiator in self.session.accounts
        assert self.session.agreed <= set(self.session.accounts)
        if self.session.state in rules.RUNNING:
            assert self.session.ends - self.session.began <= MAINNET_TIMES.session_max

    def teardown(self) -> None:
        if hasattr(self, "session"):
            for _ in range(5):
                self.at = max(self.at, self.session.ends)
                self._take(rules.tick(self.session, {}, self.at))
            assert self.session.state is State.DISSOLVED


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=25)


# --- acceptance ---


def test_all_must_accept_and_one_refusal_ends_it() -> None:
    session = rules.open_session(proposal(), NOW)
    session = rules.accept(session, A, NOW + 1)
    assert rules.accept(session, A, NOW + 2).state is State.PROPOSED
    assert rules.accept(session, C, NOW + 2).state is State.ACCEPTED
    refused = rules.refuse(session, C, "no memory", NOW + 2)
    assert (refused.state, refused.why) == (State.DISSOLVED, "0x00000000 refused: no memory")
    with pytest.raises(QuorumError, match="no member"):
        rules.accept(session, D, NOW)
    with pytest.raises(QuorumError, match="dissolved session does not take"):
        rules.accept(refused, A, NOW)


def test_alone_in_a_quorum_nobody_else_is_asked() -> None:
    single = Proposal(A, (Seat(A, Span(0, 8)),), 0, 0, NOW, 1800)
    assert rules.open_session(single, NOW).state is State.ACCEPTED


def test_a_proposal_lapses() -> None:
    session = rules.open_session(proposal(), NOW)
    assert rules.tick(session, {}, NOW + 59) == session
    assert rules.tick(session, {}, NOW + 60).state is State.DISSOLVED


# --- renewal ---


def test_renewal_is_decided_at_four_fifths() -> None:
    session = rules.count(active(), 1000)
    assert rules.tick(session, well(NOW + 2879), NOW + 2879) == session
    session = rules.tick(session, well(NOW + 2880), NOW + 2880)
    assert session.state is State.RENEWING
    for member in (A, B, C):
        session = rules.accept(session, member, NOW + 3000)
    assert (session.state, session.ends, session.batches, session.renewals) == (State.ACTIVE, NOW + 7200, 0, 1)


@pytest.mark.parametrize(
    ("batches", "health", "why"),
    [
        (999, well(NOW + 2880), "did 999 batches, 1000 renew it"),
        (1000, {**well(NOW + 2880), B: Health(NOW + 2820)}, "missed 2 heartbeats"),
        (
            1000,
            {**well(NOW + 2880), B: Health(NOW + 2880, slow_since=NOW + 2580)},
            "over twice its tier's time for 300 s",
        ),
    ],
)
def test_no_renewal(batches: int, health: dict[bytes, Health], why: str) -> None:
    session = rules.tick(rules.count(active(), batches), health, NOW + 2880)
    assert session.state is State.ACTIVE
    assert why in session.why
    session = rules.count(session, 5000)
    session = rules.tick(session, well(NOW + 3599), NOW + 3599)
    assert session.state is State.ACTIVE
    session = rules.tick(session, well(NOW + 3600), NOW + 3600)
    assert session.state is State.DISSOLVING
    assert why in session.why


def test_a_session_lasts_four_hours_at_most() -> None:
    session = active()
    while session.state is State.ACTIVE and not session.decided:
        at = rules.decision_time(session)
        session = rules.tick(rules.count(session, 1000), well(at), at)
        for member in session.accounts if session.state is State.RENEWING else ():
            session = rules.accept(session, member, at)
    assert (session.renewals, session.ends) == (3, NOW + 14_400)
    assert "as long as a session may" in session.why


def test_a_renewal_that_one_member_does_not_answer_ends_the_session() -> None:
    session = rules.accept(rules.accept(renewing(), A, NOW + 2900), B, NOW + 2900)
    session = rules.tick(session, well(NOW + 3600), NOW + 3600)
    assert session.state is State.DISSOLVING
    for member in (A, B):
        session = rules.saved(session, member, NOW + 3601)
    assert session.state is State.DISSOLVING
    assert rules.saved(session, C, NOW + 3602).state is State.DISSOLVED
    assert rules.tick(session, {}, NOW + 3660).state is State.DISSOLVED


# --- members that leave ---


def test_a_lost_initiator_is_followed_by_the_next_in_order() -> None:
    session = active()
    assert rules.lead(session) == B
    assert rules.lead(session, frozenset({B})) == A
    assert rules.lead(session, frozenset({A, B})) == C
    assert rules.lead(session, frozenset({A, B, C})) is None
    after = rules.replace_member(session, B, D, "missed 2 heartbeats", NOW + 100)
    assert after.initiator == A
    assert after.accounts == (A, D, C)
    assert after.seats[1].span == Span(3, 6)
    assert after.id == session.id
    with pytest.raises(QuorumError, match="one seat"):
        rules.replace_member(session, B, C, "silent", NOW)


def test_faults() -> None:
    session = active()
    assert rules.faults(session, well(NOW), NOW + 59) == {}
    health = well(NOW + 60) | {C: Health(NOW), A: Health(NOW + 60, slow_since=NOW - 240)}
    found = rules.faults(session, health, NOW + 60)
    assert found == {C: "missed 2 heartbeats", A: "over twice its tier's time for 300 s"}
    assert set(rules.faults(session, {}, NOW + 60)) == {A, B, C}


def test_slowness_counts_without_a_break() -> None:
    health = Health(NOW).ran(100_001, 2, NOW)
    assert health.slow_since == NOW
    assert health.ran(200_000, 2, NOW + 200).slow_since == NOW
    assert health.ran(100_000, 2, NOW + 200).slow_since is None
    assert fault(replace(health, last_heartbeat=NOW + 299), NOW + 299) == ""
    assert "twice" in fault(replace(health, last_heartbeat=NOW + 300), NOW + 300)
    assert Health(NOW).beat(NOW - 5) == Health(NOW)


def test_a_node_is_in_one_session() -> None:
    first = active()
    other = Proposal(D, (Seat(D, Span(0, 3)), Seat(A, Span(3, 8))), 0, 0, NOW, 3600)
    asked = rules.open_session(other, NOW)
    assert rules.engaged([first, asked]) == {A: first.id, B: first.id, C: first.id, D: asked.id}
    with pytest.raises(QuorumError, match="in two sessions"):
        rules.engaged([first, rules.accept(asked, A, NOW)])
    gone = rules.tick(rules.dissolve(first, "asked to", NOW), {}, NOW + 60)
    assert rules.engaged([gone, rules.accept(asked, A, NOW)]) == {A: asked.id, D: asked.id}


# --- presence, sizes, times ---


def test_presence() -> None:
    assert [missed(NOW, NOW + s) for s in (-10, 0, 29, 30, 60)] == [0, 0, 0, 1, 2]
    found = [presence(NOW, NOW + s) for s in (0, 119, 120, 121)]
    assert found == [Presence.ONLINE, Presence.ONLINE, Presence.STALE, Presence.OFFLINE]
    slow = replace(MAINNET_TIMES, offline=Seconds(300))
    assert [presence(NOW, NOW + s, slow) for s in (120, 300, 301)] == [Presence.STALE, Presence.STALE, Presence.OFFLINE]


def test_sizes_by_network() -> None:
    assert [members_min(n) for n in (1, 4, 5, 19, 20, 1000)] == [1, 1, 2, 2, 3, 3]
    assert [session_seconds(n) for n in (1, 19, 20)] == [1800, 1800, 3600]


@pytest.mark.parametrize("changes", [{"heartbeat": 0}, {"offline": 119}, {"session": 14_401}, {"batches_min": 0}])
def test_times_that_contradict_are_refused(changes: dict[str, Seconds]) -> None:
    with pytest.raises(ValueError, match=r"session|stale|above 0"):
        replace(MAINNET_TIMES, **changes)


@given(st.integers(0, 10**6))
def test_test_networks_run_in_seconds(at: int) -> None:
    times = QuorumTimes(*(Seconds(n) for n in (1, 4, 1, 1, 2, 10, 10, 40, 2, 3, 60)), batches_min=1)
    session = rules.open_session(Proposal(A, SEATS, 0, 0, at, 10), at, times)
    for member in (B, C):
        session = rules.accept(session, member, at, times)
    session = rules.count(rules.start(session, at), 1)
    assert rules.tick(session, well(at + 8), at + 8, times).state is State.RENEWING
