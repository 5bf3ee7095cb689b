"""What the commands about paid answers share: the payer, its records, and figures in words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.escrow import InferenceEscrow
from node.chain.units import format_units
from node.cli.session import read_contracts, signing_contracts
from node.config import Settings
from node.inference.paid.closing import Closer
from node.inference.paid.journal import Journal
from node.inference.paid.payer import Payer


def payer_of(settings: Settings, password_file: Path | None, yes: bool) -> Payer:
    """The operator's account as a payer. Errors as for `signing_contracts`."""
    contracts = signing_contracts(settings, password_file, yes)
    return Payer(contracts, escrow_of(settings, contracts), Journal(settings.home))


def reader_of(settings: Settings) -> Closer:
    """The operator's requests for reading; no password is needed. Errors as for `read_contracts`."""
    contracts = read_contracts(settings)
    return Closer(contracts, escrow_of(settings, contracts), Journal(settings.home))


def closer_of(payer: Payer) -> Closer:
    """What brings the payer's requests to their end."""
    return Closer(payer.contracts, payer.escrow, payer.journal)


def escrow_of(settings: Settings, contracts: Contracts) -> InferenceEscrow:
    """The network's escrow. Raises ContractsError: it has none."""
    return InferenceEscrow.of(contracts.client, Deployment.load(settings.contracts_file))


def a_token(wei: int) -> str:
    """A price in words."""
    return f"{format_units(wei)} a token"


def note(text: str) -> None:
    """A line beside the answer: on stderr, so that stdout holds the answer alone."""
    typer.echo(text, err=True)


def printable(text: str) -> str:
    """A server's text without control characters, which could rewrite the terminal; line ends and tabs stay."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)


@contextmanager
def balance_shown(payer: Payer, what: str) -> Iterator[None]:
    """Say what the block did, and what the account has deposited afterwards."""
    yield
    typer.echo(f"{what} Deposit: {format_units(payer.escrow.deposit_of(payer.address))}.")
