"""The contracts' events as frozen values. Field names are the Solidity names in snake case; a test keeps them equal."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from eth_utils.abi import event_abi_to_log_topic
from web3.types import LogReceipt

from consensus.commitments.claim import Claim
from node.chain import artifacts, court_events, event
from node.chain.codec import lenient
from node.chain.growth_events import GROWTH_EVENTS
from node.chain.quorum_events import QUORUM_EVENTS
from node.chain.types import Change, LossReason, Support

Event = event.Event


@dataclass(frozen=True)
class RoundOpened(Event):
    """A round takes claims until `claim_deadline`."""

    round: int
    start_root: bytes
    randomness: bytes
    opened_at: int
    claim_deadline: int
    version: int
    target: int


@dataclass(frozen=True)
class RoundClosed(Event):
    """A round ended; `next_root` is the global root now."""

    round: int
    next_root: bytes


@dataclass(frozen=True)
class ClaimPosted(Event):
    """A node posted a claim."""

    round: int
    node: str
    claim_hash: bytes
    claim: Claim


@dataclass(frozen=True)
class ClaimFinal(Event):
    """A claim is final; `reward` is the wei it accrued."""

    round: int
    node: str
    claim_hash: bytes
    final_set: bytes
    reward: int


@dataclass(frozen=True)
class ClaimLost(Event):
    """A claim was lost to a challenge."""

    round: int
    node: str
    claim_hash: bytes
    challenger: str
    step: int
    reason: LossReason


@dataclass(frozen=True)
class ClaimChallenged(Event):
    """A challenger points at a step; the node must answer until `deadline`."""

    claim_hash: bytes
    node: str
    challenger: str
    step: int
    deadline: int


@dataclass(frozen=True)
class ChallengeAnswered(Event):
    """The leaf pointed at was opened."""

    claim_hash: bytes
    node: str
    challenger: str
    step: int
    before: bytes
    after_step: bytes
    batch: bytes
    loss_bits: int
    trace: bytes


@dataclass(frozen=True)
class ChallengeFailed(Event):
    """A challenge failed and its bond was slashed."""

    claim_hash: bytes
    node: str
    challenger: str


@dataclass(frozen=True)
class ChallengeReleased(Event):
    """A challenger took its bond back from a claim lost to another."""

    claim_hash: bytes
    node: str
    challenger: str


@dataclass(frozen=True)
class BondReleased(Event):
    """A node freed the bond of its final claim."""

    node: str


@dataclass(frozen=True)
class Announced(Event):
    """A node serves its artefacts at `uri`. The text is the node's own: treat it as untrusted."""

    node: str
    uri: str


@dataclass(frozen=True)
class Slashed(Event):
    """An account lost `amount` wei; the beneficiary was credited `share`, the rest was burned."""

    account: str
    beneficiary: str
    amount: int
    share: int


@dataclass(frozen=True)
class Accrued(Event):
    """A node earned `amount` wei; `accrued` waits in all."""

    node: str
    amount: int
    accrued: int


@dataclass(frozen=True)
class GameOpened(Event):
    """The judge has a challenge; the challenger moves until `deadline`."""

    game: bytes
    prover: str
    challenger: str
    deadline: int


@dataclass(frozen=True)
class Demanded(Event):
    """The prover is to reveal what is below a node: `count` nodes, or `length` bytes of a leaf."""

    game: bytes
    prover: str
    tree: int
    op: int
    set: int
    level: int
    index: int
    node: bytes
    count: int
    length: int
    deadline: int


@dataclass(frozen=True)
class Revealed(Event):
    """Nodes that were demanded; the challenger moves until `deadline`."""

    game: bytes
    node: bytes
    children: tuple[bytes, ...]
    deadline: int


@dataclass(frozen=True)
class RevealedData(Event):
    """Data that was demanded; the challenger moves until `deadline`."""

    game: bytes
    node: bytes
    data: bytes
    deadline: int


@dataclass(frozen=True)
class GameMoved(Event):
    """A challenge points at another step; the prover answers again."""

    game: bytes
    step: int


@dataclass(frozen=True)
class GameEnded(Event):
    """A game is over."""

    game: bytes
    prover: str
    challenger: str
    prover_won: bool


