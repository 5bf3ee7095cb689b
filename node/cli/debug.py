"""`ponw debug`: what to show others when something is wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from node.cli.context import Format, FormatOption, print_json
from node.cli.session import settings_of

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def debug() -> None:
    """What to show others when something is wrong."""


@app.command()
def bundle(
    ctx: typer.Context,
    to: Annotated[Path, typer.Option("--to", help="file to write")] = Path("ponw-debug.tar.gz"),
    output: FormatOption = Format.TEXT,
) -> None:
    """Collect versions, settings, the doctor's findings, counts and the ends of logs into one file.

    Keys, passwords, secrets, vouchers, answers and the paths of addresses are not in it: it is made from a list of
    what may be. Look into it before you send it: `tar tzf ponw-debug.tar.gz`.

    Examples:

        ponw debug bundle

        ponw --home ~/second debug bundle --to second.tar.gz
    """
    from node.operating.bundle import create  # noqa: PLC0415 - the doctor's checks import torch

    held = create(settings_of(ctx), to, int(time.time()))
    if output is Format.JSON:
        print_json({"path": to, "files": held, "size": to.stat().st_size})
        return
    typer.echo(f"{to}: {len(held)} files, {to.stat().st_size:,} bytes")
