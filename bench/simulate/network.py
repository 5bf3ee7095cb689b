"""The simulated nodes: they come and go, look at the network's records, choose a mode, and act on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from bench.simulate.books import Books
from bench.simulate.events import Call, Loop
from bench.simulate.machines import Machine, Spec, make_machines
from bench.simulate.pipeline import alone_us
from bench.simulate.sessions import Sessions
from consensus.quorum.capacity import choose_span, layout_of
from consensus.quorum.coverage import count_holders, scarcities
from consensus.quorum.formation import Terms, propose
from consensus.quorum.modes import Action, Choice, Mode, Situation, choose
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from consensus.quorum.presence import Presence, presence
from consensus.quorum.proposal import Proposal
from consensus.quorum.tiers import SLOWEST
from economics.networks import MAINNET_TIMES

VIEW_MS = 10_000
"""Records spread in waves: a node's view of the others is at most this old."""
START_MS = 600_000
"""The first machines come within this time."""
SOON_MS, LATER_MS = 10_000, 300_000
"""Between two looks at the network: of a node that looks for a quorum, and of one that has something to do."""


@dataclass(frozen=True)
class View:
    """What the records say. ``peers``: online and holding something; ``absent``: stale ones."""

    taken: int
    nodes: int
    peers: dict[bytes, Peer]
    absent: dict[bytes, Presence]
    counts: list[int]


