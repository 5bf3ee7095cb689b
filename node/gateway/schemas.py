"""What goes over the gateway's API (docs/GATEWAY.md). Hashes are lower-case hex, times Unix seconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
VersionName = Annotated[str, Field(pattern=r"^v[0-9]{1,15}$")]
Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}$")]
ApiKey = Annotated[str, Field(pattern=r"^pv1_[A-Za-z0-9_-]{43}$")]
"""`pv1_` and 32 random bytes in base64url; made by the volunteer and never stored by the gateway."""
CodecName = Literal["topk", "int8", "twobit", "fourlevel", "raw"]
Count = Annotated[int, Field(ge=0, le=1 << 62)]
LEAVES_MAX = 4_096
META_LIMIT = 1 << 20
"""Bytes of an upload's header."""


class Strict(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hardware(Strict):
    """What a volunteer measured of its machine; it sizes batches and is trusted for nothing else."""

    cpu: Annotated[str, Field(max_length=120)] = ""
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    gpu: Annotated[str, Field(max_length=120)] = ""
    vram_gb: Annotated[float, Field(ge=0, le=1 << 20)] = 0.0
    memory_gb: Annotated[float, Field(ge=0, le=1 << 20)] = 0.0
    batch_size: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    tokens_per_s: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    """Measured by a short training run of the model; 0: not measured yet."""
    kernel: Annotated[str, Field(max_length=64)] = ""


class Challenge(Strict):
    """Proof of work for a registration: sha256(challenge ‖ sha256(api key) ‖ nonce u64 BE) must begin with
    `difficulty` zero bits."""

    challenge: Hash
    ticket: Annotated[str, Field(max_length=512)]
    """Signed by the gateway; sent back as it is."""
    difficulty: Annotated[int, Field(ge=0, le=64)]
    expires_at: Count


class Register(Strict):
    """POST /auth/register"""

    api_key: ApiKey
    username: Username | None = None
    hardware: Hardware = Hardware()
    ticket: Annotated[str, Field(max_length=512)]
    nonce: Annotated[int, Field(ge=0, lt=1 << 64)]


class Registered(Strict):
    """Answer to a registration."""

    worker_id: Id
    username: str
    created_at: Count


class Login(Strict):
    """POST /auth/login"""

    api_key: ApiKey


class Session(Strict):
    """A bearer token for all other calls."""

    token: str
    worker_id: Id
    expires_at: Count


class Architecture(Strict):
    """The fields of `consensus.model.config.ModelConfig`."""

    name: str
    layers: int
    width: int
    heads: int
    seq_len: int
    batch: int
    vocab: int
    young: int = 0
    age: int = 0


class Model(Strict):
    """GET /model/current and entries of GET /model/versions"""

    version: VersionName
    number: Count
    parent: VersionName | None
    source: Literal["genesis", "aggregation", "round", "rollback"]
    architecture: Architecture
    num_parameters: Count
    root: Hash
    sha256: Hash
    size: Count
    url: str
    """Path of the safetensors file; ranges and ETag (the sha256) are supported."""
    active: bool
    created_at: Count
    metrics: dict[str, Any]
    """heldout_loss, updates, samples, rule, …"""


class BatchRequest(Strict):
    """POST /batch/request"""

    hardware: Hardware = Hardware()
    samples: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    """Wanted size; unset lets the gateway choose by `tokens_per_s`."""


class BatchOffer(Strict):
    """A lease. A volunteer that asks while it holds one gets the same again."""

    batch_id: Id
    lease_id: Id
    model_version: VersionName
    data_url: str
    """Path of the tokens: u16 LE [steps, batch, seq_len + 1]; ETag is `data_sha256`."""
    data_sha256: Hash
    num_samples: Count
    steps: Count
    codec: CodecName
    """How the update is to be encoded. `raw`: exact, for work that becomes a claim."""
    residual: Literal["zero", "carried"]
    """Whether error feedback carries over from the batch before (docs/GATEWAY.md)."""
    checkpoints: list[int]
    """Steps whose whole state (weights and both moments, safetensors) is to be uploaded; empty except for claims."""
    expires_at: Count


class Leaf(Strict):
    """What a step commits to; see `consensus.commitments.trace.StepLeaf`."""

    state_root: Hash
    batch_root: Hash
    loss_bits: Annotated[int, Field(ge=0, lt=1 << 32)]


class UploadMeta(Strict):
    """The header of an upload's body (POST /gradients/upload).

    Body: ``PVU1`` ‖ length of this JSON (u32 BE) ‖ this JSON ‖ zstd stream of the payload, which is an update
    (start weights - end weights) in the encoding of `consensus.aggregation.compression` or, for `raw`, safetensors of
    the update in fp32.
    """

    worker_id: Id
    batch_id: Id
    lease_id: Id
    model_version: VersionName
    codec: CodecName
    loss: float
    """Mean of the steps' losses in nats."""
    num_samples: Count
    leaves: Annotated[list[Leaf], Field(min_length=1, max_length=LEAVES_MAX)]
    payload_sha256: Hash
    """Of the payload before zstd."""
    payload_size: Count
    residual_in: Hash | None = None
    residual_out: Hash | None = None
    seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0


class Receipt(Strict):
    """Answer to an upload; the same upload again gives the same receipt."""

    update_id: Id
    state: Literal["held", "accepted", "rejected", "aggregated"]
    reason: str = ""
    reveal_residual: bool = False
    """The gateway audits this one: PUT /gradients/{update_id}/residual with what `residual_in` names."""


class GlobalStats(Strict):
    """GET /stats/global (cached a second)."""

    version: VersionName | None
    """None before the first."""
    active_workers: Count
    """Seen within the last two minutes."""
    total_workers: Count
    batches_completed: Count
    batches_pending: Count
    tokens: Count
    tokens_per_s: float
    """Accepted tokens of the last minute."""
    heldout_loss: float | None
    loss_history: list[tuple[int, float]]
    """(version number, held-out loss), the last 200."""
    aggregations: Count
    idle_reason: str
    """Why nothing is happening; empty where something is."""
    at: Count


class WorkerStats(Strict):
    """GET /worker/stats"""

    worker_id: Id
    username: str
    batches: Count
    rejected: Count
    tokens: Count
    reputation: Annotated[int, Field(ge=0, le=10_000)]
    rank: Count
    badges: list[Literal["1K", "10K", "100K"]]
    quarantined_until: int | None
    quarantine_reason: str
    recent: list[WorkerUpdate]


class WorkerUpdate(Strict):
    """One of a volunteer's last uploads."""

    update_id: Id
    batch_id: Id
    version: VersionName
    loss: float
    samples: Count
    state: str
    reason: str
    uploaded_at: Count
    claim_hash: Hash | None


class LeaderRow(Strict):
    """One line of GET /leaderboard."""

    rank: Count
    username: str
    batches: Count
    tokens: Count
    reputation: int
    badges: list[Literal["1K", "10K", "100K"]]


class BatchTrace(Strict):
    """GET /batch/{batch_id}/trace: from a volunteer's work to the claim on chain that it became part of."""

    batch_id: Id
    version: VersionName
    samples: Count
    steps: Count
    state: str
    updates: list[TraceUpdate]
    chain_round: int | None
    claim_hash: Hash | None
    claim_tx: Hash | None
    claim_state: str | None


class TraceUpdate(Strict):
    """One replica of a batch."""

    update_id: Id
    username: str
    trace_root: Hash
    result_hash: Hash
    state: str
    aggregation_id: Id | None


class Problem(BaseModel):
    """RFC 9457. `code` is one of the catalogue in `node.gateway.problems`; `detail` says what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str = ""


# --- WS /ws/status: JSON messages, each with `type` ---


class Hello(Strict):
    """First message of a client; without a token it only watches."""

    type: Literal["hello"] = "hello"
    token: str | None = None


class Beat(Strict):
    """A volunteer's heartbeat, every 10 s and at each step's progress at most once a second."""

    type: Literal["beat"] = "beat"
    state: Literal["idle", "downloading", "training", "uploading", "paused", "finishing"]
    batch_id: Id | None = None
    step: Count = 0
    steps: Count = 0
    loss: float | None = None
    tokens_per_s: float = 0.0


class StatsMessage(Strict):
    """From the gateway, at most once a second."""

    type: Literal["stats"] = "stats"
    stats: GlobalStats


class EventMessage(Strict):
    """From the gateway: something happened."""

    type: Literal["event"] = "event"
    kind: Literal["version", "aggregation", "update", "quarantine", "claim", "lease_lost", "shutdown"]
    detail: dict[str, Any]
    at: Count
