"""Run the demonstration: `python -m node.demo`."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from consensus.arithmetic import choose_engine
from consensus.model.config import PRESETS
from economics.networks import DEVNET
from economics.units import WEI_PER_NEURO
from node import logs
from node.chain.contracts import Contracts
from node.chain.units import format_units
from node.data.dataset import Dataset
from node.demo.network import DemoNetwork
from node.demo.pace import paced
from node.demo.report import DemoReport, Tally, Totals, are_judged, is_conserved, node_report, read_totals, verdict
from node.errors import PonwError
from node.training.ledger import Ledger, RoundView
from node.training.snapshot import read_snapshot
from node.training.states import GlobalStates
from node.training.tools import STATES_NAME
from node.training.work import Workshop

HONEST = ("alice", "bob", "carol")
LAZY = "larry"
LIAR = "lucy"
LIMIT_SECONDS = 900
POLL_SECONDS = 1.0


def main(
    rounds: Annotated[int, typer.Option(min=2, help="rounds to close")] = 2,
    folder: Annotated[Path, typer.Option(help="where the chain and the nodes live; replaced")] = Path(".demo"),
    report_file: Annotated[Path, typer.Option("--report", help="where the figures go")] = Path("demo-report.json"),
) -> None:
    """Start a chain, three honest nodes, a lazy one and a liar; train real text; end with a table and a report.

    Examples:

        python -m node.demo

        python -m node.demo --rounds 4 --folder /tmp/demo
    """
    console, started = _console(), time.monotonic()
    logs.configure("warning")
    try:
        with DemoNetwork(folder.absolute(), rounds) as network:
            report, totals = _play(network, console, started)
            report_file.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
            _print(console, report, totals, network)
    except PonwError as error:
        console.print(f"[red]error:[/red] {error.message}\n  next: {error.hint}")
        raise typer.Exit(int(error.exit_code)) from error
    console.print(f"Figures: {report_file} · logs of every node: {folder}/*/node.log")
    raise typer.Exit(0 if report.ok else 1)


def _console() -> Console:
    """As wide as the terminal, or wide enough for the table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=110)


def _play(network: DemoNetwork, console: Console, started: float) -> tuple[DemoReport, Totals]:
    running = network.start_chain()
    network.build_data()
    shop = Workshop(PRESETS["tiny"], choose_engine(), Dataset.open(network.data))
    console.print(f"chain {running.rpc_url}, kernel {shop.engine.name}, {shop.config.parameters:,} parameters")
    times = paced(shop, time.perf_counter)
    if times.window > DEVNET.window:
        console.print(f"steps are slow here: a round's windows are {times.window} s, not {DEVNET.window}")
    contracts = network.deploy(running, shop.genesis(), times)
    for name in HONEST:
        network.add(name, "honest", running)
    network.add(LAZY, "lazy", running)
    network.add(LIAR, "lying", running)
    network.stake(contracts)
    console.print(f"contracts deployed, {len(HONEST) + 1} nodes staked; starting {len(network.members)} processes")
    for member in network.members:
        member.start()
    _watch(network, contracts, console, started)
    seconds = time.monotonic() - started
    return _report(network, contracts, shop, seconds)


def _watch(network: DemoNetwork, contracts: Contracts, console: Console, started: float) -> None:
    """Tell what happens until every honest node has seen its rounds close."""
    ledger = Ledger(contracts, network.deployment().block)
    said: set[str] = set()
    while any(member.process is not None and member.process.poll() is None for member in network.honest):
        at = time.monotonic() - started
        for line in _news(network, ledger.look()):
            if line not in said:
                said.add(line)
                console.print(f"[dim]{at:6.1f} s[/dim]  {line}")
        broken = [member.name for member in network.members if member.failed()]
        if broken or at > LIMIT_SECONDS:
            reason = f"{', '.join(broken)} stopped with an error" if broken else "the time limit is over"
            raise PonwError(f"The demonstration failed: {reason}.", f"See {network.folder}/*/node.log.")
        threading.Event().wait(POLL_SECONDS)


def _news(network: DemoNetwork, view: RoundView) -> list[str]:
    names = {member.address: member.name for member in network.members}
    lines = [f"round {view.number}: {view.phase.name.lower()}"] if view.number else []
    for claim in view.claims:
        who, kind = names.get(claim.node, claim.node), claim.claim.kind.name
        lines.append(f"round {view.number}: {who} posted a {kind} claim over {claim.claim.steps} steps")
        for challenger, (step, _) in claim.challenges.items():
            lines.append(f"round {view.number}: {names.get(challenger, challenger)} challenges step {step} of {who}")
        for challenger, step in claim.judged.items():
            rival = names.get(challenger, challenger)
            lines.append(f"round {view.number}: {who} answers; {rival} disputes step {step} before the judge")
        if claim.reason:
            lines.append(f"[red]round {view.number}: {who} lost its claim ({claim.reason}) and is slashed[/red]")
        elif claim.reward:
            lines.append(f"[green]round {view.number}: {who}'s claim is final, {format_units(claim.reward)}[/green]")
    for member in network.honest:
        now = read_snapshot(member.home)
        if now is not None and now.heldout_loss is not None and now.round == view.number:
            lines.append(f"held-out loss after round {now.rounds_done}: {now.heldout_loss:.4f}")
    return lines


def _report(network: DemoNetwork, contracts: Contracts, shop: Workshop, seconds: float) -> tuple[DemoReport, Totals]:
    totals = read_totals(contracts, network.deployment().block)
    genesis = shop.genesis_state()
    states = GlobalStates(network.honest[0].home / STATES_NAME, shop.config.shapes(), genesis)
    end = states.own(totals.rounds + 1, contracts.registry.global_root())
    if end is None:
        raise PonwError("No node has the final global state.", f"See {network.folder}/*/node.log.")
    holders = [contracts.client.address, *(member.address for member in network.members)]
    report = DemoReport(
        ok=False,
        seconds=round(seconds, 1),
        rounds=totals.rounds,
        loss_start=shop.heldout_loss(genesis.weights),
        loss_end=shop.heldout_loss(end.weights),
        conserved=is_conserved(contracts, totals, holders, DEVNET.genesis_supply),
        nodes=[node_report(contracts, totals, member) for member in network.members],
    )
    ok = verdict(report) and are_judged(totals, network.members)
    return report.model_copy(update={"ok": ok}), totals


def _print(console: Console, report: DemoReport, totals: Totals, network: DemoNetwork) -> None:
    table = Table("node", "kind", "steps", "tokens", "loss", "final/lost", "reward NEURO", "slashed NEURO")
    for node, member in zip(report.nodes, network.members, strict=True):
        tally, now = totals.tallies.get(member.address, Tally()), read_snapshot(member.home)
        loss = "-" if now is None or now.loss is None else f"{now.loss:.4f}"
        table.add_row(
            node.name,
            node.kind,
            str(node.steps),
            f"{node.tokens:,}",
            loss,
            f"{tally.final}/{tally.lost}",
            f"{node.reward_wei / WEI_PER_NEURO:.4f}",
            f"{node.slashed_wei / WEI_PER_NEURO:.4f}",
        )
    console.print(table)
    console.print(
        f"{report.rounds} rounds in {report.seconds:.0f} s; held-out loss {report.loss_start:.4f} → "
        f"{report.loss_end:.4f}; tokens conserved: {report.conserved}; ok: {report.ok}"
    )


if __name__ == "__main__":
    typer.run(main)
