"""`ponw program`: the step as a flat list of exact ops, and how much of it a contract can judge."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import settings_of
from node.errors import ConfigError

app = typer.Typer(rich_markup_mode=None)

PresetOption = Annotated[str, typer.Option("--preset", help="architecture; by default that of the settings")]
UpdatesOption = Annotated[int, typer.Option("--outer", min=0, max=1000, help="the outer step over so many claims")]


@app.command()
def program(
    ctx: typer.Context, preset: PresetOption = "", updates: UpdatesOption = 0, output: FormatOption = Format.TEXT
) -> None:
    """Capture the training step (or the outer step) as ops, count them by kind, and show the program's hash.

    An op is judged when a contract can recompute any element of its output from the elements it reads. Inputs are not
    computed: roots that are on chain decide them.

    Examples:

        ponw program

        ponw program --preset small --format json

        ponw program --outer 3
    """
    from consensus.dispute.onestep import JUDGED  # noqa: PLC0415 - torch takes seconds to import
    from consensus.model.config import PRESETS  # noqa: PLC0415
    from consensus.program import Kind, step_program  # noqa: PLC0415
    from consensus.program.outer import outer_program  # noqa: PLC0415

    name = preset or settings_of(ctx).preset
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name}", f"Choose one of {', '.join(PRESETS)}.")
    found = outer_program(PRESETS[name], updates) if updates else step_program(PRESETS[name])
    kinds = found.kinds()
    inputs = kinds.pop(Kind.INPUT, 0)
    judged = sum(count for kind, count in kinds.items() if kind in JUDGED)
    summary = {
        "preset": name,
        "hash": "0x" + found.hash().hex(),
        "ops": kinds.total(),
        "inputs": inputs,
        "outputs": len(found.outputs),
        "judged_percent": 100 * judged / kinds.total(),
        "kinds": {kind.name: count for kind, count in kinds.most_common()},
    }
    if output is Format.JSON:
        print_json(summary)
        return
    table = Table("kind", "ops", "judged", title=f"{name}: {summary['hash']}")
    for kind, count in kinds.most_common():
        table.add_row(kind.name, f"{count:,}", "yes" if kind in JUDGED else "no")
    table.add_section()
    table.add_row("all", f"{kinds.total():,}", f"{summary['judged_percent']:.0f}%")
    print_table(table)