class Network:
    """All machines and sessions of one simulation."""

    def __init__(self, spec: Spec) -> None:
        self.spec, self.loop, self.books = spec, Loop(), Books()
        self.times = MAINNET_TIMES
        self.layout = layout_of(spec.model)
        self.machines = {machine.account: machine for machine in make_machines(spec)}
        self.draw = Random(f"life {spec.seed}")  # noqa: S311 - a simulation's, from a seed
        self.sessions = Sessions(self)
        self.modes: Counter[Mode] = Counter()
        self._view: View | None = None
        for machine in self.machines.values():
            self.loop.after(self.draw.randrange(START_MS), lambda m=machine: self.come(m))  # type: ignore[misc]

    # --- coming and going ---

    def come(self, machine: Machine) -> None:
        """A machine starts: it fetches the parts that it should hold, then looks for something to do."""
        now = self.loop.now
        machine.up, machine.born, machine.searching, machine.mode_since = True, now, now, now
        self.modes[machine.mode] += 1
        self.enter(machine, Mode.IDLE, "starting")
        if self.spec.uptime_hours:
            self.loop.after(self._after_hours(self.spec.uptime_hours), lambda: self.go(machine))
        if self.spec.slow_hours:
            self.loop.after(self._after_hours(self.spec.slow_hours), lambda: self.slow_down(machine, now))
        self.fetch(machine, lambda: self.consider(machine, now))

    def go(self, machine: Machine) -> None:
        """A machine vanishes without a word, and comes back later with nothing."""
        self.enter(machine, Mode.IDLE, "away")
        self.modes[machine.mode] -= 1
        machine.up, machine.down_since, machine.held = False, self.loop.now, None
        self.loop.after(self._after_hours(self.spec.downtime_hours), lambda: self.come(machine))

    def slow_down(self, machine: Machine, born: int) -> None:
        """Something else takes the machine's time for a while."""
        if machine.up and machine.born == born:
            machine.slow_until = self.loop.now + 1000 * self.spec.slow_seconds
            self.loop.after(self._after_hours(self.spec.slow_hours), lambda: self.slow_down(machine, born))

    def _after_hours(self, mean: float) -> int:
        return int(self.draw.expovariate(1 / (mean * 3_600_000)))

    def fetch(self, machine: Machine, then: Call) -> None:
        """Choose the parts to hold by what is scarce, and fetch their weights."""
        view = self.view()
        span = choose_span(self.layout, machine.memory, view.counts, max(1, view.nodes), machine.account)
        born, wait = machine.born, 0
        if span is not None:
            size = 4 * self.spec.model.parameters * self.layout.bytes_of(span) // sum(self.layout.memory)
            self.books.moved_bytes += size
            wait = size * 1000 // machine.bandwidth

        def hold() -> None:
            if machine.up and machine.born == born:
                machine.held = span
                then()

        self.loop.after(wait, hold)

    # --- what the records say ---

    def view(self) -> View:
        """The records, as old as they may be."""
        now = self.loop.now
        if self._view is None or now - self._view.taken >= VIEW_MS:
            peers, absent, nodes = {}, {}, 0
            for machine in self.machines.values():
                state = self._presence(machine)
                if state is Presence.OFFLINE or machine.slashed:
                    continue
                nodes += state is Presence.ONLINE
                if state is Presence.STALE:
                    absent[machine.account] = state
                elif machine.held is not None:
                    peers[machine.account] = machine.peer
            counts = count_holders((p.held for p in peers.values() if p.held), self.layout.parts)
            self._view = View(now, nodes, peers, absent, counts)
        return self._view

    def _presence(self, machine: Machine) -> Presence:
        if not machine.up and not machine.down_since:
            return Presence.OFFLINE
        return presence(machine.last_beat(self.loop.now, self.times.heartbeat), self.loop.seconds, self.times)

    def free(self, view: View) -> list[Peer]:
        """Nodes that would take a seat: in no session, and not at work that the network lacks hands for."""
        kept = {Mode.VERIFY, Mode.DATA, Mode.INFERENCE}
        taken = self.sessions.busy
        return [p for a, p in view.peers.items() if a not in taken and self.machines[a].mode not in kept]

    # --- modes ---

    def consider(self, machine: Machine, born: int) -> None:
        """Look at the network, choose a mode, act, and look again later."""
        if not machine.up or machine.born != born:
            return
        if machine.account in self.sessions.busy:
            self.enter(machine, Mode.PIPELINE, "back in its quorum")
            return
        proposal = self._proposal(machine)
        choice = choose(self._situation(machine, proposal))
        self.enter(machine, choice.mode, choice.why)
        if self._act(machine, choice, proposal):
            return
        again = SOON_MS if choice.action is Action.WAIT else LATER_MS
        if choice.mode is Mode.ASYNC and self._misplaced(machine):
            machine.held = None
            self.fetch(machine, lambda: self.consider(machine, born))
            return
        self.loop.after(again + self.draw.randrange(1000), lambda: self.consider(machine, born))

    def _act(self, machine: Machine, choice: Choice, proposal: Proposal | str) -> bool:
        if choice.action is Action.JOIN:
            return self.sessions.join(machine)
        if choice.action is Action.FORM and isinstance(proposal, Proposal):
            self.sessions.open(proposal, self.view())
            return True
        return False

    def _situation(self, machine: Machine, proposal: Proposal | str) -> Situation:
        view = self.view()
        return Situation(
            nodes=max(1, view.nodes),
            tier=machine.peer.tier,
            layer_us=machine.layer_us,
            holds=machine.held is not None,
            staked=not machine.slashed,
            joinable=self.sessions.vacancy(machine),
            formable=isinstance(proposal, Proposal),
            why_not="" if isinstance(proposal, Proposal) else proposal,
            searched=(self.loop.now - machine.searching) // 1000,
            shards=machine.shards,
            verifiers=self.modes[Mode.VERIFY] - (machine.mode is Mode.VERIFY),
            providers=self.modes[Mode.DATA] - (machine.mode is Mode.DATA),
            times=self.times,
        )

    def _proposal(self, machine: Machine) -> Proposal | str:
        searched = (self.loop.now - machine.searching) // 1000
        if searched < self.times.join or machine.peer.tier >= SLOWEST or machine.slashed or machine.held is None:
            return "still looks for one to join"
        view = self.view()
        terms = Terms(self.loop.seconds, max(1, view.nodes), times=self.times)
        found = propose(machine.peer, self.free(view), self.layout, terms)
        return found if isinstance(found, Proposal) else found.why_not

    def _misplaced(self, machine: Machine) -> bool:
        """Whether parts that are scarce need this node, which holds none of them."""
        view = self.view()
        scarce = scarcities(view.counts, max(1, view.nodes))
        held = machine.held.parts() if machine.held else range(0)
        return any(scarce) and not any(scarce[part] for part in held)

    def enter(self, machine: Machine, mode: Mode, why: str) -> None:
        """Change a node's mode; time spent in async mode becomes work."""
        now = self.loop.now
        self.credit_async(machine)
        if machine.up:
            self.modes[machine.mode] -= 1
            self.modes[mode] += 1
        machine.enter(mode, why, now)

    def credit_async(self, machine: Machine) -> None:
        """Count what an async node trained since it was last asked."""
        if machine.up and machine.mode in {Mode.ASYNC, Mode.SOLO}:
            since = max(machine.mode_since, machine.credited)
            took = alone_us(machine, self.spec.model, self.layout)
            batches = (self.loop.now - since) * 1000 / took
            self.books.alone_batches += batches
            self.books.add(machine.account, Span(0, self.layout.parts), None, batches, self.loop.now)
        machine.credited = self.loop.now

    def release(self, machine: Machine) -> None:
        """A node's session is over: it looks for another one."""
        machine.searching = self.loop.now
        if machine.up:
            self.enter(machine, Mode.IDLE, "its quorum dissolved")
            born = machine.born
            self.loop.after(self.draw.randrange(5000), lambda: self.consider(machine, born))
