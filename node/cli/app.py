"""The `ponw` command: wiring only. Each verb is a module of its own, imported when it is used."""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from node.cli.context import CliState, state_of
from node.cli.lazy import LazyCommand, lazy_group
from node.errors import ExitCode, PonwError

COMMANDS = (
    LazyCommand("init", "node.cli.init", "Make the home folder and its configuration."),
    LazyCommand("doctor", "node.cli.doctor", "Check everything the node needs, with a fix for what is missing."),
    LazyCommand("wallet", "node.cli.wallet", "Encrypted keys: new, import, list."),
    LazyCommand("devnet", "node.cli.devnet", "A chain on this machine with the contracts on it: up, down."),
    LazyCommand("deploy", "node.cli.deploy", "Deploy a whole network of its own, on any EVM chain."),
    LazyCommand("stake", "node.cli.stake", "Stake NEURO: add, thaw, withdraw, status."),
    LazyCommand("data", "node.cli.data", "Training text: add, list, verify."),
    LazyCommand("vocab", "node.cli.vocab", "The vocabulary by vote: propose, check, vote, activate, rollback."),
    LazyCommand("run", "node.cli.run", "Run the node: train, claim, audit, be paid."),
    LazyCommand("status", "node.cli.status", "What the node does and why; --watch follows it."),
    LazyCommand("dashboard", "node.cli.dashboard", "The node's pages in a browser; --wallet lets them pay."),
    LazyCommand("network", "node.cli.network", "Nodes of the network by mode and tier."),
    LazyCommand("quorum", "node.cli.quorum", "Quorums: members, parts, sessions."),
    LazyCommand("layers", "node.cli.layers", "Who holds which part of the model, and what is scarce."),
    LazyCommand("peers", "node.cli.peers", "Who the node is connected to, and whom it refuses and why."),
    LazyCommand("audit", "node.cli.audit", "Recompute any claim and say where it is first wrong."),
    LazyCommand("dispute", "node.cli.dispute", "Disputes before the judge: list, show, play."),
    LazyCommand("rewards", "node.cli.rewards", "What was earned: list, claim."),
    LazyCommand("volunteer", "node.cli.volunteer", "Contribute to a gateway's model: no stake, no wallet, no chain."),
    LazyCommand("gateway", "node.cli.gateway", "Volunteers over HTTP: run, status, workers, versions, rollback."),
    LazyCommand("serve", "node.cli.serve", "Answer with the exact model; OpenAI's clients work unchanged."),
    LazyCommand("infer", "node.cli.infer", "Pay for an answer, token by token; --resume takes back what broke off."),
    LazyCommand("price", "node.cli.price", "What a token of an answer costs, factor by factor."),
    LazyCommand("escrow", "node.cli.escrow", "Money for answers: deposit, requests, cancel, refund, collect."),
    LazyCommand("kernels", "node.cli.kernels", "The exact kernels of this machine and their self-check."),
    LazyCommand("program", "node.cli.program", "The step as a flat list of exact ops, and what a contract can judge."),
    LazyCommand("backup", "node.cli.backup", "Backups of the home folder: create, check, restore."),
    LazyCommand("debug", "node.cli.debug", "A bundle to show others when something is wrong, without secrets."),
    LazyCommand("config", "node.cli.config", "The settings in force and where each comes from."),
)
EXAMPLES = """Examples:

    ponw init && ponw wallet new && ponw devnet up

    ponw stake add 500 && ponw run

    ponw --home ~/second --rpc-url http://10.0.0.5:8545 status
"""

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    name="ponw",
    help="A node for a staked network that trains one language model in public, bit for bit.\n\n" + EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(version("ponw"))
        except PackageNotFoundError:
            typer.echo("not installed")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    home: Annotated[Path | None, typer.Option("--home", help="folder of this node (PONW_HOME)")] = None,
    rpc_url: Annotated[str | None, typer.Option("--rpc-url", help="the chain's endpoint (PONW_RPC_URL)")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks and debug logs")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Read the options that stand before the command."""
    ctx.ensure_object(CliState)
    state = state_of(ctx)
    state.home, state.rpc_url, state.debug = home, rpc_url, debug


def main() -> NoReturn:
    """Entry point: runs the command and turns every known failure into a sentence, a next step and an exit code."""
    state = CliState()
    try:
        typer.main.get_command(app)(obj=state, prog_name="ponw")
    except PonwError as error:
        _fail(error, error.message, error.hint, error.exit_code, state)
    except _consensus_error() as error:
        _fail(error, str(error), getattr(error, "hint", ""), ExitCode.CONSENSUS, state)
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        message = f"The system refuses{place}: {error.strerror or type(error).__name__}."
        _fail(error, message, "Check the free space and the permissions.", ExitCode.DISK, state)
    sys.exit(0)


def _consensus_error() -> type[Exception]:
    # Looked up only when something was raised: the package behind it is slow to import.
    error: type[Exception] = importlib.import_module("consensus.errors").ConsensusError
    return error


def _fail(error: BaseException, message: str, hint: str, code: ExitCode, state: CliState) -> NoReturn:
    if state.debug:
        traceback.print_exception(error)
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"  next: {hint}", err=True)
    sys.exit(int(code))


if __name__ == "__main__":
    main()
