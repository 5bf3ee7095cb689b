"""Where the money of a decided challenge goes. Nothing is created: the parts of a split add up to what was locked."""

from dataclasses import dataclass

from economics import constants as c
from economics.units import BPS, Wei


@dataclass(frozen=True, slots=True)
class LostClaim:
    """A claim that was wrong, or silent past its clock."""

    slashed: Wei
    to_challenger: Wei
    burned: Wei


@dataclass(frozen=True, slots=True)
class LostChallenge:
    """A challenge against an honest prover."""

    to_prover: Wei
    burned: Wei


def lost_claim(claim_bond: Wei) -> LostClaim:
    """2·B slashed, B to the challenger, B burned: a prover who challenges itself still loses B."""
    slashed = c.SLASH_BONDS * claim_bond
    reward = c.CHALLENGER_BONDS * claim_bond
    return LostClaim(Wei(slashed), Wei(reward), Wei(slashed - reward))


def lost_challenge(challenge_bond: Wei) -> LostChallenge:
    """Half of the bond to the prover, rounded down; the rest, with the odd wei, is burned."""
    to_prover_down = challenge_bond * c.HONEST_PROVER_SHARE // BPS
    return LostChallenge(Wei(to_prover_down), Wei(challenge_bond - to_prover_down))
