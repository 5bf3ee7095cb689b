"""`ponw dispute`: the games before the judge."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.units import format_time
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json, print_table
from node.cli.session import read_contracts, settings_of, signing_contracts
from node.dispute.games import Game, read_games
from node.errors import ConfigError
from node.training.ledger import Ledger, RoundView

app = typer.Typer(
    help="Disputes before the judge and the court: list, show, play, answer.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
GameArgument = Annotated[str, typer.Argument(help="the game's name, or at least its first six digits")]
PLAY_SECONDS = 1.0
SHOWN_DIGITS = 16


@dataclass(frozen=True)
class _Seen:
    contracts: Contracts
    view: RoundView
    games: list[Game]


@app.command("list")
def list_games(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """Every dispute of the newest round: who, about which step, whose turn, until when.

    Examples:

        ponw dispute list

        ponw dispute list --format json
    """
    seen = _look(ctx)
    if output is Format.JSON:
        print_json([_row(seen, game) for game in seen.games])
        return
    if not seen.games:
        typer.echo(f"No dispute in round {seen.view.number}.")
        return
    table = Table("game", "prover", "challenger", "step", "moves", "turn", "until")
    for game in seen.games:
        row = _row(seen, game) | {"game": "0x" + game.id.hex()[:SHOWN_DIGITS]}
        table.add_row(*(str(row[key]) for key in ("game", "prover", "challenger", "step", "moves", "turn", "until")))
    print_table(table)


@app.command()
def show(ctx: typer.Context, game: GameArgument, output: FormatOption = Format.TEXT) -> None:
    """One dispute with everything that was committed to.

    Examples:

        ponw dispute show 0x51d2aa
    """
    seen = _look(ctx)
    found = _find(seen, game)
    dispute = found.dispute
    row = _row(seen, found) | {
        "claim": found.claim.hash,
        "round": dispute.claim.round,
        "state before": dispute.before,
        "state after": dispute.after,
        "batch": dispute.batch,
        "loss bits": dispute.loss_bits,
        "op trace": dispute.trace,
        "demanded": None if found.asked is None else f"node {found.asked.index} of level {found.asked.level}",
    }
    if output is Format.JSON:
        print_json(row)
        return
    for key, value in row.items():
        shown = "0x" + value.hex() if isinstance(value, bytes) else value
        typer.echo(f"{key:>13}  {'-' if shown is None else shown}")


@app.command()
def play(ctx: typer.Context, game: GameArgument, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Play this wallet's side of GAME until it has ended. A running node plays its own games by itself.

    Examples:

        ponw dispute play 0x51d2aa --yes
    """
    from node.artefacts.layout import ARTEFACTS_NAME  # noqa: PLC0415 - torch takes seconds to import
    from node.dispute.desk import desk  # noqa: PLC0415
    from node.dispute.watcher import Watcher  # noqa: PLC0415
    from node.storage.store import Store  # noqa: PLC0415

    settings = settings_of(ctx)
    contracts = signing_contracts(settings, password_file, yes)
    first, me = Deployment.load(settings.contracts_file).block, contracts.client.address
    found = _find(_seen(contracts, first), game)
    if me not in (found.challenger, found.claim.node):
        raise ConfigError(f"{me} is no party of this dispute.", "Choose the account with `--account` in the settings.")
    table = desk(settings, contracts, first, me, lambda: None)
    with Store.open(settings.home) as store:
        watcher = Watcher(contracts, store, table.cases, settings.home / ARTEFACTS_NAME, first)
        while not (now := _find(_seen(contracts, first), game)).ended:
            if watcher.look() == 0:
                threading.Event().wait(PLAY_SECONDS)
    typer.echo(f"The dispute has ended: the {'prover' if now.prover_won else 'challenger'} won.")


@app.command()
def answer(
    ctx: typer.Context,
    request: Annotated[str, typer.Argument(help="a paid request of this home, or the beginning of its id")],
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Recompute the paid answer to REQUEST, accuse its first wrong token before the court, and play until the ruling.

    Goes on with an accusation that was made before. The account needs stake for the bond.

    Examples:

        ponw dispute answer 0x51d2aa --yes
    """
    from node.cli.answering import dispute_answer  # noqa: PLC0415 - torch takes seconds to import

    settings = settings_of(ctx)
    dispute_answer(settings, signing_contracts(settings, password_file, yes), request)


def _look(ctx: typer.Context) -> _Seen:
    settings = settings_of(ctx)
    return _seen(read_contracts(settings), Deployment.load(settings.contracts_file).block)


def _seen(contracts: Contracts, first: int) -> _Seen:
    view = Ledger(contracts, first).look()
    return _Seen(contracts, view, read_games(contracts, view, view.answered))


def _find(seen: _Seen, name: str) -> Game:
    digits = name.lower().removeprefix("0x")
    found = [game for game in seen.games if len(digits) >= 6 and game.id.hex().startswith(digits)]
    if len(found) != 1:
        raise ConfigError(
            f"{len(found)} disputes of round {seen.view.number} begin with {name}.", "See `ponw dispute list`."
        )
    return found[0]


def _row(seen: _Seen, game: Game) -> dict[str, object]:
    if game.ended and game.prover_won is None:
        turn, until = "moved to another step", "-"
    elif game.ended:
        turn, until = f"ended: the {'prover' if game.prover_won else 'challenger'} won", "-"
    elif seen.view.block.timestamp > game.deadline:
        turn, until = f"the {'prover' if game.asked else 'challenger'}'s clock has run out", format_time(game.deadline)
    else:
        turn, until = "prover" if game.asked else "challenger", format_time(game.deadline)
    return {
        "game": "0x" + game.id.hex(),
        "prover": game.claim.node,
        "challenger": game.challenger,
        "step": game.dispute.step,
        "moves": game.moves,
        "turn": turn,
        "until": until,
    }
