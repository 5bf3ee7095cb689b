"""`ponw audit`: recompute a claim and say where it is first wrong."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from node.chain.deployment import Deployment
from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import read_contracts, settings_of
from node.dispute.games import read_games
from node.training.ledger import Ledger, RoundView, lateness

app = typer.Typer(rich_markup_mode=None)
WRONG = 1
"""Exit status for a claim that is wrong."""


@app.command()
def audit(
    ctx: typer.Context,
    claim: Annotated[str, typer.Argument(help="the claim's hash or its first six digits; none lists claims")] = "",
    output: FormatOption = Format.TEXT,
) -> None:
    """Recompute CLAIM from the round's start, every step of it, and print the first difference in words.

    It needs no key. A wrong claim ends with status 1. Which op and element is wrong can be told when the prover serves
    its op trace, or a dispute has made it reveal the data.

    Examples:

        ponw audit

        ponw audit 0x8c1f22

        ponw audit 0x8c1f22 --format json
    """
    from node.dispute.desk import desk  # noqa: PLC0415 - torch takes seconds to import
    from node.dispute.review import review  # noqa: PLC0415

    settings = settings_of(ctx)
    contracts = read_contracts(settings)
    if not claim:
        _list(Ledger(contracts, Deployment.load(settings.contracts_file).block).look(), output)
        return
    bench = desk(settings, contracts, Deployment.load(settings.contracts_file).block, "", lambda: None)
    view, suspect = bench.find(claim)
    with Progress(transient=True, disable=output is Format.JSON) as bar:
        task = bar.add_task(f"round {view.number}, {suspect.node}", total=suspect.claim.steps)
        games = read_games(contracts, view, view.answered)
        found = review(bench, view, suspect, games, lambda done: bar.update(task, completed=done))
    if output is Format.JSON:
        print_json({"claim": suspect.hash, "node": suspect.node, "round": view.number, **found.__dict__})
    else:
        typer.echo(f"{'right' if found.right else 'WRONG'}: {found.words}")
    if not found.right:
        raise typer.Exit(WRONG)


def _list(view: RoundView, output: Format) -> None:
    rows = [
        {
            "claim": "0x" + claim.hash.hex(),
            "kind": claim.claim.kind.name,
            "node": claim.node,
            "steps": str(claim.claim.steps),
            "state": claim.state.name.lower() + (f": {claim.reason}" if claim.reason else ""),
            "began": lateness(claim.claim) or "on time",
        }
        for claim in view.claims
    ]
    if output is Format.JSON:
        print_json(rows)
        return
    table = Table("claim", "kind", "node", "steps", "state", "work", title=f"round {view.number}")
    for row in rows:
        table.add_row(*row.values())
    print_table(table)
