"""The volunteer's settings: volunteer.toml in the home folder, under the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, ValidationError

from node import paths
from node.errors import ConfigError
from node.gateway.schemas import Username
from node.volunteer.panel_schemas import Limits

NAME = "volunteer.toml"


class VolunteerSettings(Limits):
    """The limits, and what is not for the panel to change."""

    username: Username | None = None
    """Shown in the leaderboard; null lets the gateway choose."""
    checkpoint_steps: Annotated[int, Field(ge=1, le=4096)] = 8
    """At least so many steps between two saves of a batch's state."""

    @property
    def limits(self) -> Limits:
        """Only the limits."""
        return Limits.model_validate(self.model_dump(include=set(Limits.model_fields)))

    def limited(self, limits: Limits) -> VolunteerSettings:
        """These settings with other limits."""
        return self.model_copy(update=limits.model_dump())


def load(home: Path, **flags: Any) -> VolunteerSettings:
    """The settings in force; `flags` are command-line values (None: not given).

    Raises:
        ConfigError: names the setting that is malformed. DiskError: the file cannot be read.
    """
    path = home / NAME
    table = _read(path)
    _checked(table, str(path))
    given = {name: value for name, value in flags.items() if value is not None}
    return _checked({**table, **given}, "The command line")


def save(home: Path, settings: VolunteerSettings) -> None:
    """Replace the file, atomically. Raises DiskError."""
    table = settings.model_dump(exclude_none=True)
    text = "# Settings of `ponw volunteer`; flags of the command stand over them.\n\n" + tomli_w.dumps(table)
    paths.write_atomic(home / NAME, text.encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(paths.read_bounded(path).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Correct that line, or move the file away.") from error


def _checked(table: dict[str, Any], place: str) -> VolunteerSettings:
    try:
        return VolunteerSettings.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{place}: '{name}' is not usable: {first['msg'][:1].lower()}{first['msg'][1:]}.",
            "`ponw volunteer run --help` says what each setting takes.",
        ) from error
