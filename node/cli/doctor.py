"""`ponw doctor`: what stands between this machine and a running node."""

from __future__ import annotations

from dataclasses import asdict

import typer

from node.cli.checks import Line, Verdict, run_checks
from node.cli.context import Format, FormatOption, print_json
from node.cli.session import settings_of
from node.errors import UnhealthyError

app = typer.Typer(rich_markup_mode=None)

COLOURS = {Verdict.OK: typer.colors.GREEN, Verdict.WARN: typer.colors.YELLOW, Verdict.FAIL: typer.colors.RED}


@app.command()
def doctor(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """Check everything the node needs; each line is ok, warn or fail with a fix. Fails if any line does.

    Examples:

        ponw doctor

        ponw doctor --format json
    """
    settings = settings_of(ctx)
    lines: list[Line] = []
    for line in run_checks(settings):
        lines.append(line)
        if output is Format.TEXT:
            _print(line)
    if output is Format.JSON:
        print_json([asdict(line) for line in lines])
    failed = [line.check for line in lines if line.verdict is Verdict.FAIL]
    if failed:
        raise UnhealthyError(f"Not ready: {', '.join(failed)}.", "Apply the fixes above and run `ponw doctor` again.")


def _print(line: Line) -> None:
    verdict = typer.style(f"{line.verdict.value:>4}", fg=COLOURS[line.verdict])
    typer.echo(f"{verdict}  {line.check:<13} {line.detail}")
    if line.verdict is not Verdict.OK and line.fix:
        typer.echo(f"      {'':<13} fix: {line.fix}")
