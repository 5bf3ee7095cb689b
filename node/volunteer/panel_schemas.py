"""What the browser panel says to a running `ponw volunteer` (`--panel`). Times are Unix seconds.

Bound to loopback. Every call under `/local/v1` carries `Authorization: Bearer TOKEN`; the page finds TOKEN in its own
URL's fragment, `#token=TOKEN`, which a browser sends to nobody. A call with another `Host`, or with an `Origin` that is
not the panel's own, is refused with 403, one without the token with 401. Errors are `application/problem+json`
(`node.gateway.schemas.Problem`).

| call | body → answer |
|---|---|
| `GET /local/v1/state` | → `PanelState` |
| `POST /local/v1/start`, `/pause`, `/finish` | no body → `PanelState`, as it is once the wish is noted |
| `GET /local/v1/limits` | → `Limits` |
| `PUT /local/v1/limits` | `Limits`, whole → `Limits`; kept in the home folder, in force from the next step |
| `GET /local/v1/events` | → `text/event-stream`: `event: state` with a `PanelState` (at once, then at most four a \
second), `event: log` with a `LogLine`; a comment every 15 s keeps it open. Read it with `fetch`: `EventSource` sends \
no token |
| `GET /api/v1/stats/global`, `/leaderboard`, `/model/current`, `/model/versions`, `/batch/{id}/trace` | the gateway's \
own answer, passed on; no token, as at the gateway |
| `GET /`, `/…` | the dashboard's files; an unknown path gives `index.html` |
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from node.gateway.schemas import Count, GlobalStats, Hardware, Model, Strict, WorkerStats

Phase = Literal["idle", "downloading", "training", "uploading", "paused", "finishing", "stopped"]
"""As in `node.gateway.schemas.Beat`; `stopped`: finished, the process is about to end."""
Wish = Literal["start", "pause", "finish"]
"""The button pressed last. `finish`: this batch, then stop."""


Level = Literal["info", "good", "warning", "error"]


class Limits(Strict):
    """What the owner of the machine allows. Sent whole; a field left out takes its default."""

    cpu_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Compute threads; null: all."""
    cpu_share: Annotated[float, Field(ge=0.05, le=1)] = 1.0
    """Share of the time in which steps run: after a step of t seconds follows a rest of t * (1 / share - 1)."""
    gpu_memory_share: Annotated[float, Field(ge=0.05, le=1)] = 0.8
    """Share of the GPU's memory; without effect where `PanelState.machine_notes` says so."""
    hours: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None
    """Local time of day in which steps run, `22:00-06:30`; null: always. Equal ends: always."""
    pause_on_battery: bool = True
    max_batches: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Batches of one session, then stop; null: no end."""
    max_samples: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    """Samples of one batch; null: the gateway chooses by measured speed."""


class LogLine(Strict):
    """One line of the activity log."""

    at: float
    level: Level = "info"
    text: str


class BatchProgress(Strict):
    """The batch under way."""

    batch_id: str
    model_version: str
    samples: Count
    step: Count
    """Steps done."""
    steps: Count
    tokens: Count
    """Trained in this batch so far."""
    loss: float | None = None
    """Of the last step, nats."""
    tokens_per_s: float = 0.0
    seconds_left: float | None = None
    expires_at: Count = 0
    """End of the lease."""


class Transfer(Strict):
    """A download or upload under way, bytes."""

    name: str
    direction: Literal["down", "up"]
    done: Count
    size: Count


class SessionTotals(Strict):
    """Since this process started."""

    batches: Count = 0
    tokens: Count = 0
    rejected: Count = 0
    bytes_up: Count = 0
    bytes_raw: Count = 0
    """What the same updates take as fp32."""
    bytes_down: Count = 0
    started_at: Count = 0


class PanelState(Strict):
    """GET /local/v1/state: everything that the panel draws."""

    phase: Phase
    wish: Wish
    reason: str = ""
    """Why no step is running ("outside 22:00-06:30", "on battery", "no work", …); empty while one runs."""
    gateway: str
    """Its URL."""
    connected: bool
    """Whether the gateway answered last time."""
    worker_id: str | None = None
    username: str | None = None
    model: Model | None = None
    batch: BatchProgress | None = None
    transfer: Transfer | None = None
    session: SessionTotals = SessionTotals()
    worker: WorkerStats | None = None
    """This volunteer at the gateway: contribution, rank, badges, quarantine."""
    network: GlobalStats | None = None
    hardware: Hardware = Hardware()
    machine_notes: list[str] = Field(default_factory=list)
    """What of the limits does not work on this machine, and why."""
    limits: Limits = Limits()
    log: list[LogLine] = Field(default_factory=list)
    """The last 200 lines, oldest first."""
    at: float
