"""What `/dashboard/api/v1` answers. Times are Unix seconds, money decimal text in wei, hashes 0x-hex."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from node.modes.view import LayerRow, NodeRow, QuorumRow
from node.training.snapshot import Snapshot

State = Literal["never", "running", "silent", "stopped"]


class Status(BaseModel):
    """The node of this home at one moment; `idle_reason` says why nothing is happening, "" where something is."""

    state: State
    idle_reason: str
    now: Snapshot | None
    collected_wei: str
    at: float


class NodeEntry(NodeRow):
    """A node with its tier, 1 to 5; 0 while it is not measured."""

    speed: int


class Network(BaseModel):
    """What the node last knew about the network; `updated` 0: it has written nothing yet."""

    updated: float
    account: str
    online: int
    modes: dict[str, int]
    tiers: dict[str, int]
    nodes: list[NodeEntry]
    quorums: list[QuorumRow]
    layers: list[LayerRow]


class RoundEntry(BaseModel):
    """One round; `steps` are those that this node ran in it, the losses those of the first and the last of them."""

    number: int
    phase: str
    claim_deadline: int
    challenge_deadline: int
    outer_deadline: int | None
    start_root: str
    end_root: str | None
    steps: int
    first_loss: float | None
    last_loss: float | None
    claims: int


class Rounds(BaseModel):
    """The newest rounds, newest first, and the losses (nats) of this node's last steps, oldest first."""

    rounds: list[RoundEntry]
    losses: list[float]
    first_step: int
    """Number of the first loss, counted over all steps on record."""


class ClaimEntry(BaseModel):
    """A claim as the node has it on record; `audit` is what this node found when it computed it again."""

    hash: str
    round: int
    node: str
    kind: Literal["train", "outer"]
    own: bool
    state: str
    steps: int
    tokens: int
    reason: str
    tx_hash: str
    audit: str
    audit_detail: str


class Claims(BaseModel):
    """The newest claims, newest first; `states` counts all on record."""

    claims: list[ClaimEntry]
    states: dict[str, int]


class DisputeEntry(BaseModel):
    """One dispute of the newest round. `turn` is whose move it is; "" where it has ended."""

    id: str
    claim: str
    prover: str
    challenger: str
    step: int
    moves: int
    turn: Literal["prover", "challenger", ""]
    deadline: int
    words: str


class Disputes(BaseModel):
    """Challenges that wait for an answer and games before the judge; `now` is the chain's time."""

    round: int
    now: int
    disputes: list[DisputeEntry]


class VersionEntry(BaseModel):
    """One version of the vocabulary."""

    number: int
    rows: int
    parent: int
    activated_at: int


class ProposalEntry(BaseModel):
    """A proposal and where its vote stands; shares in basis points, `tokens` its first new tokens as text."""

    id: str
    proposer: str
    parent: int
    uri: str
    state: str
    words: str
    approve_wei: str
    reject_wei: str
    abstain_wei: str
    approval_bps: int
    approval_needed_bps: int
    quorum_bps: int
    vote_starts: int
    vote_ends: int
    eta: int
    merges: int
    tokens: list[str]


class VocabularyAnswer(BaseModel):
    """Versions and proposals, newest first; rounds run in `current` and go to `target`."""

    current: int
    target: int
    now: int
    versions: list[VersionEntry]
    proposals: list[ProposalEntry]


class Wallet(BaseModel):
    """The node's own wallet, where the operator unlocked it for paying."""

    account: str
    balance_wei: str
    deposit_wei: str
    max_fee_wei: str


class Inference(BaseModel):
    """Who answers for money, at which price, and which wallets can pay. `why_not` says why nobody can be asked."""

    server: str
    account: str
    price_wei: str
    busy: int
    slots: int
    tier: int
    vocabulary: int
    model_root: str
    chain_id: int
    escrow: str
    wallet: Wallet | None
    why_not: str
