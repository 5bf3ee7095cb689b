"""What the commands about the vocabulary share: the versions and the text to check against, and the checks in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer

from governance.activation import History
from governance.proposals import Refusal
from governance.versions import decode_merges
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.cli.session import read_contracts
from node.config import Settings
from node.genesis import workshop
from node.vocabulary.ballots import Ballot
from node.vocabulary.errors import ProposalRefusedError
from node.vocabulary.files import read_pairs
from node.vocabulary.proposing import Desk, Draft
from node.vocabulary.versions import Versions


@dataclass(frozen=True)
class Reader:
    """The network's contracts for reading, its versions, and a desk over this machine's own copy of its text."""

    settings: Settings
    contracts: Contracts
    first: int

    @cached_property
    def history(self) -> History:
        """Every version there is, each checked against its root."""
        return Versions(self.contracts, self.first).read()

    @cached_property
    def desk(self) -> Desk:
        """Counts and hashes; what takes long is told on stderr."""
        shop = workshop(self.settings)
        shop.require_network(self.contracts.registry.parameters())
        return Desk(shop, self.history, lambda doing: typer.echo(f"  {doing} …", err=True))

    def tokens(self, parent: int, merges: bytes) -> Iterator[tuple[int, str, int]]:
        """(id, text, claimed occurrences) of each token that merges add to a version."""
        found = decode_merges(merges)
        base = self.history[parent].vocabulary
        grown = base.extended(merge.pair for merge in found)
        for index, merge in enumerate(found):
            yield base.rows + index, grown.text(base.rows + index), merge.occurrences


def reader(settings: Settings) -> Reader:
    """The network of these settings. Raises RpcError, WrongChainError, ContractsError."""
    return Reader(settings, read_contracts(settings), Deployment.load(settings.contracts_file).block)


def proposed(read: Reader, file: Path | None, suggest: int | None) -> Draft:
    """The change that a file or a number of suggestions makes, after every check that a voter will make.

    Raises:
        BadParameter (typer): neither or both were given. ProposalFileError, ProposalRefusedError.
    """
    if (file is None) == (suggest is None):
        raise typer.BadParameter("name a file of merges, or give --suggest N; `--help` has examples")
    parent = read.contracts.vocabulary.state()[1]
    if file is not None:
        merges = read.desk.counted(parent, read_pairs(file, read.history[parent].vocabulary))
    else:
        merges = read.desk.suggest(parent, suggest or 0)
    refusals = read.desk.refusals(parent, merges)
    if refusals:
        raise ProposalRefusedError(refusals)
    return read.desk.draft(parent, merges)


def print_checks(read: Reader, ballot: Ballot) -> list[Refusal]:
    """Run every check of a proposal, a line each; what was found wrong."""
    found: list[Refusal] = []
    draft = ballot.draft
    for check in read.desk.checks(draft):
        typer.echo(f"{'pass' if check.passed else 'FAIL'}  {check.rule}")
        for refusal in check.refusals:
            typer.echo(f"      {refusal}")
        found += check.refusals
    return found


def require_checked(refusals: list[Refusal]) -> None:
    """Raises ProposalRefusedError where a check failed."""
    if refusals:
        raise ProposalRefusedError(refusals)
