"""How one proposes and votes, as commands take it. Imports no chain client until a vote is cast."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from node.chain.types import Support


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="compute and check everything, send nothing")]
UncheckedOption = Annotated[bool, typer.Option("--unchecked", help="approve without recomputing first")]


class Choice(StrEnum):
    """How one votes."""

    APPROVE = "approve"
    REJECT = "reject"
    ABSTAIN = "abstain"

    @property
    def support(self) -> Support:
        """As the contract counts it."""
        from node.chain.types import Support  # noqa: PLC0415

        return dict(zip(Choice, (Support.FOR, Support.AGAINST, Support.ABSTAIN), strict=True))[self]
