"""Proposals to add tokens: what is checked before anyone votes, and what is worth proposing."""

from governance.proposals.recount import PairCounts, recount
from governance.proposals.rules import Refusal, check, check_terms
from governance.proposals.suggest import suggest

__all__ = ["PairCounts", "Refusal", "check", "check_terms", "recount", "suggest"]
