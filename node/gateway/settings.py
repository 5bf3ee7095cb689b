"""Settings of a gateway: defaults, then PONW_GATEWAY_* variables, then the command line."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from node.config import Port, Settings
from node.gateway.errors import GatewayConfigError
from node.gateway.schemas import CodecName
from node.logs import redact_text
from node.paths import read_bounded, write_new

ENV_PREFIX = "PONW_GATEWAY_"
SECRET_NAME = "gateway.secret"  # noqa: S105 - a file's name
SECRET_BYTES = 32
Seconds = Annotated[int, Field(ge=1, le=30 * 86_400)]
Bps = Annotated[int, Field(ge=0, le=10_000)]
Rate = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$")]


class GatewaySettings(BaseSettings):
    """All that a gateway's operator can choose."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    home: Path = Field(description="folder of the secret, of spooled uploads and, by default, of everything else")
    database_url: str = Field("", description="postgresql://… or sqlite:///…; empty: a file in the home folder")
    blobs_url: str = Field("", description="file://… or s3://bucket/prefix; empty: a folder in the home folder")
    redis_url: str = Field("", description="redis://…; needed where several processes serve")
    host: str = Field("127.0.0.1", description="address to listen at")
    port: Port = Field(9460, description="its port; 0 picks a free one")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="processes that serve")
    trusted_proxies: str = Field("", description="addresses whose X-Forwarded-For is believed, by commas")
    allow_origins: str = Field("", description="origins of pages elsewhere that may call, by commas; * for all")

    preset: Literal["tiny", "small", "base"] = Field("tiny", description="model size")
    data_dir: Path | None = Field(None, description="folder of token shards; unset: `data` in the home folder")
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(0, description="compute threads; 0 uses all")
    account: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] = Field(
        "00" * 20, description="address that fixes the text of batches together with their randomness, hex"
    )

    sizes: tuple[int, ...] = Field((256, 512, 1024), description="samples of prepared batches")
    prepared: Annotated[int, Field(ge=0, le=10_000)] = Field(8, description="batches of each size kept ready")
    pending_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        5_000, description="open batches of a version from which no further ones are made when asked for"
    )
    samples_max: Annotated[int, Field(ge=1, le=1 << 20)] = Field(4096, description="samples of the largest batch")
    target_seconds: Seconds = Field(90, description="how long a batch should take its volunteer")
    lease_seconds: Seconds = Field(600, description="shortest lease; progress prolongs it")
    lease_max_seconds: Seconds = Field(4 * 3600, description="longest lease, prolonged or not")
    attempts_max: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="turns in vain until a batch fails")
    version_lag: Annotated[int, Field(ge=0, le=10_000)] = Field(
        8, description="versions that a batch may be behind the active one before it fails"
    )
    replicas: Annotated[int, Field(ge=1, le=16)] = Field(2, description="equal results asked of volunteers not trusted")
    replica_seconds: Seconds = Field(300, description="wait for a replica until the gateway computes a batch again")
    trusted_reputation: Bps = Field(6_000, description="reputation from which one result is enough")
    codec: CodecName = Field("fourlevel", description="encoding of updates that do not become a claim")

    aggregate_seconds: Seconds = Field(60, description="longest wait of an accepted update for the next version")
    aggregate_updates: Annotated[int, Field(ge=1, le=100_000)] = Field(10, description="updates that make one at once")

    claims: bool = Field(
        False, description="volunteers train only what the operator's node (`ponw run --volunteers`) offers"
    )
    rule: Literal["mean", "trimmed_mean", "median", "krum", "multi_krum", "nnm_trimmed_mean"] = Field(
        "mean", description="what joins updates; all but mean need whole updates (int8) to join anything"
    )
    attackers: Annotated[int, Field(ge=0, le=1_000)] = Field(0, description="attackers that Krum and mixing withstand")
    server: Literal["fedavg", "fedadam"] = Field("fedavg", description="how joined updates move the weights")
    server_rate: Annotated[float, Field(gt=0, le=10)] = Field(1.0, description="FedAvg: share of the joined update")
    server_eta: Annotated[float, Field(gt=0, le=1)] = Field(0.003, description="FedAdam: its rate")
    rollback_rise: Annotated[float, Field(gt=0, le=100)] = Field(
        0.1, description="nats by which a version's held-out loss may rise before it is rolled back at once"
    )
    recompute_new: Bps = Field(2_500, description="share of results trained again, of volunteers without reputation")
    recompute_trusted: Bps = Field(300, description="the same of volunteers with full reputation")
    recompute_unlike: Bps = Field(
        10_000, description="the same of single results that too few accepted ones can be compared with"
    )
    residual_seconds: Seconds = Field(600, description="how long a volunteer may take to show an audit its residual")

    pow_difficulty: Annotated[int, Field(ge=0, le=40)] = Field(18, description="zero bits that a registration costs")
    ticket_seconds: Seconds = Field(600, description="how long a challenge can be used")
    token_seconds: Seconds = Field(86_400, description="how long a session lasts")
    active_seconds: Seconds = Field(120, description="a volunteer seen within these counts as active")
    rate_register: Rate = Field("20/hour", description="challenges and registrations an address")
    rate_login: Rate = Field("30/minute", description="logins an address")
    rate_worker: Rate = Field("120/minute", description="calls a volunteer")
    rate_download: Rate = Field("60/hour", description="downloads of a model a volunteer")
    rate_public: Rate = Field("6000/minute", description="all calls of an address")
    uploads_max: Annotated[int, Field(ge=1, le=1_000)] = Field(16, description="uploads that a process takes at once")
    sockets_max: Annotated[int, Field(ge=1, le=100_000)] = Field(2_000, description="WebSockets of a process")

    @property
    def database(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.home / 'gateway.db'}"

    @property
    def blobs(self) -> str:
        """URL of the blob store."""
        return self.blobs_url or f"file://{self.home / 'blobs'}"

    @property
    def data_path(self) -> Path:
        """Folder of the text."""
        return self.data_dir or self.home / "data"

    @property
    def spool(self) -> Path:
        """Folder of uploads under way."""
        return self.home / "spool"


