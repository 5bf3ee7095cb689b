"""Quorums of the simulated network: proposals travel, members answer, sessions train, renew, repair and end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.simulate.events import Call
from bench.simulate.machines import Machine
from bench.simulate.pipeline import step_us
from consensus.quorum import session as rules
from consensus.quorum.modes import Mode
from consensus.quorum.peers import Peer
from consensus.quorum.presence import Health
from consensus.quorum.proposal import Proposal
from consensus.quorum.replacement import better_partner, substitute
from consensus.quorum.session import Session, State
from consensus.quorum.validity import Facts, refusals

if TYPE_CHECKING:
    from bench.simulate.network import Network, View

TICK_MS = 30_000
SAVE_MS = 5_000
"""A member of a dissolving quorum writes its state in this time."""


@dataclass
class Running:
    """A session and what only the simulation knows about it."""

    session: Session
    health: dict[bytes, Health] = field(default_factory=dict)
    trained_to: int = 0
    fraction: float = 0.0
    vacant_since: int = 0
    """When a member was first missed that nobody could replace; 0: none is."""
    vacant: dict[bytes, str] = field(default_factory=dict)


class Sessions:
    """Every session of the network. ``busy``: the session of every account that is in one."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.running: dict[bytes, Running] = {}
        self.busy: dict[bytes, bytes] = {}

    def _machine(self, account: bytes) -> Machine:
        return self.network.machines[account]

    # --- from proposal to start ---

    def open(self, proposal: Proposal, view: View) -> None:
        """The initiator sends its proposal; every member checks it by the same rules and answers."""
        net = self.network
        peers = view.peers | {proposal.initiator: self._machine(proposal.initiator).peer}
        facts = Facts(
            peers, net.layout, max(1, view.nodes), net.loop.seconds, busy=self.busy, absent=view.absent, times=net.times
        )
        wrong = refusals(proposal, facts)
        if wrong:
            raise RuntimeError(f"an honest proposal breaks a rule: {wrong[0]}")
        net.books.proposed += 1
        one = Running(rules.open_session(proposal, net.loop.seconds, net.times))
        self.running[proposal.id] = one
        self.busy[proposal.initiator] = proposal.id
        for account in proposal.accounts:
            if account != proposal.initiator:
                self._after_trip(account, lambda a=account: self._answer(one, a))  # type: ignore[misc]
        self._started_if_accepted(one)
        net.loop.every(TICK_MS, lambda: self._tick(one))

    def _after_trip(self, account: bytes, call: Call) -> None:
        self.network.loop.after(2 * self._machine(account).link_us // 1000, call)

    def _answer(self, one: Running, account: bytes) -> None:
        machine, net = self._machine(account), self.network
        if one.session.state is not State.PROPOSED or not machine.up:
            return
        if account in self.busy or machine.slashed or machine.held is None:
            one.session = rules.refuse(one.session, account, "not free", net.loop.seconds, net.times)
            self._end(one)
            return
        self.busy[account] = one.session.id
        one.session = rules.accept(one.session, account, net.loop.seconds, net.times)
        self._started_if_accepted(one)

    def _started_if_accepted(self, one: Running) -> None:
        if one.session.state is not State.ACCEPTED:
            return
        net = self.network
        one.session = rules.start(one.session, net.loop.seconds)
        one.trained_to = net.loop.now
        net.books.formed += 1
        net.books.quorum_sizes.append(len(one.session.seats))
        for account in one.session.accounts:
            net.enter(self._machine(account), Mode.PIPELINE, "member of a quorum")

    # --- while it lasts ---

    def _tick(self, one: Running) -> bool:
        if one.session.id not in self.running:
            return False
        net, before = self.network, one.session.state
        if before in rules.RUNNING:
            self.train(one)
            self._look_after(one)
        if one.session.state in rules.RUNNING:
            self._repair(one)
        one.session = rules.tick(one.session, one.health, net.loop.seconds, net.times)
        if one.session.state is State.RENEWING and before is State.ACTIVE:
            self._switch(one)
            for account in one.session.accounts:
                self._after_trip(account, lambda a=account: self._go_on(one, a))  # type: ignore[misc]
        if one.session.state is State.DISSOLVING and before is not State.DISSOLVING:
            for account in one.session.accounts:
                net.loop.after(SAVE_MS, lambda a=account: self._saved(one, a))  # type: ignore[misc]
        if one.session.state is State.DISSOLVED:
            self._end(one)
        return one.session.id in self.running

    def train(self, one: Running) -> None:
        """Count what was trained since the last time: all while every member is up, else nothing."""
        net, now = self.network, self.network.loop.now
        seats = [(self._machine(seat.account), seat.span) for seat in one.session.seats]
        elapsed, one.trained_to = now - one.trained_to, now
        if not elapsed or not all(m.up and not m.slashed and m.held is not None for m, _ in seats):
            return
        took = step_us(seats, net.spec.model, net.layout, now)
        batches = elapsed * 1000 / took
        net.books.steps_us.append(took)
        net.books.batches += batches
        one.fraction += batches
        whole = int(one.fraction)
        one.fraction -= whole
        one.session = rules.count(one.session, whole)
        for machine, span in seats:
            net.books.add(machine.account, span, one.session.id, batches, now)

    def _look_after(self, one: Running) -> None:
        net = self.network
        for account in one.session.accounts:
            machine = self._machine(account)
            beat = machine.last_beat(net.loop.now, net.times.heartbeat)
            health = one.health.get(account, Health(max(beat, one.session.began))).beat(beat)
            if machine.up:
                health = health.ran(machine.runs_us(net.loop.now), machine.peer.tier, net.loop.seconds)
            one.health[account] = health

    def _repair(self, one: Running) -> None:
        net = self.network
        lost = rules.faults(one.session, one.health, net.loop.seconds, net.times)
        lost |= {a: "was slashed" for a in one.session.accounts if self._machine(a).slashed}
        one.vacant = {}
        for account, why in sorted(lost.items()):
            found = substitute(one.session.seats, account, self._peers(one), self._free(), net.layout)
            if found is not None:
                self._seat(one, account, self._machine(found.account), why)
                net.books.replaced += 1
            else:
                one.vacant[account] = why
        one.vacant_since = (one.vacant_since or net.loop.now) if one.vacant else 0
        waited = net.loop.now - one.vacant_since if one.vacant else 0
        if waited >= 1000 * net.times.accept or rules.lead(one.session, one.vacant) is None:
            why = next(iter(one.vacant.values()))
            one.session = rules.dissolve(one.session, f"a member {why}, nobody replaces it", net.loop.seconds, net.times)

    def _switch(self, one: Running) -> None:
        found = better_partner(one.session.seats, self._peers(one), self._free(), self.network.layout)
        if found is not None:
            self._seat(one, found[0], self._machine(found[1].account), "a better partner")
            self.network.books.switched += 1

    def _seat(self, one: Running, lost: bytes, machine: Machine, why: str) -> None:
        net = self.network
        one.session = rules.replace_member(one.session, lost, machine.account, why, net.loop.seconds)
        one.health[machine.account] = Health(net.loop.seconds)
        self.busy[machine.account] = one.session.id
        net.enter(machine, Mode.PIPELINE, "replaced a member")
        self._leave(one, lost)

    def _go_on(self, one: Running, account: bytes) -> None:
        net, machine = self.network, self._machine(account)
        if one.session.state is State.RENEWING and account in one.session.accounts and machine.up:
            one.session = rules.accept(one.session, account, net.loop.seconds, net.times)
            net.books.renewals += one.session.state is State.ACTIVE

    def _saved(self, one: Running, account: bytes) -> None:
        if one.session.state is State.DISSOLVING and self._machine(account).up:
            one.session = rules.saved(one.session, account, self.network.loop.seconds)
            if one.session.state is State.DISSOLVED:
                self._end(one)

    # --- seats that are free ---

    def vacancy(self, machine: Machine) -> str:
        """A running quorum with a seat for this node, in words; "" for none."""
        found = self._vacant(machine)
        return f"quorum 0x{found[0].session.id[:4].hex()}" if found else ""

    def join(self, machine: Machine) -> bool:
        """Take the seat that ``vacancy`` found."""
        found = self._vacant(machine)
        if found is None:
            return False
        self._seat(found[0], found[1], machine, found[0].vacant.pop(found[1]))
        self.network.books.replaced += 1
        return True

    def _vacant(self, machine: Machine) -> tuple[Running, bytes] | None:
        for one in self.running.values():
            for lost in one.vacant if one.session.state in rules.RUNNING else ():
                fitting = substitute(one.session.seats, lost, self._peers(one), [machine.peer], self.network.layout)
                if fitting is not None:
                    return one, lost
        return None

    def _peers(self, one: Running) -> dict[bytes, Peer]:
        return {account: self._machine(account).peer for account in one.session.accounts}

    def _free(self) -> list[Peer]:
        return self.network.free(self.network.view())

    # --- the end ---

    def _leave(self, one: Running, account: bytes) -> None:
        if self.busy.get(account) == one.session.id:
            del self.busy[account]
            self.network.release(self._machine(account))

    def _end(self, one: Running) -> None:
        net = self.network
        if self.running.pop(one.session.id, None) is None:
            return
        if one.trained_to:
            net.books.lifetimes_s.append(net.loop.seconds - one.session.began)
            net.books.ends[_cause(one.session.why)] += 1
        else:
            net.books.lapsed += 1
        for account in [a for a, quorum in self.busy.items() if quorum == one.session.id]:
            self._leave(one, account)


def _cause(why: str) -> str:
    """The kind of an end, without its figures."""
    kinds = {
        "heartbeats": "a member fell silent and nobody could replace it",
        "twice": "a member became too slow and nobody could replace it",
        "slashed": "a member was slashed and nobody could replace it",
        "batches": "too few batches to be renewed",
        "as long as": "as long as a session may last",
        "in time": "renewal not accepted by all in time",
    }
    return next((kind for sign, kind in kinds.items() if sign in why), why)
