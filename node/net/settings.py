"""What the node tells its peer process at start: one line of JSON on its standard input. No secret but the hot key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from economics.constants import MIN_STAKE
from node.errors import ConfigError


class StakeSource(BaseModel):
    """Where stakes are read: a chain (`rpc_url` and the staking contract), else a `file`, else nobody is staked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rpc_url: str = ""
    staking: str = ""
    file: Path | None = None
    minimum: int = int(MIN_STAKE)


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
    network: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    arch_version: int = 0
    vocab_version: int = 0
    stakes: StakeSource = StakeSource()
    records: str = "node.net.plain:RULES"

    @property
    def folder(self) -> Path:
        """Key, sockets and lists of the peer network."""
        return self.home / "net"

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.folder / "control.sock"

    @classmethod
    def read(cls, line: str | bytes) -> NetSettings:
        """Raises ConfigError for anything else than what `model_dump_json` gives."""
        try:
            return cls.model_validate_json(line)
        except ValidationError as error:
            first: Any = error.errors()[0]
            raise ConfigError(f"The peer process got unusable settings: {first['loc']}: {first['msg']}.") from error
