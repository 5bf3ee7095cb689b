"""Settings: defaults, then config.toml in the home folder, then PONW_* variables, then the command line.

A value of the wrong type or an unknown key is refused by name and place; nothing is guessed or silently ignored.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from economics.constants import LATE_ROUNDS
from node import paths
from node.errors import ConfigError
from node.logs import redact_text
from node.net.limits import INBOUND_MAX, OUTBOUND_MAX, RELAY_BYTES, RELAY_RESERVATIONS, RELAY_SECONDS, UNSTAKED_EACH

ENV_PREFIX = "PONW_"
EMBEDDED_RPC = "embedded"
"""The `rpc_url` that stands for an in-process chain instead of an endpoint."""

Port = Annotated[int, Field(ge=0, le=65535)]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class Settings(BaseSettings):
    """All that an operator can choose. Protocol rules are not here: they stand in economics.constants."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    home: Path = Field(description="folder that holds everything of this node")
    rpc_url: str = Field("http://127.0.0.1:8545", description="the chain's JSON-RPC endpoint, or 'embedded'")
    rpc_timeout: Annotated[int, Field(ge=1, le=600)] = Field(20, description="seconds to wait for one RPC answer")
    receipt_timeout: Annotated[int, Field(ge=1, le=86400)] = Field(180, description="seconds to wait for a receipt")
    chain_id: Annotated[int, Field(ge=1)] = Field(31337, description="the chain id the endpoint must serve")
    contracts: Path | None = Field(None, description="deployment file with the contracts' addresses")
    keystore: Path | None = Field(None, description="folder of encrypted V3 keys")
    account: Address | None = Field(None, description="address to sign with, when the keystore holds several")
    password_file: Path | None = Field(None, description="file (mode 600) with the keystore's password")
    preset: Literal["tiny", "small", "base"] = Field("tiny", description="model size")
    data_dir: Path | None = Field(None, description="folder of token shards")
    listen_host: str = Field("127.0.0.1", description="address the artefact server binds to")
    listen_port: Port = Field(9440, description="its port; 0 picks a free one")
    public_uri: str | None = Field(None, description="how peers reach the artefact server")
    audit_share_bps: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        None, description="share of claims to audit in basis points; unset follows the protocol"
    )
    round_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="inner steps a round; unset follows the protocol, by the number of nodes"
    )
    late: bool = Field(
        False, description="whether work may outlast its round (mode async): claimed when it is done, by age for less"
    )
    starts_kept: Annotated[int, Field(ge=0, le=10_000)] = Field(
        LATE_ROUNDS, description="rounds whose start it keeps after them, to audit late claims from there"
    )
    auto_collect: bool = Field(True, description="collect rewards at the end of each round")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(None, description="compute threads; unset uses all")
    memory_mib: Annotated[int, Field(ge=1, le=1 << 32)] | None = Field(
        None, description="MiB that the node gives to the model; unset uses 80% of what is available"
    )
    mode: Literal["solo", "pipeline", "async", "data", "verify", "inference", "idle"] | None = Field(
        None, description="what the node does; unset lets the protocol's rules choose"
    )
    max_isa: Literal["portable", "avx2", "avx512", "amx"] | None = Field(
        None, description="highest instruction set to use; unset uses the best that passes its self-check"
    )
    anvil: Path | None = Field(None, description="the anvil program for `ponw devnet`")
    devnet_port: Port = Field(8545, description="port of the development chain")
    devnet_block_time: Annotated[int, Field(ge=0, le=3600)] = Field(
        1, description="seconds a block on the development chain; 0 mines each transaction at once"
    )
    dashboard: Literal["off", "local", "public"] = Field(
        "local", description="whether `ponw run` shows the dashboard: to nobody, to this machine, or to whoever asks"
    )
    p2p: bool = Field(False, description="whether `ponw run` joins the peer network")
    quorums: bool = Field(True, description="whether the node takes seats in quorums, where it joins the peer network")
    p2p_host: str = Field("127.0.0.1", description="address the peer process listens on; 0.0.0.0 for all")
    p2p_port: Port = Field(0, description="its TCP port; 0 picks a free one at each start")
    p2p_announce: str = Field("", description="addresses that peers are told, by commas; empty tells where it listens")
    p2p_bootstrap: str = Field("", description="peers to start from, by commas: /ip4/HOST/tcp/PORT/p2p/PEER")
    p2p_deny: str = Field("", description="IP addresses and networks that may not connect, by commas")
    p2p_mdns: bool = Field(False, description="find peers on the LAN by multicast DNS")
    p2p_inbound: Annotated[int, Field(ge=1, le=1024)] = Field(
        INBOUND_MAX, description="most incoming connections; staked peers push out others"
    )
    p2p_outbound: Annotated[int, Field(ge=1, le=1024)] = Field(OUTBOUND_MAX, description="most connections it opens")
    p2p_per_address: Annotated[int, Field(ge=1, le=1024)] = Field(
        UNSTAKED_EACH, description="most unstaked peers of one IPv4 address or IPv6 /64 that connect to it"
    )
    p2p_relay: Literal["off", "use", "serve"] = Field(
        "off", description="whether it reaches peers through relays, or is a relay for staked peers besides"
    )
    p2p_relays: str = Field("", description="relays through which it is reached, by commas: /…/p2p/PEER")
    p2p_relay_streams: bool = Field(False, description="whether tensors may go through a relay")
    p2p_relay_punch: bool = Field(True, description="whether it and peers it met through a relay dial each other")
    p2p_relay_peers: Annotated[int, Field(ge=1, le=1024)] = Field(
        RELAY_RESERVATIONS, description="as a relay: most peers that are reached through it"
    )
    p2p_relay_mib: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        RELAY_BYTES >> 20, description="as a relay: most MiB of one connection through it"
    )
    p2p_relay_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        RELAY_SECONDS, description="as a relay: how long one connection through it lasts at most"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe event to log")
    log_json: bool = Field(False, description="JSON lines instead of text")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("rpc_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if value != EMBEDDED_RPC and not value.startswith(("http://", "https://")):
            raise ValueError("must be an http:// or https:// address, or 'embedded'")
        return value

    @field_validator("public_uri")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://", "file://")):
            raise ValueError("must be an http://, https:// or file:// address")
        return value

    @field_validator("mode")
    @classmethod
    def _async(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("late") and value not in (None, "async"):
            raise ValueError("late work is done in mode async: leave `mode` or `late` out")
        return value

    @field_validator("contracts", "keystore", "password_file", "data_dir", "anvil")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser()

    @property
    def contracts_file(self) -> Path:
        """The deployment file, in the home folder unless configured."""
        return self._under(self.contracts, paths.CONTRACTS_NAME)

    @property
    def keystore_dir(self) -> Path:
        """The keystore folder, in the home folder unless configured."""
        return self._under(self.keystore, paths.KEYSTORE_NAME)

    @property
    def data_path(self) -> Path:
        """The shard folder, in the home folder unless configured."""
        return self._under(self.data_dir, paths.DATA_NAME)

    @property
    def devnet_dir(self) -> Path:
        """State, log and pid file of the development chain."""
        return self.home / paths.DEVNET_NAME

    @property
    def origins(self) -> dict[str, str]:
        """For every key, where its value came from, in words."""
        return dict(self._origins)

    def _under(self, given: Path | None, name: str) -> Path:
        return self.home / (given or name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over the file; no .env and no secrets folder."""
        home = init_settings.init_kwargs["home"] if isinstance(init_settings, InitSettingsSource) else None
        table = read_table(Path(str(home)) / paths.CONFIG_NAME) if home is not None else {}
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=table)


def read_table(path: Path) -> dict[str, Any]:
    """The keys of one config.toml, each checked against its field with JSON's strictness (no "5" for 5).

    Returns an empty dictionary when the file does not exist.

    Raises:
        ConfigError: malformed TOML, an unknown key, or a value of the wrong type; names the key and the file.
        DiskError: the file cannot be read.
    """
    try:
        table = tomllib.loads(paths.read_bounded(path).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Correct that line, or move the file away.") from error
    return {key: _checked(path, key, value) for key, value in table.items()}


def _checked(path: Path, key: str, value: object) -> object:
    field = Settings.model_fields.get(key)
    if field is None or key == "home":
        raise ConfigError(
            f"{path}: there is no setting '{key}'.", "`ponw config show` lists the settings; remove that line."
        )
    adapter: TypeAdapter[object] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except TypeError as error:
        raise _refused(f"{path}: '{key}'", value, "dates and times are not used here") from error
    except ValidationError as error:
        raise _refused(f"{path}: '{key}'", value, error.errors()[0]["msg"]) from error


def _refused(place: str, value: object, reason: str) -> ConfigError:
    shown = redact_text(repr(value))
    return ConfigError(
        f"{place} is not usable ({shown[:60]}): {reason[:1].lower()}{reason[1:]}.",
        "Correct the value; `ponw config show` gives the meaning of every setting.",
    )


def load(home: Path | None = None, **overrides: Any) -> Settings:
    """The settings in force; reads only. `overrides` are command-line values (None = not given).

    Raises:
        ConfigError: a value is malformed; the message names the key and its file, variable or option.
        DiskError: config.toml cannot be read.
    """
    root = paths.resolve_home(home)
    given = {key: value for key, value in overrides.items() if value is not None}
    table = read_table(root / paths.CONFIG_NAME)
    settings = _build(root, given, table)
    settings._origins.update({key: _origin(key, given, table, home is not None) for key in Settings.model_fields})
    return settings


def _build(root: Path, given: dict[str, Any], table: dict[str, Any]) -> Settings:
    try:
        return Settings(home=root, **given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        raise _refused(f"{_origin(key, given, table)}: '{key}'", first["input"], reason) from error


def _origin(key: str, given: dict[str, Any], table: dict[str, Any], home_given: bool = False) -> str:
    variable = ENV_PREFIX + key.upper()
    if key in given or (key == "home" and home_given):
        return "command line"
    if os.environ.get(variable):
        return f"environment {variable}"
    return paths.CONFIG_NAME if key in table else "default"


def save(home: Path, **values: Any) -> Path:
    """Merge `values` into the home folder's config.toml, atomically and with mode 600; None removes a key.

    Raises:
        ConfigError: the file that stands there, or a new value, is malformed; nothing is written.
        DiskError: it cannot be written.
    """
    path = home / paths.CONFIG_NAME
    table = read_table(path)
    for key, value in values.items():
        plain = str(value) if isinstance(value, Path) else value
        table.pop(key, None)
        if plain is not None:
            table[key] = _checked(path, key, plain)
    _build(home, table, {})
    paths.write_atomic(path, _render(table).encode("utf-8"))
    return path


def _render(table: dict[str, Any]) -> str:
    lines = ["# Settings of this node. PONW_* variables and command-line options stand over them.", ""]
    for key, field in Settings.model_fields.items():
        if key in table:
            lines += [f"# {field.description}", f"{key} = {_toml(table[key])}"]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A scalar in TOML; JSON's strings are TOML basic strings once DEL is escaped (TOML 1.0, Strings)."""
    if isinstance(value, bool | int):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