@dataclass(frozen=True)
class Activated(Event):
    """A version of the vocabulary is the target; `terms` is the hash of its terms, which a ChangeProposed has."""

    version: int
    parent: int
    proposer: str
    terms: bytes


@dataclass(frozen=True)
class RolledBack(Event):
    """A version was taken back; its parent is the target again."""

    version: int
    parent: int


@dataclass(frozen=True)
class Entered(Event):
    """Rounds run in `version` from now on."""

    version: int


@dataclass(frozen=True)
class ProposalCreated(Event):
    """A vote is proposed; its description is a change's URI, the proposer's own text: treat it as untrusted."""

    proposal_id: int
    proposer: str
    targets: tuple[str, ...]
    values: tuple[int, ...]
    signatures: tuple[str, ...]
    calldatas: tuple[bytes, ...]
    vote_start: int
    vote_end: int
    description: str


@dataclass(frozen=True)
class ChangeProposed(Event):
    """What a proposal would make of the vocabulary: where the terms of a version stand in full. The ProposalCreated of
    the same transaction has their hash, as part of its motion."""

    program_hash: bytes
    grow_hash: bytes
    shrink_hash: bytes
    data_root: bytes
    merges: bytes

    def of(self, parent: int) -> Change:
        """As a change of version `parent`."""
        return Change(parent, self.program_hash, self.grow_hash, self.shrink_hash, self.data_root, self.merges)


@dataclass(frozen=True)
class GrowthProposed(ChangeProposed):
    """As ChangeProposed, of a growth of layers, whose encoding stands for the merges."""

    def of(self, parent: int) -> Change:
        """As a change of version `parent`."""
        return replace(super().of(parent), deepens=True)


@dataclass(frozen=True)
class Bonded(Event):
    """An account's stake stands behind a proposal that it may make now."""

    id: int
    proposer: str


@dataclass(frozen=True)
class ChangeAmended(Event):
    """A proposal has become another one, whose discussion starts anew."""

    id: int
    by: int


@dataclass(frozen=True)
class BondFreed(Event):
    """A proposer's bond is free again."""

    id: int
    proposer: str


@dataclass(frozen=True)
class RollbackProposed(Event):
    """An emergency vote was opened. The reason is the proposer's own text: treat it as untrusted."""

    id: int
    version: int
    proposer: str
    reason: str


@dataclass(frozen=True)
class VoteCast(Event):
    """An account voted with `weight` wei of stake. The reason is the voter's own text: treat it as untrusted."""

    voter: str
    proposal_id: int
    support: Support
    weight: int
    reason: str


@dataclass(frozen=True)
class ProposalQueued(Event):
    """A passed change may be activated from the timestamp `eta_seconds` on."""

    proposal_id: int
    eta_seconds: int


@dataclass(frozen=True)
class ProposalExecuted(Event):
    """A vote's outcome was put into effect."""

    proposal_id: int


@dataclass(frozen=True)
class ProposalCanceled(Event):
    """A proposal was withdrawn, amended or released as stale."""

    proposal_id: int


@dataclass(frozen=True)
class Opened(Event):
    """A payer locked the fee of a request; `seed` fixes every draw of its answer."""

    request: bytes
    payer: str
    server: str
    locked: int
    seed: bytes


@dataclass(frozen=True)
class Cancelled(Event):
    """A payer says that only `tokens` were served; the server may settle until `deadline`."""

    request: bytes
    tokens: int
    deadline: int


@dataclass(frozen=True)
class Settled(Event):
    """A voucher was paid: wei to the payees, burned, and back to the payer."""

    request: bytes
    tokens: int
    paid: int
    burned: int
    returned: int


@dataclass(frozen=True)
class Refunded(Event):
    """A request ended without a voucher: the tokens that the payer named were paid, the rest went back."""

    request: bytes
    tokens: int
    paid: int
    burned: int
    returned: int


