"""What `/dashboard/api/v1` answers. Times are Unix seconds, money decimal text in wei, hashes 0x-hex."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from node.inference.paid.messages import ANSWER_TOKENS, PROMPT_CHARACTERS, TEMPERATURE_MAX, Address, Amount
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
    """One version of the model. `before` and `after` count layers where it is a growth of them; 0 where it is none."""

    number: int
    rows: int
    parent: int
    activated_at: int
    before: int
    after: int


class VoteEntry(BaseModel):
    """A proposal of any kind and where its vote stands; shares in basis points."""

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


class ProposalEntry(VoteEntry):
    """One of words: from `eta` on it may be activated, 0 before it is queued; `tokens` its first new ones as text."""

    eta: int
    merges: int
    tokens: list[str]


class PledgeEntry(BaseModel):
    """An account says that it holds, or is ready to hold, `count` new layers from `first` on."""

    account: str
    first: int
    count: int
    tier: int


class GrowthEntry(VoteEntry):
    """One of layers, from `before` to `after`. `decided_from`: its deadline once it is announced, else 0. `holders`: in
    words, whether the new layers have them, "" where it is over. `pledges` are the first of all `pledged`."""

    before: int
    after: int
    decided_from: int
    extensions: int
    extensions_most: int
    holders: str
    pledged: int
    pledges: list[PledgeEntry]


class VocabularyAnswer(BaseModel):
    """Versions and proposals of words and of layers, newest first; rounds run in `current` and go to `target`."""

    current: int
    target: int
    now: int
    versions: list[VersionEntry]
    proposals: list[ProposalEntry]
    growths: list[GrowthEntry]


class Wallet(BaseModel):
    """The node's own wallet, where the operator unlocked it for paying."""

    account: str
    balance_wei: str
    deposit_wei: str
    max_fee_wei: str


class Question(BaseModel):
    """What a page asks to be answered. Body of POST /inference/ask; `max_fee_wei` for the whole answer."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(min_length=1, max_length=PROMPT_CHARACTERS)]
    max_tokens: Annotated[int, Field(ge=1, le=ANSWER_TOKENS)] = 64
    temperature_milli: Annotated[int, Field(ge=0, le=TEMPERATURE_MAX)] = 700
    max_fee_wei: Amount


class WalletQuestion(Question):
    """The same for a wallet in the browser. Body of POST /inference/quote."""

    payer: Address


class Sending(BaseModel):
    """One transaction that the browser's wallet is to send, and what it does in words."""

    purpose: str
    to: str
    data: str


class Prepared(BaseModel):
    """A checked offer, ready to be opened by the browser's wallet: what to send, the voucher to sign (EIP-712, for
    `eth_signTypedData_v4`; the page puts the number of tokens in), and the first message without voucher and block."""

    request: str
    price_wei: str
    most_wei: str
    chain_id: int
    voucher_tokens: int
    sendings: list[Sending]
    voucher: dict[str, Any]
    begin: dict[str, Any]


class Inference(BaseModel):
    """Who answers for money, at which price, and which wallets can pay. `why_not` says why nobody can be asked."""

    server: str = ""
    account: str = ""
    price_wei: str = "0"
    busy: int = 0
    slots: int = 0
    tier: int = 0
    vocabulary: int = 0
    model_root: str = ""
    chain_id: int = 0
    escrow: str = ""
    wallet: Wallet | None = None
    why_not: str = ""
