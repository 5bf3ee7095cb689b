"""What the commands about the vocabulary share: its tokens, and a proposal that every check has passed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import typer

from governance.proposals import Refusal
from governance.versions import decode_merges
from node.cli.versions_desk import VersionReader, tell
from node.vocabulary.errors import ProposalRefusedError
from node.vocabulary.files import read_pairs
from node.vocabulary.proposing import Desk, Draft


class Reader(VersionReader):
    """With a desk over this machine's own copy of the network's text."""

    @cached_property
    def desk(self) -> Desk:
        """Counts and hashes."""
        return Desk(self.shop, self.history, tell)

    def tokens(self, parent: int, merges: bytes) -> Iterator[tuple[int, str, int]]:
        """(id, text, claimed occurrences) of each token that merges add to a version."""
        found = decode_merges(merges)
        base = self.history[parent].vocabulary
        grown = base.extended(merge.pair for merge in found)
        for index, merge in enumerate(found):
            yield base.rows + index, grown.text(base.rows + index), merge.occurrences


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


def require_checked(refusals: list[Refusal]) -> None:
    """Raises ProposalRefusedError where a check failed."""
    if refusals:
        raise ProposalRefusedError(refusals)
