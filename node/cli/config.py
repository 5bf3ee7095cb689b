"""`ponw config`: the settings in force."""

from __future__ import annotations

import typer
from rich.table import Table

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import settings_of
from node.config import Settings
from node.logs import redact_value

app = typer.Typer(help="The settings in force and where each comes from.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def config() -> None:
    """The settings in force and where each comes from."""


@app.command("show")
def show(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """Show every setting, its origin and its meaning. Secrets are never shown; URLs lose their keys.

    Examples:

        ponw config show

        PONW_THREADS=2 ponw config show --format json
    """
    settings = settings_of(ctx)
    shown = {key: redact_value(getattr(settings, key)) for key in Settings.model_fields}
    if output is Format.JSON:
        print_json({key: {"value": value, "origin": settings.origins[key]} for key, value in shown.items()})
        return
    table = Table("setting", "value", "origin", "meaning")
    for key, value in shown.items():
        table.add_row(key, "" if value is None else str(value), settings.origins[key], _meaning(key))
    print_table(table)


def _meaning(key: str) -> str:
    return Settings.model_fields[key].description or ""
