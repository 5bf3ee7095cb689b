"""What one claim earns, in integers only. ``contracts/src/libraries/Rewards.sol`` is its twin, rounding included.

Every division rounds down, so no rounding ever mints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from economics import constants as c
from economics.units import BPS, WAD, WEI_PER_NEURO, BasisPoints, Seconds, Steps, Wad, Wei

_FRACTION_BITS = 64


@dataclass(frozen=True, slots=True)
class Work:
    """What the reward of one claim depends on. Each field is committed in the claim or is state of the chain."""

    steps: Steps
    layers: int
    embedding: bool = True
    head: bool = True
    training: bool = True
    stake: Wei = c.ZERO_WEI
    finals: int = 0
    """Claims of this node that became final before."""
    scarcity: Wad = c.ZERO_WAD
    """Of the layers held, 0 to 1e18."""
    age: Seconds = c.ON_TIME
    """From the opening of the round that the work began in to that of the claim's; 0 unless the claim is late."""


def log2_q64(y: int) -> int:
    """floor-approximated log2(y / 2^64) times 2^64, for y ≥ 2^64, by repeated squaring (Knuth, TAOCP 1, 1.2.2, ex. 25).

    Raises ValueError below 2^64, where the logarithm is negative.
    """
    whole = y.bit_length() - 1 - _FRACTION_BITS
    if whole < 0:
        raise ValueError("log2_q64 needs y of at least 2^64")
    z, fraction = y >> whole, 0
    for _ in range(_FRACTION_BITS):
        z = z * z >> _FRACTION_BITS
        bit = z >> (_FRACTION_BITS + 1)
        z >>= bit
        fraction = fraction << 1 | bit
    return whole << _FRACTION_BITS | fraction


def role_multiplier(embedding: bool, head: bool, training: bool) -> BasisPoints:
    """1 + 0.2 embedding + 0.3 head + 0.1 training."""
    extra = c.ROLE_EMBEDDING * embedding + c.ROLE_HEAD * head + c.ROLE_TRAINING * training
    return BasisPoints(BPS + extra)


def stake_multiplier(stake: Wei) -> Wad:
    """1 + 0.1·log2(1 + stake / 1000 NEURO), at most 1.5."""
    x = WEI_PER_NEURO + stake // c.STAKE_DIVISOR
    y = (x << _FRACTION_BITS) // WEI_PER_NEURO
    return Wad(min(c.STAKE_MULTIPLIER_MAX, WAD + (log2_q64(y) * c.STAKE_SLOPE >> _FRACTION_BITS)))


def reputation_multiplier(finals: int) -> Wad:
    """1 + 0.1·r; r grows with final claims and is full at 100."""
    return Wad(WAD + c.REPUTATION_SLOPE * min(finals, c.REPUTATION_FULL) // c.REPUTATION_FULL)


def scarcity_multiplier(scarcity: Wad) -> Wad:
    """1 + 0.5·s. Raises ValueError outside 0 ≤ s ≤ 1e18."""
    if not 0 <= scarcity <= WAD:
        raise ValueError("scarcity is a fraction from 0 to 1e18")
    return Wad(WAD + c.SCARCITY_SLOPE * scarcity // WAD)


def late_freshness(age: int) -> BasisPoints:
    """What a late claim is paid, begun ``age`` seconds before its round. Raises ValueError on a negative age."""
    if age < 0:
        raise ValueError("a claim's age cannot be negative")
    return next((factor for below, factor in c.ASYNC_FRESHNESS if age < below), c.ASYNC_FRESHNESS_OLD)


def base_reward(age: Seconds) -> Wei:
    """Wei for a batch and layer before all multipliers: less in a late claim. Raises ValueError on a negative age."""
    return c.PIPELINE_REWARD if age == c.ON_TIME else Wei(c.ASYNC_REWARD * late_freshness(age) // BPS)


def claim_reward(work: Work) -> Wei:
    """The reward of a final TRAIN claim in wei, capped for one claim. Raises ValueError on negative work."""
    if work.steps < 0 or work.layers < 0 or work.stake < 0 or work.finals < 0:
        raise ValueError("steps, layers, stake and finals cannot be negative")
    base = base_reward(work.age) * work.steps * work.layers
    reward = base * role_multiplier(work.embedding, work.head, work.training) // BPS
    reward = reward * stake_multiplier(work.stake) // WAD
    reward = reward * reputation_multiplier(work.finals) // WAD
    reward = reward * scarcity_multiplier(work.scarcity) // WAD
    return Wei(min(reward, c.CLAIM_REWARD_CAP))


def member_shares(steps: Steps, members: Sequence[tuple[int, Wei]]) -> tuple[Wei, ...]:
    """What each member of a quorum earns in a final claim: (layers, stake) of each, in the order of their layers.

    The first holds the embedding, the last the head. Where the shares pass the cap of a claim together, all are cut in
    proportion; what rounding leaves is never minted. Raises ValueError on negative work.
    """
    if steps < 0 or any(layers < 0 or stake < 0 for layers, stake in members):
        raise ValueError("steps, layers and stake cannot be negative")
    shares = []
    for at, (layers, stake) in enumerate(members):
        role = role_multiplier(at == 0, at == len(members) - 1, True)
        shares.append(c.PIPELINE_REWARD * steps * layers * role // BPS * stake_multiplier(stake) // WAD)
    total = sum(shares)
    if total > c.CLAIM_REWARD_CAP:
        shares = [share * c.CLAIM_REWARD_CAP // total for share in shares]
    return tuple(map(Wei, shares))
