"""What the node tells its peer process at start: one line of JSON on its standard input. No secret but the hot key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from economics.constants import MIN_STAKE
from node.errors import ConfigError
from node.net.limits import (
    ARRIVAL_RATE,
    INBOUND_MAX,
    ORIGIN_BAN,
    OUTBOUND_EACH,
    OUTBOUND_MAX,
    RELAY_BYTES,
    RELAY_CIRCUITS,
    RELAY_RESERVATIONS,
    RELAY_SECONDS,
    UNPROVEN_EACH,
    UNPROVEN_MAX,
    UNSTAKED_EACH,
)

FOLDER = "net"
Count = Annotated[int, Field(ge=1, le=1024)]


def control_socket(home: Path) -> Path:
    """The control socket of the peer process of a home folder."""
    return home / FOLDER / "control.sock"


class StakeSource(BaseModel):
    """Where stakes are read: a chain (`rpc_url` and the staking contract), else a `file`, else nobody is staked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rpc_url: str = ""
    staking: str = ""
    file: Path | None = None
    minimum: int = int(MIN_STAKE)


class Room(BaseModel):
    """How many connections there may be; see `node.net.limits` for each. `origin_ban` is in points."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    inbound: Count = INBOUND_MAX
    outbound: Count = OUTBOUND_MAX
    unproven: Count = UNPROVEN_MAX
    unproven_each: Count = UNPROVEN_EACH
    unstaked_each: Count = UNSTAKED_EACH
    outbound_each: Count = OUTBOUND_EACH
    arrivals: Count = ARRIVAL_RATE
    origin_ban: Annotated[int, Field(ge=1)] = ORIGIN_BAN


class RelaySettings(BaseModel):
    """Circuit relay v2. `mode`: "off"; "use" dials peers through relays and, with `through`, is reached through those;
    "serve" relays for others besides. `streams`: whether the node's own streams, which carry tensors, may go through a
    relay; `punch`: whether it and who it met through a relay dial each other. The rest bounds what we relay; see
    `node.net.limits`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mode: Literal["off", "use", "serve"] = "off"
    through: list[str] = []
    streams: bool = False
    punch: bool = True
    reservations: Count = RELAY_RESERVATIONS
    circuits: Count = RELAY_CIRCUITS
    seconds: Annotated[int, Field(ge=1)] = RELAY_SECONDS
    bytes: Annotated[int, Field(ge=1)] = RELAY_BYTES


class NetSettings(BaseModel):
    """All of one peer process. `network` is 32 bytes as hex; `records` names an object with RecordRules."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    home: Path
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    announce: list[str] = []
    bootstrap: list[str] = []
    deny: list[str] = []
    mdns: bool = False
    room: Room = Room()
    relay: RelaySettings = RelaySettings()
    network: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    arch_version: int = 0
    vocab_version: int = 0
    stakes: StakeSource = StakeSource()
    records: str = "node.net.plain:RULES"

    @property
    def folder(self) -> Path:
        """Key, sockets and lists of the peer network."""
        return self.home / FOLDER

    @property
    def control(self) -> Path:
        """The control socket."""
        return control_socket(self.home)

    @classmethod
    def read(cls, line: str | bytes) -> NetSettings:
        """Raises ConfigError for anything else than what `model_dump_json` gives."""
        try:
            return cls.model_validate_json(line)
        except ValidationError as error:
            first: Any = error.errors()[0]
            raise ConfigError(f"The peer process got unusable settings: {first['loc']}: {first['msg']}.") from error
