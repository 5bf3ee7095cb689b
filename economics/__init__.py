"""Money rules as pure integer functions: no floats, no clock, no I/O."""

from economics.audit import audit_share, audited_claims, is_drawn
from economics.emission import Minted, day_of, emission_ceiling, epoch_cap, epoch_of, payable
from economics.networks import DEVNET, MAINNET, NETWORKS, NetworkParameters
from economics.rewards import Work, claim_reward, member_shares
from economics.slashing import LostChallenge, LostClaim, lost_challenge, lost_claim
from economics.units import BPS, WAD, WEI_PER_NEURO, BasisPoints, Epoch, Seconds, Steps, Wad, Wei, neuro

__all__ = [
    "BPS",
    "DEVNET",
    "MAINNET",
    "NETWORKS",
    "WAD",
    "WEI_PER_NEURO",
    "BasisPoints",
    "Epoch",
    "LostChallenge",
    "LostClaim",
    "Minted",
    "NetworkParameters",
    "Seconds",
    "Steps",
    "Wad",
    "Wei",
    "Work",
    "audit_share",
    "audited_claims",
    "claim_reward",
    "day_of",
    "emission_ceiling",
    "epoch_cap",
    "epoch_of",
    "is_drawn",
    "lost_challenge",
    "lost_claim",
    "member_shares",
    "neuro",
    "payable",
]
