"""`ponw backup`: what cannot be made again, in one file."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from node.cli.context import Format, FormatOption, print_json
from node.cli.session import settings_of

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(help="the backup")]


@app.callback()
def backup() -> None:
    """What cannot be made again, in one file: keys (encrypted), databases, settings."""


@app.command()
def create(
    ctx: typer.Context,
    to: Annotated[Path | None, typer.Option("--to", help="file to write; by default named by the time")] = None,
    large: Annotated[bool, typer.Option("--large", help="also states, checkpoints, blobs and text")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Write a backup while the node runs or not. Databases are copied consistently; the file is whole or absent.

    A gateway on PostgreSQL keeps its rows there: use pg_dump for them.

    Examples:

        ponw backup create

        ponw backup create --to /mnt/backups/node.tar --large
    """
    from node.operating.backup import create as write  # noqa: PLC0415

    now = int(time.time())
    target = to or Path(f"ponw-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}.tar")
    made = write(settings_of(ctx).home, target, large=large, now=now, progress=_say)
    if output is Format.JSON:
        print_json({"path": made.path, "files": made.files, "size": made.size})
        return
    typer.echo(f"{made.path}: {made.files} files, {made.size:,} bytes")


@app.command()
def check(ctx: typer.Context, file: FileArgument, output: FormatOption = Format.TEXT) -> None:
    """Read a backup from end to end and compare every hash.

    Examples:

        ponw backup check ponw-20260101-120000.tar
    """
    from node.operating.backup import check as read  # noqa: PLC0415

    settings_of(ctx)
    manifest = read(file)
    if output is Format.JSON:
        print_json(manifest.model_dump())
        return
    typer.echo(f"{file}: {len(manifest.files)} files, all as they were on {_time(manifest.made_at)}")


@app.command()
def restore(ctx: typer.Context, file: FileArgument) -> None:
    """Put a backup into the home folder, which must not hold any of its files.

    Do not run two nodes from one backup: they would sign two claims for one round.

    Examples:

        ponw --home ~/restored backup restore ponw-20260101-120000.tar
    """
    from node import paths  # noqa: PLC0415
    from node.cli.context import state_of  # noqa: PLC0415
    from node.operating.backup import restore as put  # noqa: PLC0415

    home = paths.resolve_home(state_of(ctx).home)
    manifest = put(file, home, _say)
    typer.echo(f"{home}: {len(manifest.files)} files of {_time(manifest.made_at)}; `ponw doctor` says what is missing")


def _say(name: str) -> None:
    typer.echo(name, err=True)


def _time(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
