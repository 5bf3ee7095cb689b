"""The end of a round in the simulation: cohorts exchange updates, claims are drawn and audited, cheats are slashed."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from bench.simulate.books import Contribution, quantile
from bench.simulate.machines import Machine
from bench.simulate.pipeline import PASSES
from consensus.aggregation.trimmed_mean import trimmed
from consensus.aggregation.window import window_mean
from consensus.arithmetic.numbers import BLOCK
from consensus.dispute.audit import draw_segments
from consensus.quorum.capacity import LAYER_WORK
from consensus.quorum.lottery import is_due, panel
from consensus.quorum.modes import Mode
from consensus.quorum.session import RUNNING
from consensus.training.outer import update_weight
from economics.cohort import inner_steps, segment_length, update_freshness
from economics.constants import AUDIT_SEGMENTS, CLAIM_SEGMENTS

if TYPE_CHECKING:
    from bench.simulate.network import Network

TOY = 64
"""Coordinates of the stand-in for a part's update, on which the real mean is computed."""
BYTES_BY_COORDINATE = 1 + 4 / BLOCK
"""int8 and one scale a block."""


@dataclass
class Detection:
    """What became of claims that were wrong."""

    wrong: int = 0
    caught: int = 0
    first_wrong: dict[bytes, int] = field(default_factory=dict)
    """Round of the first wrong claim by account."""
    rounds_until: list[int] = field(default_factory=list)
    """Rounds that each caught cheat went free, the one of its end included."""
    audits: int = 0
    late: int = 0
    """Audits that were not done within the window."""
    work_us: int = 0
    """What audits recomputed, in time of the auditors."""
    trained_us: int = 0
    """What the claims trained, in time of those who trained it."""


