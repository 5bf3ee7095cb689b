"""Whether this node takes part in a proposed quorum: the rules, and what it knows of the members."""

from __future__ import annotations

from consensus.quorum.presence import Health
from consensus.quorum.session import Session, State, decision_time
from consensus.quorum.validity import Facts, refusals
from economics.networks import QuorumTimes
from node.net.hotkey import peer_text
from node.net.wire.common_pb2 import Refusal
from node.quorum.agreement import Objection
from node.quorum.bound import Binding
from node.quorum.census import Census
from node.quorum.offer import Almanac, Offer
from node.quorum.plan import Plan
from node.quorum.teams import Teams


def as_session(binding: Binding) -> Session:
    """A binding as the rules of sessions take it."""
    plan = binding.plan
    return Session(
        id=plan.id,
        initiator=plan.leader,
        seats=plan.proposal.seats,
        seconds=plan.proposal.seconds,
        state=State.ACTIVE,
        since=plan.proposal.starts,
        began=binding.began,
        ends=plan.ends,
        batches=binding.batches,
    )


class Judge:
    """Answers for one node. `me`: its peer's id in base58."""

    def __init__(self, me: str, teams: Teams, census: Census, almanac: Almanac, times: QuorumTimes) -> None:
        self._me, self._teams, self._census, self._almanac, self._times = me, teams, census, almanac, times

    def objection(self, plan: Plan, offer: Offer) -> Objection | None:
        """Why this node does not take part; None where it does.

        Raises:
            PonwError: the chain does not answer.
        """
        now = self._almanac.now()
        return self._engaged(plan, offer, now) or self._timing(plan, offer) or self._members(plan, offer, now)

    def health(self, plan: Plan, now: int, wall: int, since: int) -> dict[bytes, Health]:
        """Each other member's, in the time of `now`; who was never heard of counts from `since` (wall's time)."""
        known = self._census.all()
        heard = {a: known[a].at if a in known else since for a in plan.proposal.accounts if a != self._teams.me}
        return {account: Health(now - max(0, wall - at)) for account, at in heard.items()} | {
            self._teams.me: Health(now)
        }

    def _engaged(self, plan: Plan, offer: Offer, now: int) -> Objection | None:
        bound = self._teams.binding
        if plan.network != offer.network:
            return Refusal.OTHER_NETWORK, "this node is in another network"
        if offer.aside:
            return Refusal.BUSY, f"this node takes no seat: {offer.aside}"
        if bound is not None and bound.plan.ends > now and not self._renews(plan, bound, now):
            return Refusal.BUSY, "this node is in a quorum"
        return None

    def _renews(self, plan: Plan, bound: Binding, now: int) -> bool:
        long = plan.ends - bound.began > self._times.session_max
        return plan.renews(bound.plan) and now >= decision_time(as_session(bound)) and not long

    def _timing(self, plan: Plan, offer: Offer) -> Objection | None:
        if plan.steps != offer.steps:
            return Refusal.OTHER_QUORUM, f"a round has {offer.steps} steps here, not {plan.steps}"
        if plan.round <= self._teams.alone:
            return Refusal.BUSY, f"this node trains round {plan.round} alone"
        if self._almanac.first_round(plan.proposal.starts, plan.ends, plan.round - 1) != plan.round:
            return Refusal.OTHER_QUORUM, f"the session has no time for round {plan.round}"
        return None

    def _members(self, plan: Plan, offer: Offer, now: int) -> Objection | None:
        known = self._census.all()
        for account, peer in zip(plan.proposal.accounts, plan.peers, strict=True):
            name = self._me if account == self._teams.me else known[account].peer if account in known else ""
            if peer_text(peer) != name:
                return Refusal.OTHER_QUORUM, f"0x{account.hex()} is reached elsewhere"
        broken = refusals(plan.proposal, self._facts(offer, now))
        return (Refusal.OTHER_QUORUM, "; ".join(str(one) for one in broken)) if broken else None

    def _facts(self, offer: Offer, now: int) -> Facts:
        me, known, own = offer.node.account, self._census.all(), self._teams.plan
        peers = {account: seen.node for account, seen in known.items()} | {me: offer.node}
        away = {account: self._census.presence_of(account) for account in known if account != me}
        # Whoever is in this node's own quorum is asked to go on in it, which is no second one.
        engaged = {
            a: s.quorum for a, s in known.items() if s.quorum and a != me and (own is None or s.quorum != own.id)
        }
        nodes = len(self._census.online().keys() | {me})
        return Facts(
            peers, offer.layout, nodes, now, offer.arch_version, offer.vocab_version, engaged, away, self._times
        )