def load(home: Path, **given: Any) -> GatewaySettings:
    """The settings; values that are None count as not given.

    Raises:
        GatewayConfigError: names the first setting that is wrong, or two that do not fit.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        settings = GatewaySettings(home=home, **chosen)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise GatewayConfigError(
            f"The gateway's setting {name} is wrong: {redact_text(first['msg'])}.",
            f"Correct the option or {ENV_PREFIX}{name.upper()}.",
        ) from error
    if settings.workers > 1 and not settings.redis_url:
        raise GatewayConfigError("Several processes need Redis between them.", "Set --redis-url, or --workers 1.")
    if settings.lease_max_seconds < settings.lease_seconds:
        raise GatewayConfigError("lease_max_seconds is below lease_seconds.", "Raise it.")
    return settings


def beside(node: Settings, **given: Any) -> GatewaySettings:
    """The settings of the gateway in a node's home, with the node's model and text. Raises GatewayConfigError."""
    shared = {"preset": node.preset, "data_dir": node.data_path}
    ours = {name: value for name, value in shared.items() if ENV_PREFIX + name.upper() not in os.environ}
    return load(node.home / "gateway", **ours, **given)


def secret_of(home: Path, name: str = SECRET_NAME) -> bytes:
    """The secret that signs tokens and tickets, made at first use (mode 600). Gateways on several hosts copy it.

    Raises:
        GatewayConfigError: the file is too short. DiskError: it cannot be read or written.
    """
    path = home / name
    write_new(path, secrets.token_hex(SECRET_BYTES).encode())
    found = read_bounded(path, 1024).strip()
    if len(found) < SECRET_BYTES:
        raise GatewayConfigError(f"{path} is no secret: it is too short.", "Remove it; volunteers then log in again.")
    return found
