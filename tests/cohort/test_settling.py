"""Agreement on a round's outcome: one outcome at most whatever is lost, and one where a majority is heard."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.quorum.parts import Span
from node.cohort.sealing import Sealed
from node.cohort.settling import Settling, majority, outcome_of
from node.net.wire.cohort_pb2 import Ballot, Body, Outcome, Signed

WHOLE = Span(0, 4)


def sealed(body: Body, account: bytes) -> Sealed:
    """A message as signed by an account; signatures are tested elsewhere."""
    body.account = account
    return Sealed(body, hashlib.sha256(body.SerializeToString(deterministic=True)).digest(), Signed())


def account(number: int) -> bytes:
    return bytes([number]) * 20


class Group:
    """Voters whose messages arrive when the test says so."""

    def __init__(self, count: int) -> None:
        self.voters = tuple(account(number + 1) for number in range(count))
        self.members = [Settling(7, 1000, self.voters, me) for me in self.voters]
        self.ids = [bytes([0xA0 + at]) * 32 for at in range(count)]
        self.spans = dict.fromkeys(self.ids, WHOLE)
        self.flying: list[tuple[int, Sealed]] = []
        self.online = set(self.voters)

    def say(self, at: int, body: Body) -> None:
        message = sealed(body, self.voters[at])
        self.members[at].add(message)
        self.flying += [(other, message) for other in range(len(self.voters)) if other != at]

    def act(self, at: int, *, patient: bool = False, held: list[bytes] | None = None) -> None:
        member = self.members[at]
        if not member.voted:
            self.say(at, member.ballot(WHOLE, self.ids if held is None else held, self.online, 1000 + at))
        proposal = member.propose(self.spans, patient)
        if proposal is not None:
            self.say(at, proposal)
        accepted = member.accept(self.spans)
        if accepted is not None:
            self.say(at, accepted)

    def outcomes(self) -> set[bytes]:
        found = [member.outcome() for member in self.members]
        return {one.SerializeToString(deterministic=True) for one in found if one is not None}


def deliver(group: Group) -> None:
    """Everything, until nobody has more to say."""
    while True:
        for at in range(len(group.members)):
            group.act(at, patient=True)
        if not group.flying:
            return
        for at, message in group.flying:
            group.members[at].add(message)
        group.flying = []


def test_all_hear_all_and_take_the_same() -> None:
    group = Group(5)
    deliver(group)
    (one,) = group.outcomes()
    outcome = Outcome.FromString(one)
    assert list(outcome.contributions) == group.ids
    assert tuple(outcome.voters) == group.voters
    assert outcome.closed == 1002


@settings(max_examples=25)
@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_never_two_outcomes_whatever_is_lost(count: int, draw: random.Random) -> None:
    group = Group(count)
    for _ in range(60 * count):
        at = draw.randrange(count)
        deed = draw.random()
        if deed < 0.05:
            group.members[at].next_view()
        elif deed < 0.10:  # a stop: it remembers what it said itself, and nothing else
            restarted = Settling(7, 1000, group.voters, group.voters[at])
            mine = [m for m in _all(group.members[at]) if m.body.account == group.voters[at]]
            kept = {m.body.accept.view for m in mine if m.kind == "accept"}
            proposals = [m for view, m in group.members[at]._proposals.items() if view in kept]
            for message in [*proposals, *mine]:
                restarted.add(message)
            group.members[at] = restarted
        elif deed < 0.5 and group.flying:
            to, message = group.flying.pop(draw.randrange(len(group.flying)))
            if draw.random() > 0.2:
                group.members[to].add(message)
        else:
            group.act(at, held=draw.sample(group.ids, draw.randrange(count + 1)))
        assert len(group.outcomes()) <= 1


def _all(member: Settling) -> list[Sealed]:
    return [*member._ballots.values(), *member._proposals.values(), *member._accepts.values()]


def test_a_silent_proposer_is_followed_by_the_next() -> None:
    group = Group(5)
    silent = group.voters.index(group.members[0].proposer(0))
    for view in range(2):
        for at, member in enumerate(group.members):
            if at == silent:
                continue
            if view:
                member.next_view()
            group.act(at)
        while group.flying:
            flying, group.flying = group.flying, []
            for to, message in flying:
                if to != silent:
                    group.members[to].add(message)
            for at in range(5):
                if at != silent:
                    group.act(at)
    assert len(group.outcomes()) == 1


def test_what_one_took_in_a_lost_view_is_what_the_next_one_proposes() -> None:
    taken = Outcome(round=7, contributions=[b"a" * 32], closed=5)
    ballots = [Ballot(view=3, accepted_view=2, accepted=taken), Ballot(view=3, accepted_view=1), Ballot(view=3)]
    assert outcome_of(7, 0, ballots, {}) == taken


def test_only_holders_of_a_part_vouch_for_it() -> None:
    left, right = b"l" * 32, b"r" * 32
    spans = {left: Span(0, 2), right: Span(2, 4)}
    ballots = [
        Ballot(first_part=0, part_count=2, held=[left], time=3),
        Ballot(first_part=0, part_count=2, held=[left], time=1),
        Ballot(first_part=2, part_count=2, held=[right], time=2),
        Ballot(first_part=2, part_count=2, held=[], time=9),
    ]
    assert list(outcome_of(1, 0, ballots, spans).contributions) == [left]
    assert outcome_of(1, 0, ballots, spans).closed == 2
    assert outcome_of(1, 50, ballots, spans).closed == 50


def test_two_ballots_of_one_voter_name_it() -> None:
    member = Settling(7, 0, (account(1), account(2)), account(1))
    for time in (1, 2):
        member.add(sealed(Body(round=7, ballot=Ballot(part_count=1, time=time)), account(2)))
    assert member.twice == {account(2): "two of kind ballot in round 7"}


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 2), (3, 2), (6, 4)])
def test_majority(count: int, most: int) -> None:
    assert majority(count) == most
