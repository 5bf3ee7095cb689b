"""`ponw layers`: who holds which part of the model, how scarce each is, and growths of layers by vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json, print_table
from node.cli.viewing import age, short, view_of
from node.cli.votes import Choice, DryRunOption, UncheckedOption

if TYPE_CHECKING:
    from node.cli.layers_desk import DepthReader

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
SHOWN = 4
"""Holders that a line names."""
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="the growth's number, or its first digits")]
AddOption = Annotated[int, typer.Option("--add", min=3, help="layers to add")]
StepsOption = Annotated[
    int | None, typer.Option("--round-steps", min=4, max=1000, help="steps that a round counts for new layers' age")
]
UriOption = Annotated[str, typer.Option("--uri", help="where the growth is explained")]


@app.callback()
def layers(
    ctx: typer.Context,
    scarce: Annotated[bool, typer.Option("--scarce", help="only parts that lack holders")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show every part of the model with its holders, how many are wanted, and its scarcity.

    Scarcity is the missing share of the holders wanted (1, 2 or 3 below 5, 20 or more nodes); embedding and head
    count 1.5 times, at most 1. It raises what a holder earns, by half at scarcity 1, and draws new nodes.

    Growths of layers: `ponw layers growth` shows them; propose, check, vote, pledge, announce, decide.

    Examples:

        ponw layers

        ponw layers --scarce --format json

        ponw layers growth
    """
    if ctx.invoked_subcommand is not None:
        return
    view = view_of(ctx)
    rows = [row for row in view.layer_rows() if row.scarcity > 0 or not scarce]
    if output is Format.JSON:
        print_json([row.model_dump() for row in rows])
        return
    _growing(ctx)
    if not rows:
        typer.echo(f"Every part has the holders that the network wants, {age(view)}.")
        return
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    typer.echo(f"{view.layers} layers, embedding and head, {age(view)}.")
    table = Table("part", "holders", "wanted", "scarcity", "held by")
    for row in rows:
        rest = f" and {len(row.holders) - SHOWN} more" if len(row.holders) > SHOWN else ""
        names = ", ".join(short(account) for account in row.holders[:SHOWN]) + rest
        table.add_row(row.name, str(len(row.holders)), str(row.wanted), f"{row.scarcity:.2f}", names or "nobody")
    print_table(table)


@app.command()
def growth(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """The depth that rounds run at, growths that were proposed, and what they wait for.

    Examples:

        ponw layers growth

        ponw layers growth --format json
    """
    read = _reader(ctx)
    if output is Format.JSON:
        print_json(read.as_json())
        return
    for line in read.lines():
        typer.echo(line)


@app.command()
def propose(
    ctx: typer.Context,
    add: AddOption = 3,
    round_steps: StepsOption = None,
    uri: UriOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Propose more layers on top of the model. It takes a tenth of all stake; what voters check is computed here.

    Examples:

        ponw layers propose --add 3 --dry-run

        ponw layers propose --add 3 --uri https://example.org/why
    """
    read = _reader(ctx)
    change = read.drafted(add, round_steps)
    read.require(change)
    typer.echo(f"{add} more layers after version {change.parent}; every check passed.")
    if not dry_run:
        typer.echo(read.put_forward(read.signing(password_file, yes), change, uri))


@app.command()
def check(ctx: typer.Context, name: IdArgument) -> None:
    """Recompute all that a growth claims, and look at the network that is to carry it; exit status 17 where it differs.

    Examples:

        ponw layers check 0x51d2
    """
    read = _reader(ctx)
    read.require(read.find(name).proposal.change)
    typer.echo("Everything is as claimed.")


@app.command()
def vote(
    ctx: typer.Context,
    name: IdArgument,
    choice: Choice,
    unchecked: UncheckedOption = False,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Vote with your stake of the moment the discussion ended. To approve checks the growth first.

    Examples:

        ponw layers vote 0x51d2 approve

        ponw layers vote 0x51d2 reject --yes
    """
    read = _reader(ctx)
    found = read.find(name)
    if choice is Choice.APPROVE and not unchecked:
        read.require(found.proposal.change)
    read.signing(password_file, yes).growth.vote(found.proposal.id, choice.support)
    typer.echo(f"Voted. {read.told(found)}")


@app.command()
def pledge(
    ctx: typer.Context,
    name: IdArgument,
    tier: Annotated[int, typer.Option("--tier", min=1, max=5, help="this node's speed tier, as `ponw network` has it")],
    first: Annotated[int | None, typer.Option("--first", help="first layer; default: the first new one")] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="layers; default: up to the last")] = None,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Say that your node holds, or is ready to hold, new layers of a growth: without holders it is not activated.

    Examples:

        ponw layers pledge 0x51d2 --tier 2

        ponw layers pledge 0x51d2 --tier 3 --first 6 --count 2
    """
    read = _reader(ctx)
    found = read.find(name)
    start = found.plan.layers if first is None else first
    number = found.plan.grown - start if count is None else count
    read.signing(password_file, yes).growth.pledge(found.proposal.id, start, number, tier)
    typer.echo(f"Pledged layers {start} to {start + number - 1}. {read.told(found)}")


@app.command()
def announce(
    ctx: typer.Context, name: IdArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Announce a growth whose vote has passed: ten minutes' grace begin. Anyone may.

    Examples:

        ponw layers announce 0x51d2
    """
    read = _reader(ctx)
    found = read.find(name)
    read.signing(password_file, yes).growth.announce(found.proposal)
    typer.echo(read.told(found))


@app.command()
def decide(ctx: typer.Context, name: IdArgument, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """After its deadline: activate a growth if its layers have holders; else put it off, thrice at most, or end it.

    Examples:

        ponw layers decide 0x51d2
    """
    read = _reader(ctx)
    found = read.find(name)
    read.signing(password_file, yes).growth.decide(found.proposal)
    typer.echo(read.told(found))


def _reader(ctx: typer.Context) -> DepthReader:
    # The parts alone are shown without the chain's client, whose import takes longer than the command.
    from node.cli.layers_desk import DepthReader  # noqa: PLC0415
    from node.cli.session import settings_of  # noqa: PLC0415

    return DepthReader.of(settings_of(ctx))


def _growing(ctx: typer.Context) -> None:
    """A line for each growth that is under way, where this home has a network's contracts."""
    from node import config  # noqa: PLC0415
    from node.cli.context import state_of  # noqa: PLC0415
    from node.errors import RpcError  # noqa: PLC0415

    state = state_of(ctx)
    if not config.load(state.home, rpc_url=state.rpc_url).contracts_file.exists():
        return
    try:
        for line in _reader(ctx).lines(open_only=True):
            typer.echo(line)
    except RpcError as error:
        typer.echo(f"Growths are not shown: {error.message}", err=True)