class Rounds:
    """Closes rounds of the network one after the other."""

    def __init__(self, network: Network) -> None:
        self.network, self.number = network, 0
        self.detection = Detection()
        network.loop.after(1000 * network.spec.round_seconds, self._close)

    def _close(self) -> None:
        net = self.network
        self.number += 1
        for one in list(net.sessions.running.values()):
            if one.session.state in RUNNING:
                net.sessions.train(one)
        for machine in net.machines.values():
            net.credit_async(machine)
        done = {a: c for a, c in net.books.contributions.items() if c.batches >= 1}
        net.books.contributions = {}
        figures = {"round": self.number, "claims": len(done)} | self._sync(done) | self._audit(done)
        net.books.rounds.append(figures)
        net.loop.after(1000 * net.spec.round_seconds, self._close)

    # --- the outer step ---

    def _sync(self, done: dict[bytes, Contribution]) -> dict[str, object]:
        """Every part's cohort exchanges its updates: each member sends every other the share that the other sums up,
        and gets the result back, so it sends and receives about twice its parts once."""
        net = self.network
        parts, spread = net.layout.parts, sum(net.layout.memory)
        weights_of = [4 * net.spec.model.parameters * net.layout.memory[p] // spread // 4 for p in range(parts)]
        cohorts = [[c for c in done.values() if part in c.span and self._there(c.account)] for part in range(parts)]
        sizes: Counter[bytes] = Counter()
        for part, cohort in enumerate(cohorts):
            for one in cohort if len(cohort) > 1 else ():
                sizes[one.account] += int(2 * weights_of[part] * BYTES_BY_COORDINATE * (len(cohort) - 1) / len(cohort))
        seconds = [size / net.machines[account].bandwidth for account, size in sizes.items()]
        steps = [int(c.batches) for c in done.values() if c.quorum is not None]
        naive = [2 * 4 * sum(weights_of[p] for p in c.span.parts()) * int(c.batches) for c in done.values()]
        return {
            "sync_bytes": sum(sizes.values()),
            "naive_ratio": round(sum(naive) / max(1, sum(sizes.values())), 1),
            "sync_seconds_p50": round(quantile(seconds, 0.5), 1),
            "sync_seconds_p95": round(quantile(seconds, 0.95), 1),
            "late_for_window": sum(one > net.spec.window for one in seconds),
            "missing": sum(not self._there(account) for account in done),
            "cohort_min": min(len(cohort) for cohort in cohorts),
            "steps_p50": quantile(steps, 0.5),
            "steps_wanted": int(inner_steps(max(1, net.view().nodes))),
            "mean_error": round(
                max((self._mean_error(part, cohort) for part, cohort in enumerate(cohorts)), default=0), 4
            ),
        }

    def _there(self, account: bytes) -> bool:
        return self.network.machines[account].up and not self.network.machines[account].slashed

    def _mean_error(self, part: int, cohort: list[Contribution]) -> float:
        """How far cheats, who flip their update's sign, pull the trimmed mean off the honest ones' direction."""
        if not cohort:
            return 0.0
        make = torch.Generator().manual_seed(self.number * 1000 + part)
        truth = torch.randn(TOY, generator=make)
        parts = []
        for one in cohort:
            update = truth + 0.5 * torch.randn(TOY, generator=make)
            wrong = self.network.machines[one.account].wrong
            age = (self.network.loop.now - one.last_ms) // 1000
            parts.append((update_weight(int(one.batches), update_freshness(age)), -update if wrong else update))
        mean = window_mean([update for _, update in parts], [weight for weight, _ in parts], trimmed())
        return float((mean - truth).norm() / truth.norm())

    # --- audits ---

    def _audit(self, done: dict[bytes, Contribution]) -> dict[str, object]:
        net, found = self.network, self.detection
        seed = hashlib.sha256(f"{net.spec.seed} round {self.number}".encode()).digest()
        quorum_of = {account: c.quorum for account, c in done.items() if c.quorum is not None}
        able = self._able()
        left = dict.fromkeys(able, 1_000_000 * net.spec.window)
        caught_now, audited = set(), 0
        for account, claim in sorted(done.items()):
            wrong = net.machines[account].wrong
            found.wrong += bool(wrong)
            found.trained_us += self._work_us(net.machines[account], int(claim.batches), claim)
            if wrong:
                found.first_wrong.setdefault(account, self.number)
            claim_hash = hashlib.sha256(seed + account).digest()
            auditors = self._auditors(seed, claim_hash, account, able, quorum_of)
            audited += bool(auditors)
            if any(self._finds(seed, claim_hash, a, claim, left) for a in auditors):
                caught_now.add(account)
        for account in caught_now:
            net.machines[account].slashed = True
            found.caught += 1
            found.rounds_until.append(self.number - found.first_wrong[account] + 1)
        return {"audited": audited, "caught": len(caught_now), "verifiers": len(able)}

    def _able(self) -> list[bytes]:
        net = self.network
        up = [m for m in net.machines.values() if m.up and not m.slashed]
        verifying = [m for m in up if m.mode is Mode.VERIFY]
        return sorted(m.account for m in (up if net.spec.own_draw or not verifying else verifying))

    def _auditors(
        self, seed: bytes, claim_hash: bytes, account: bytes, able: list[bytes], quorum_of: dict[bytes, bytes]
    ) -> list[bytes]:
        nodes = max(1, self.network.view().nodes)
        if self.network.spec.own_draw:
            return [a for a in able if is_due(seed, claim_hash, a, account, quorum_of, nodes)]
        return panel(seed, claim_hash, account, able, quorum_of, nodes)

    def _finds(
        self, seed: bytes, claim_hash: bytes, auditor: bytes, claim: Contribution, left: dict[bytes, int]
    ) -> bool:
        """Whether an auditor recomputes its segments in time and one of them is faked. A cheat keeps silent."""
        net, steps = self.network, int(claim.batches)
        machine = net.machines[auditor]
        segments = draw_segments(seed, claim_hash, auditor, steps, segment_length(steps), AUDIT_SEGMENTS)
        took = self._work_us(machine, sum(s.stop - s.start for s in segments), claim)
        self.detection.audits += 1
        self.detection.work_us += took
        left[auditor] -= took
        if left[auditor] < 0:
            self.detection.late += 1
            return False
        suspect: Machine = net.machines[claim.account]
        faked = {s.start * CLAIM_SEGMENTS // max(1, steps) < suspect.wrong for s in segments}
        return True in faked and not machine.wrong

    def _work_us(self, machine: Machine, steps: int, claim: Contribution) -> int:
        """Microseconds that a machine computes for so many steps of a claim's parts."""
        net = self.network
        micro_batches = net.spec.model.batch // net.spec.model.micro_batch
        return steps * micro_batches * PASSES * net.layout.work_of(claim.span) * machine.layer_us // LAYER_WORK
