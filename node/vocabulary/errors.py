"""What can be wrong with a version of the vocabulary, seen from a node."""

from __future__ import annotations

from collections.abc import Sequence

from governance.proposals import Refusal
from node.errors import ContractsError, DataError, ExitCode, PonwError

_MERGES = "Leave those merges out; docs/VOCABULARY.md has the rules."
SHOWN = 20
"""Refusals that one message names."""


class OtherVersionError(ContractsError):
    """A version that the chain runs has other merges, programs or text than this node makes of it."""


class ProposalRefusedError(PonwError):
    """A proposal breaks a rule; `refusals` names each rule, merge and token."""

    exit_code = ExitCode.CONSENSUS

    def __init__(self, refusals: Sequence[Refusal], hint: str = _MERGES) -> None:
        self.refusals = tuple(refusals)
        shown = [str(refusal) for refusal in self.refusals[:SHOWN]]
        more = f"; and {len(self.refusals) - SHOWN} more" if len(self.refusals) > SHOWN else ""
        words = f"The proposal is refused: {'; '.join(shown)}{more}."
        super().__init__(words, hint)


class ProposalFileError(DataError):
    """The file of a proposal cannot be read as merges."""


class NoProposalError(PonwError):
    """No proposal, or more than one, has the number that was given."""

    exit_code = ExitCode.USAGE

    def __init__(self, words: str) -> None:
        super().__init__(words, "`ponw vocab list` shows every proposal; give at least four digits of its number.")
