"""Versions of the model and the votes on new ones, of words and of layers, as the chain has them. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from consensus.errors import ConsensusError
from economics.constants import GROWTH_EXTENSIONS, VOTE_APPROVAL
from economics.units import BPS
from governance.versions import decode_merges
from node.chain.contracts import Contracts
from node.chain.growth_events import Pledged
from node.dashboard.schemas import GrowthEntry, PledgeEntry, ProposalEntry, VersionEntry, VocabularyAnswer
from node.vocabulary.ballots import Ballot, ballots
from node.vocabulary.depths import DepthBallot, growths
from node.vocabulary.versions import Versions, depths
from node.vocabulary.votes import Vote, spelled

TOKENS_SHOWN = 60
PROPOSALS_SHOWN = 50
"""Of words, and as many of layers."""
PLEDGES_SHOWN = 50


def read_votes(contracts: Contracts, first: int) -> VocabularyAnswer:
    """Everything since block `first`, newest first.

    Raises:
        RpcError. ContractsError: no event has the terms of a version.
    """
    vocabulary = contracts.vocabulary
    current, target = vocabulary.state()
    grown = depths(contracts, first)
    newest = slice(-1, -PROPOSALS_SHOWN - 1, -1)
    pledges = _pledges(contracts, first)
    return VocabularyAnswer(
        current=current,
        target=target,
        now=contracts.client.block().timestamp,
        versions=[_version(contracts, number, grown) for number in reversed(range(vocabulary.count()))],
        proposals=[_proposal(one, _tokens(contracts, first, one)) for one in list(ballots(contracts, first))[newest]],
        growths=[_growth(one, pledges[one.proposal.id]) for one in list(growths(contracts, first))[newest]],
    )


def _version(contracts: Contracts, number: int, grown: dict[int, tuple[int, int]]) -> VersionEntry:
    found, (before, after) = contracts.vocabulary.version_of(number), grown.get(number, (0, 0))
    return VersionEntry(
        number=number,
        rows=found.size,
        parent=found.parent,
        activated_at=found.activated_at,
        before=before,
        after=after,
    )


def _tokens(contracts: Contracts, first: int, ballot: Ballot) -> list[str]:
    """The first new tokens as text; none where what was proposed is torn, which is for voters to refuse."""
    change = ballot.proposal.change
    try:
        base = Versions(contracts, first).read()[change.parent].vocabulary
        merges = decode_merges(change.merges)[:TOKENS_SHOWN]
        grown = base.extended(merge.pair for merge in merges)
        return [grown.text(base.rows + index) for index in range(len(merges))]
    except (ConsensusError, IndexError, KeyError):
        return []


def _pledges(contracts: Contracts, first: int) -> dict[int, list[Pledged]]:
    """Pledges by the growth that they are about, in the order of the chain: one an account and growth."""
    found: dict[int, list[Pledged]] = defaultdict(list)
    for event in contracts.growth.events(first, contracts.client.block().number, Pledged):
        if isinstance(event, Pledged):
            found[event.id].append(event)
    return found


def _vote(vote: Vote) -> dict[str, Any]:
    """What proposals of every kind say of themselves."""
    proposal, tally = vote.proposal, vote.tally
    decided = tally.in_favour + tally.against
    return {
        "id": spelled(proposal.id),
        "proposer": proposal.proposer,
        "parent": proposal.change.parent,
        "uri": proposal.uri[:500],
        "state": vote.state.name.lower(),
        "approve_wei": str(tally.in_favour),
        "reject_wei": str(tally.against),
        "abstain_wei": str(tally.abstain),
        "approval_bps": tally.in_favour * BPS // decided if decided else 0,
        "approval_needed_bps": VOTE_APPROVAL,
        "quorum_bps": min(BPS, tally.cast * BPS // tally.quorum) if tally.quorum else 0,
        "vote_starts": vote.snapshot,
        "vote_ends": vote.deadline,
    }


def _proposal(ballot: Ballot, tokens: list[str]) -> ProposalEntry:
    merges = len(ballot.proposal.change.merges) // 8
    return ProposalEntry(**_vote(ballot), words=ballot.words(), eta=ballot.eta, merges=merges, tokens=tokens)


def _growth(ballot: DepthBallot, pledges: Sequence[Pledged]) -> GrowthEntry:
    plan = ballot.plan
    return GrowthEntry(
        **_vote(ballot),
        words=ballot.words(),
        before=plan.layers,
        after=plan.grown,
        decided_from=plan.deadline,
        extensions=plan.extensions,
        extensions_most=GROWTH_EXTENSIONS,
        holders=ballot.holders() if ballot.open else "",
        pledged=len(pledges),
        pledges=[
            PledgeEntry(account=one.account, first=one.first, count=one.count, tier=one.tier)
            for one in pledges[:PLEDGES_SHOWN]
        ],
    )