EVENT_TYPES: dict[tuple[str, str], type[Event]] = {
    ("WorkRegistry", kind.__name__): kind
    for kind in (
        RoundOpened,
        RoundClosed,
        ClaimPosted,
        ClaimFinal,
        ClaimLost,
        ClaimChallenged,
        ChallengeAnswered,
        ChallengeFailed,
        ChallengeReleased,
        BondReleased,
        Announced,
    )
}
EVENT_TYPES |= {
    ("Judge", kind.__name__): kind for kind in (GameOpened, Demanded, Revealed, RevealedData, GameMoved, GameEnded)
}
EVENT_TYPES |= {("InferenceEscrow", kind.__name__): kind for kind in (Opened, Cancelled, Settled, Refunded)}
EVENT_TYPES |= {("AnswerCourt", kind.__name__): kind for kind in court_events.KINDS}
EVENT_TYPES |= {("Quorums", kind.__name__): kind for kind in QUORUM_EVENTS}
EVENT_TYPES |= {("Staking", "Slashed"): Slashed, ("Emission", "Accrued"): Accrued}
_VOTES = (VoteCast, ProposalExecuted)
EVENT_TYPES |= {("Vocabulary", kind.__name__): kind for kind in (Activated, RolledBack, Entered)}
EVENT_TYPES |= {("EmergencyGovernor", kind.__name__): kind for kind in (RollbackProposed, *_VOTES)}
_CHANGES = (ProposalCreated, ChangeProposed, ChangeAmended, Bonded, BondFreed, ProposalQueued, ProposalCanceled)
_GROWTHS = (ProposalCreated, GrowthProposed, *GROWTH_EVENTS)
EVENT_TYPES |= {("GrowthGovernor", kind.__name__): kind for kind in (*_GROWTHS, *_VOTES)}
EVENT_TYPES |= {("VocabularyGovernor", kind.__name__): kind for kind in (*_CHANGES, *_VOTES)}
"""(contract, event) → type. Stake movements, deposits and transfers are read by view, not by event."""


def snake_case(name: str) -> str:
    """A Solidity name in Python's spelling: claimHash → claim_hash."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@functools.cache
def topics(contract: str) -> dict[bytes, str]:
    """Topic 0 → event name, for the events of `contract` that have a type here."""
    return {
        bytes(event_abi_to_log_topic(entry)): entry["name"]  # type: ignore[arg-type]
        for entry in artifacts.load(contract).entries("event")
        if (contract, entry["name"]) in EVENT_TYPES
    }


@functools.cache
def _decoder(contract: str, name: str) -> Any:
    return lenient().eth.contract(abi=artifacts.load(contract).abi).events[name]()


def decode(contract: str, entry: LogReceipt) -> Event | None:
    """One log of `contract` as its type; None for events without one.

    Raises:
        ClaimError: a posted claim that this version does not know (its registry would refuse it too).
    """
    name = topics(contract).get(bytes(entry["topics"][0])) if entry["topics"] else None
    if name is None:
        return None
    kind = EVENT_TYPES[(contract, name)]
    values = _values(_decoder(contract, name).process_log(entry)["args"])
    place = (str(entry["address"]), int(entry["blockNumber"]), bytes(entry["transactionHash"]), int(entry["logIndex"]))
    return kind(*place, **values)


def _values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        snake_case(key): bytes(value) if isinstance(value, bytes) else value for key, value in arguments.items()
    }
    if "claim" in values:
        claim = values["claim"]
        values["claim"] = Claim.from_tuple(tuple(claim.values()) if isinstance(claim, Mapping) else tuple(claim))
    if "support" in values:
        values["support"] = Support(values["support"])
    if "members" in values:
        values["members"] = tuple(tuple(one.values() if isinstance(one, Mapping) else one) for one in values["members"])
    for name in ("targets", "values", "signatures"):
        if name in values:
            values[name] = tuple(values[name])
    for name in ("children", "calldatas"):
        if name in values:
            values[name] = tuple(map(bytes, values[name]))
    if isinstance(values.get("reason"), int):  # elsewhere it is somebody's text
        values["reason"] = LossReason(values["reason"])
    return values


def own_fields(kind: type[Event]) -> list[str]:
    """The names of an event type's arguments, without its place."""
    place = {field.name for field in fields(Event)}
    return [field.name for field in fields(kind) if field.name not in place]
