"""What every command shares: global options, settings, output formats, and the way to a signing client."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


class Format(StrEnum):
    """How a command prints what it lists."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="send without asking for confirmation")]
PasswordOption = Annotated[
    Path | None, typer.Option("--password-file", help="file (mode 600) with the keystore's password")
]


@dataclass
class CliState:
    """The global options, as the root command read them."""

    home: Path | None = None
    rpc_url: str | None = None
    debug: bool = False


def state_of(ctx: typer.Context) -> CliState:
    """The global options of the running command; a fresh set when a command is run on its own."""
    found = ctx.find_object(CliState)
    return found if found is not None else CliState()


def print_json(value: Any) -> None:
    """One JSON document on stdout. Amounts are integers of wei, bytes are 0x-hex."""
    typer.echo(json.dumps(value, indent=2, default=_json_default))


def _json_default(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def print_table(table: Table) -> None:
    """A rich table on stdout; as wide as needed where stdout is no terminal, so that nothing is cut in a pipe."""
    from rich.console import Console  # noqa: PLC0415 - rich only where something is drawn

    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
