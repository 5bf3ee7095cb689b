"""`ponw kernels`: which kernels compute exactly on this machine, how fast, and which one the node takes."""

from __future__ import annotations

import time

import typer
from rich.table import Table

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import settings_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def kernels(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """Prove every kernel on the worst inputs, time those that pass, and show the choice.

    All kernels give the same bits, so the choice concerns this machine only. `threads` and `max_isa` in the settings
    limit it; CUDA_VISIBLE_DEVICES='' in the environment hides a GPU.

    Examples:

        ponw kernels

        PONW_MAX_ISA=avx2 ponw kernels --format json
    """
    from consensus.arithmetic import choose_engine, set_threads, survey  # noqa: PLC0415 - torch takes seconds to import
    from node import gpu  # noqa: PLC0415 - likewise

    settings = settings_of(ctx)
    set_threads(settings.threads or 0)
    verdicts = survey(settings.max_isa, time.perf_counter, devices=True)
    chosen = choose_engine(settings.threads or 0, settings.max_isa, devices=True).name
    rows = [
        {
            "kernel": verdict.name,
            "passed": verdict.passed,
            "reason": verdict.reason,
            "milliseconds": round(verdict.seconds * 1e3, 3) if verdict.passed else None,
            "chosen": verdict.engine is not None and verdict.engine.name == chosen,
        }
        for verdict in verdicts
    ]
    if output is Format.JSON:
        print_json(rows)
        return
    table = Table("kernel", "proof", "512×512×512 with gradients", "")
    for row in rows:
        took = f"{row['milliseconds']} ms" if row["passed"] else "-"
        proof = "passed" if row["passed"] else f"refused: {row['reason']}"
        table.add_row(str(row["kernel"]), proof, took, "← used" if row["chosen"] else "")
    print_table(table)
    if missing := gpu.note():
        typer.echo(missing, err=True)
