"""The demonstration's figures, read from the chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from consensus.commitments.claim import ClaimKind
from node.chain import events
from node.chain.contracts import Contracts
from node.chain.types import LossReason
from node.demo.network import Member


class NodeReport(BaseModel):
    """One node: steps and tokens of its final claims, wei collected and slashed."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: str
    steps: int
    tokens: int
    reward_wei: int
    slashed_wei: int


class DemoReport(BaseModel):
    """The file demo-report.json. Losses are nats a token on held-out text."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    seconds: float
    rounds: int
    loss_start: float
    loss_end: float
    conserved: bool
    nodes: list[NodeReport]


@dataclass
class Tally:
    """What one account's claims came to."""

    final: int = 0
    lost: int = 0
    ruled: int = 0
    steps: int = 0
    tokens: int = 0
    accrued: int = 0
    slashed: int = 0


@dataclass
class Totals:
    """What the chain's events add up to; `burned` and `accrued` in wei."""

    rounds: int
    burned: int
    accrued: int
    tallies: dict[str, Tally]


def read_totals(contracts: Contracts, first_block: int) -> Totals:
    """Replay every event of the deployment."""
    last = contracts.client.block().number
    totals = Totals(0, 0, 0, {})
    claims: dict[bytes, events.ClaimPosted] = {}
    for contract in (contracts.registry, contracts.staking, contracts.emission):
        for event in contract.events(first_block, last):
            _count(event, totals, claims)
    return totals


def _count(event: events.Event, totals: Totals, claims: dict[bytes, events.ClaimPosted]) -> None:
    if isinstance(event, events.ClaimPosted):
        claims[event.claim_hash] = event
    elif isinstance(event, events.RoundClosed):
        totals.rounds += 1
    elif isinstance(event, events.ClaimFinal) and claims[event.claim_hash].claim.kind is ClaimKind.TRAIN:
        claim, tally = claims[event.claim_hash].claim, _tally(totals, event.node)
        tally.final += 1
        tally.steps += claim.steps
        tally.tokens += claim.tokens
    elif isinstance(event, events.ClaimLost):
        tally = _tally(totals, event.node)
        tally.lost += 1
        tally.ruled += event.reason is LossReason.RULING
    elif isinstance(event, events.Slashed):
        _tally(totals, event.account).slashed += event.amount
        totals.burned += event.amount - event.share
    elif isinstance(event, events.Accrued):
        _tally(totals, event.node).accrued += event.amount
        totals.accrued += event.amount


def _tally(totals: Totals, account: str) -> Tally:
    return totals.tallies.setdefault(account, Tally())


def is_conserved(contracts: Contracts, totals: Totals, holders: Iterable[str], genesis_supply: int) -> bool:
    """Whether every wei is accounted for: supply = genesis + minted - burned = what all holders and contracts have."""
    token, emission = contracts.token, contracts.emission
    everyone = {*holders, contracts.staking.address, emission.address, contracts.registry.address}
    waiting = sum(emission.accrued_of(account) for account in totals.tallies)
    minted = sum(emission.minted_in(epoch) for epoch in range(emission.current_epoch() + 1))
    supply = token.total_supply()
    return (
        minted == totals.accrued - waiting
        and supply == genesis_supply + minted - totals.burned
        and supply == sum(token.balance_of(account) for account in everyone)
    )


def node_report(contracts: Contracts, totals: Totals, member: Member) -> NodeReport:
    """One member's line."""
    tally = totals.tallies.get(member.address, Tally())
    return NodeReport(
        name=member.name,
        kind=member.kind,
        steps=tally.steps,
        tokens=tally.tokens,
        reward_wei=tally.accrued - contracts.emission.accrued_of(member.address),
        slashed_wei=tally.slashed,
    )


def are_judged(totals: Totals, members: Iterable[Member]) -> bool:
    """Whether every liar lost by a ruling of the judge: it answered, so no clock decided."""
    liars = [member.address for member in members if member.kind == "lying"]
    return all(_tally(totals, liar).ruled > 0 for liar in liars)


def verdict(report: DemoReport) -> bool:
    """Whether loss fell, honest nodes were paid, every cheat was slashed, and no wei appeared or vanished."""
    honest = [node for node in report.nodes if node.kind == "honest"]
    cheats = [node for node in report.nodes if node.kind != "honest"]
    return (
        report.conserved
        and report.rounds >= 2
        and report.loss_end < report.loss_start
        and all(node.reward_wei > 0 and node.slashed_wei == 0 for node in honest)
        and all(node.slashed_wei > 0 and node.reward_wei == 0 for node in cheats)
    )
