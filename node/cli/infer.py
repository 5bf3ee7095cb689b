"""`ponw infer`: pay for an answer, token by token."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Annotated

import typer

from node.chain.deployment import Deployment
from node.chain.units import format_units, parse_neuro
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json
from node.cli.court import accuse, play
from node.cli.paying import a_token, closer_of, note, payer_of, printable
from node.cli.session import settings_of
from node.config import Settings
from node.errors import CancelledError, FundsError, PonwError
from node.inference.paid.closing import Closer
from node.inference.paid.discovery import Server, cheapest, named
from node.inference.paid.errors import RequestFileError
from node.inference.paid.journal import Record
from node.inference.paid.payer import Payer
from node.inference.paid.signing import AnswerChecker
from node.inference.paid.terms import Terms
from node.inference.paid.verify import verify
from node.inference.versions import prompt_encoder, shape_of, versions_of

app = typer.Typer(rich_markup_mode=None)
POLL_SECONDS = 0.25


@app.command()
def infer(
    ctx: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="the text to continue")] = None,
    max_fee: Annotated[str, typer.Option("--max-fee", help="most NEURO for the whole answer")] = "0.05",
    server: Annotated[str | None, typer.Option("--server", help="its address; else the cheapest announced")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="most tokens of the answer")] = 64,
    temperature: Annotated[float, typer.Option(min=0, max=10, help="0 takes the likeliest token each time")] = 0.7,
    top_p: Annotated[float, typer.Option("--top-p", min=0.0001, max=1, help="share of likelihood to draw from")] = 1.0,
    check: Annotated[bool, typer.Option("--verify", help="recompute the answer with the model in this home")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="end requests that broke off; take the rest back")] = False,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
    password_file: PasswordOption = None,
) -> None:
    """Pay for an answer to PROMPT; its text goes to stdout as it comes, all else to stderr.

    The fee of the whole answer is locked first; every few tokens a voucher pays for what came, and what was not served
    comes back. Ctrl-C stops the answer and pays for what came so far. The server signs its answer before it gets the
    last voucher; with --verify a token that is not the model's is accused before the court, after a question (--yes:
    without), and the dispute is played until the ruling.

    Examples:

        ponw infer "It was the best of times" --max-fee 0.05

        ponw infer "Once" --server http://127.0.0.1:9450 --max-tokens 32 --temperature 0 --verify --yes

        ponw infer --resume --yes
    """
    settings = settings_of(ctx)
    if resume == (prompt is not None):
        raise typer.BadParameter("give a prompt, or --resume without one", param_hint="PROMPT")
    payer = payer_of(settings, password_file, yes)
    if prompt is None:
        _resume(payer)
        return
    first = Deployment.load(settings.contracts_file).block
    payer = replace(payer, check=AnswerChecker(payer.contracts, shape_of(settings, payer.contracts, first)).check)
    chosen = named(server) if server else cheapest(payer.contracts, first)
    asked = payer.question(prompt, max_tokens, round(temperature * 1000), max(1, round(top_p * 10_000)))
    offer = payer.ask(chosen.uri, asked)
    terms = Terms(parse_neuro(max_fee), chosen.address, prompt_encoder(payer.contracts, first))
    record = payer.accept(chosen.uri, asked, offer, terms)
    _show_cost(chosen, record)
    with payer.journal.hold(record), _interruptible() as stop:
        payer.open(record)
        for text in payer.answer(record, stop.is_set):
            if output is Format.TEXT:
                typer.echo(printable(text), nl=False)
    if output is Format.TEXT:
        typer.echo()
    paid = _settled(payer, record, stop)
    verified = verify(settings, record, versions_of(payer.contracts, first)) if check else None
    if output is Format.JSON:
        print_json(_document(record, paid, None if verified is None else verified.matches))
    note(_summary(record, paid))
    if verified is not None:
        note(verified.words)
        if verified.wrong is not None and record.signed is not None:
            _dispute(settings, payer, record, verified.wrong)
        verified.require()


def _dispute(settings: Settings, payer: Payer, record: Record, wrong: int) -> None:
    """Take a wrong token to the court, if the user wants that; the answer is refused either way."""
    try:
        accuser = accuse(payer.contracts, record, wrong)
    except (CancelledError, FundsError) as error:
        note(f"Not accused: {error.message} {error.hint}")
        note(f"`ponw dispute answer {record.request[:18]}` does it later.")
        return
    with _interruptible() as stop:
        play(settings, accuser, record, stop)


def _show_cost(chosen: Server, record: Record) -> None:
    quote = record.quote
    note(f"{quote.server} at {chosen.uri}: {a_token(quote.price)}, at most {format_units(quote.most)} in all.")


def _settled(payer: Payer, record: Record, stop: threading.Event) -> int | None:
    """Tokens that the server settled for, waiting as long as it may take at most; None if it has not settled yet."""
    closer, waits = closer_of(payer), int(payer.escrow.progress_time() / POLL_SECONDS)
    for _ in range(waits):
        standing = closer.look(record)
        if standing.over:
            return standing.view.tokens
        if stop.wait(POLL_SECONDS):
            break
    return None


def _summary(record: Record, paid: int | None) -> str:
    quote = record.quote
    if paid is None:
        words = f"{record.tokens} tokens for {format_units(record.tokens * quote.price)}, not settled by the server yet"
        return words + ": `ponw infer --resume` takes back what was not served."
    back = format_units((quote.max_tokens - paid) * quote.price)
    return f"{paid} tokens for {format_units(paid * quote.price)}; {back} back in the deposit."


def _document(record: Record, paid: int | None, verified: bool | None) -> dict[str, object]:
    quote = record.quote
    return {
        "request": record.request,
        "server": quote.server,
        "model_root": record.offer.served.model_root,
        "prompt": record.asked.prompt,
        "text": record.text,
        "tokens": record.ids,
        "seed": record.seed,
        "price_wei": quote.price,
        "locked_wei": quote.most,
        "paid_tokens": paid,
        "paid_wei": None if paid is None else paid * quote.price,
        "verified": verified,
    }


def _resume(payer: Payer) -> None:
    """Bring every request of this home to its end, waiting for the chain's clock where it must."""
    closer, records = closer_of(payer), payer.journal.open()
    if not records:
        note("Nothing is under way.")
    with _interruptible() as stop:
        for record in records:
            try:
                with payer.journal.hold(record):
                    _end(closer, record, stop)
            except RequestFileError as error:
                note(error.message)


def _end(closer: Closer, record: Record, stop: threading.Event) -> None:
    shown = ""
    while not stop.is_set():
        standing = closer.step(record)
        if standing.words != shown:
            shown = standing.words
            typer.echo(f"{record.request[:18]}: {shown}.")
        if standing.over:
            return
        stop.wait(POLL_SECONDS)
    raise PonwError("Stopped before every request was over.", "Run `ponw infer --resume` again later.")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C asks for the end; a second one ends the process at once."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
