"""What the commands about versions of the model share: the chain, its versions, this machine's text, checks told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import typer

from governance.activation import History
from governance.proposals import Refusal
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.cli.session import read_contracts
from node.config import Settings
from node.genesis import workshop
from node.training.work import Workshop
from node.vocabulary.proposing import Check
from node.vocabulary.versions import Versions


@dataclass(frozen=True)
class VersionReader:
    """The network's contracts for reading, and its versions. ``first``: the block of its deployment."""

    settings: Settings
    contracts: Contracts
    first: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The network of these settings. Raises RpcError, WrongChainError, ContractsError."""
        return cls(settings, read_contracts(settings), Deployment.load(settings.contracts_file).block)

    @cached_property
    def history(self) -> History:
        """Every version there is, each checked against its root."""
        return Versions(self.contracts, self.first).read()

    @cached_property
    def shop(self) -> Workshop:
        """Version 0 with this machine's own copy of the network's text."""
        shop = workshop(self.settings)
        shop.require_network(self.contracts.registry.parameters())
        return shop


def tell(doing: str) -> None:
    """What takes long, on stderr."""
    typer.echo(f"  {doing} …", err=True)


def print_checks(checks: Iterable[Check]) -> list[Refusal]:
    """Run checks, a line each; what was found wrong."""
    found: list[Refusal] = []
    for check in checks:
        typer.echo(f"{'pass' if check.passed else 'FAIL'}  {check.rule}")
        for refusal in check.refusals:
            typer.echo(f"      {refusal}")
        found += check.refusals
    return found
