"""Every number of the protocol, once, with its unit. Time-like values of a deployment are in ``economics.networks``."""

from typing import Final

from economics.units import (
    DAY,
    HOUR,
    MINUTE,
    WAD,
    WEEK,
    BasisPoints,
    Epoch,
    Milliseconds,
    Seconds,
    Steps,
    Wad,
    Wei,
    neuro,
)

# --- supply and emission ---
SUPPLY_CAP: Final = neuro(100_000_000)
GENESIS_SUPPLY: Final = neuro(10_000_000)
EPOCH_LENGTH: Final = Seconds(DAY)
DAY_LENGTH: Final = Seconds(DAY)
"""Unit of a node's daily cap."""
EPOCH_EMISSION: Final = neuro(20_000)
"""Most that all rewards of one epoch may mint, before the first halving."""
HALVING_EPOCHS: Final = Epoch(1_460)

# --- stake, bonds, claims, disputes ---
MIN_STAKE: Final = neuro(100)
CLAIM_BOND: Final = neuro(50)
"""B: a lost claim costs 2·B."""
CHALLENGE_BOND: Final = neuro(10)
SLASH_BONDS: Final = 2
"""Bonds slashed for one lost claim."""
CHALLENGER_BONDS: Final = 1
"""Of those, bonds that go to the challenger; the rest is burned, so challenging oneself loses money."""
HONEST_PROVER_SHARE: Final = BasisPoints(5_000)
"""Of a challenge bond lost to an honest prover; the rest is burned."""
CHALLENGE_WINDOW: Final = Seconds(600)
ANSWER_WINDOW: Final = Seconds(DAY)
"""After its signature, in which a paid answer can be accused before the court."""
RESPONSE_TIME: Final = Seconds(300)
THAW_TIME: Final = Seconds(18 * DAY)
"""Outlasts vote, its extension, grace and emergency vote, so no voter leaves before the outcome."""
MAX_STEPS: Final = Steps(1_000)
"""Most steps that one claim may hold."""
MAX_CLAIMS: Final = 16
"""Most claims that one round takes: an outer step sums up at most so many."""
CLOCK_EXTENSION: Final = Seconds(60)
"""Least that a player of a dispute has for a move, so that no clock runs out by the other's last second."""
MAX_DEMANDS: Final = 32
"""Times that a challenger may make a prover reveal what it withholds."""

# --- audits: share of claims by number of nodes in the network ---
AUDIT_SHARES: Final = ((20, BasisPoints(10_000)), (100, BasisPoints(2_000)), (500, BasisPoints(500)))
"""(below this many nodes, share), first match."""
AUDIT_SHARE_LARGE: Final = BasisPoints(300)

CLAIM_SEGMENTS: Final = 10
"""Parts of a claim that are audited as a whole; a prover serves a checkpoint at the start of each."""
AUDIT_SEGMENTS: Final = 2
"""Segments that one auditor recomputes of one claim."""
CLAIM_AUDITORS: Final = 2
"""Auditors of a drawn claim in a network where not everyone audits everything."""

# --- rewards ---
PIPELINE_REWARD: Final = neuro(5, 10_000)
"""A batch and layer."""
ASYNC_REWARD: Final = neuro(3, 10_000)
"""A batch and layer of a late claim, times freshness."""
DATA_REWARD: Final = neuro(1, 100_000)
"""A sample served."""
UPTIME_REWARD: Final = neuro(1, 10_000)
"""A minute."""
ASYNC_FRESHNESS: Final = ((HOUR, BasisPoints(10_000)), (DAY, BasisPoints(7_000)), (WEEK, BasisPoints(5_000)))
"""(younger than, factor), first match."""
ASYNC_FRESHNESS_OLD: Final = BasisPoints(3_000)
LATE_ROUNDS: Final = 16
"""Rounds back that a late claim's work may have begun. Nodes keep the starts of so many: where only the prover has one,
nobody can recompute, and every lie would be safe."""
ROLE_EMBEDDING: Final = BasisPoints(2_000)
ROLE_HEAD: Final = BasisPoints(3_000)
ROLE_TRAINING: Final = BasisPoints(1_000)
STAKE_DIVISOR: Final = 1_000
"""NEURO of stake that count as one in log2(1 + stake / 1000)."""
STAKE_SLOPE: Final = Wad(WAD // 10)
"""Added for each doubling."""
STAKE_MULTIPLIER_MAX: Final = Wad(WAD * 3 // 2)
REPUTATION_SLOPE: Final = Wad(WAD // 10)
"""Added at full reputation."""
REPUTATION_FULL: Final = 100
"""Final claims that make a full reputation."""
SCARCITY_SLOPE: Final = Wad(WAD // 2)
"""Added at scarcity 1."""
SCARCITY_EDGE: Final = BasisPoints(15_000)
"""Scarcity of the embedding and the head counts this much, at most 1 in all."""
CLAIM_REWARD_CAP: Final = neuro(100)
NODE_DAY_CAP: Final = neuro(10_000)

# --- outer step (cohort sync) ---
OUTER_RATE: Final = BasisPoints(7_000)
OUTER_MOMENTUM: Final = BasisPoints(9_000)
INNER_STEPS: Final = ((10, Steps(100)), (100, Steps(500)))
"""H: (below this many nodes, inner steps between two exchanges), first match."""
INNER_STEPS_LARGE: Final = Steps(1_000)
UPDATE_FRESHNESS: Final = ((MINUTE, BasisPoints(10_000)), (HOUR, BasisPoints(9_000)), (DAY, BasisPoints(7_000)))
UPDATE_FRESHNESS_OLD: Final = BasisPoints(3_000)
UPDATE_WEIGHT_MIN: Final = BasisPoints(1_000)
"""Least weight before normalising."""
TRIM: Final = BasisPoints(2_000)
"""Of the weight, cut off each end of every coordinate."""

# --- speed tiers, presence ---
TIER_LIMITS: Final = (Milliseconds(10), Milliseconds(50), Milliseconds(200), Milliseconds(1_000))
"""A layer forward: T1 below the first, …, T5 from the last."""
TIER_PARTNERS: Final = ((1, (1, 2)), (2, (1, 2, 3)), (3, (2, 3, 4)), (4, (3, 4)), (5, ()))
JOIN_TIME: Final = Seconds(30)
FORM_TIME: Final = Seconds(60)
HEARTBEAT: Final = Seconds(30)
STALE_HEARTBEATS: Final = 4
OFFLINE_TIME: Final = Seconds(120)
BENCHMARK_TIME: Final = Seconds(HOUR)
"""Between two self-benchmarks."""

# --- quorums ---
QUORUM_MEMBERS_MAX: Final = 16
QUORUM_MEMBERS_MIN: Final = ((5, 1), (20, 2))
"""(below this many nodes, least members), first match."""
QUORUM_MEMBERS_MIN_LARGE: Final = 3
SESSION_TIME: Final = Seconds(3_600)
SESSION_TIME_SMALL: Final = Seconds(1_800)
SESSION_SMALL_NODES: Final = 20
SESSION_TIME_MAX: Final = Seconds(14_400)
SESSION_RENEWAL: Final = BasisPoints(8_000)
SESSION_BATCHES_MIN: Final = 1_000
MEMBER_MISSED_MAX: Final = 2
MEMBER_SLOW_FACTOR: Final = 2
MEMBER_SLOW_TIME: Final = Seconds(5 * MINUTE)
SWITCH_GAIN: Final = BasisPoints(2_000)
ACCEPT_TIME: Final = Seconds(60)
"""In which every member accepts a proposal, or it lapses."""
DISSOLVE_TIME: Final = Seconds(60)
"""In which members save their state; after it they are free whatever the others do."""

# --- growth of layers ---
GROWTH_MEMORY: Final = BasisPoints(15_000)
GROWTH_MEMORY_SLOPE: Final = BasisPoints(1_000)
"""Added for each doubling of the number of nodes."""
GROWTH_REPLICAS: Final = ((5, 1), (20, 2))
GROWTH_REPLICAS_LARGE: Final = 3
GROWTH_STEPS: Final = Steps(10_000)
GROWTH_LAYERS_MIN: Final = 3
GROWTH_LAYERS_SHARE: Final = BasisPoints(5_000)
"""Of the layers there are, most that one growth adds, though never fewer than the least: what is trained stays in the
majority."""
GROWTH_GRACE: Final = Seconds(10 * MINUTE)
GROWTH_EXTENSIONS: Final = 3
GROWTH_SCARCITY: Final = BasisPoints(5_000)
"""Added with each extension to what the scarcity of an announced layer counts."""
GROWTH_TIER_MAX: Final = 3
"""A new layer needs one holder of this tier or a faster one."""
GROWTH_IDENTITY_SCALE: Final = BasisPoints(100)
GROWTH_RATE_START: Final = BasisPoints(1_000)
GROWTH_RATE_STEPS: Final = Steps(1_000)

# --- vocabulary ---
PROPOSAL_STAKE: Final = neuro(100)
"""Locked while a proposal is open; slashed when an emergency vote takes its version back."""
PROPOSAL_REWARD: Final = neuro(5)
"""For the proposer of an activated version, out of the epoch's emission."""
PROPOSAL_TOKENS_MAX: Final = 1_000
PROPOSAL_FREQUENCY: Final = 1_000
"""A new token must be seen more often than this."""
DISCUSSION_TIME: Final = Seconds(7 * DAY)
VOTE_TIME: Final = Seconds(7 * DAY)
VOTE_EXTENSION: Final = Seconds(DAY)
"""Least that is left to vote once the quorum is reached, so that no last-minute quorum decides alone."""
GRACE_TIME: Final = Seconds(7 * DAY)
VOTE_APPROVAL: Final = BasisPoints(6_600)
VOTE_QUORUM: Final = BasisPoints(3_000)
EMERGENCY_STAKE: Final = BasisPoints(1_000)
EMERGENCY_TIME: Final = Seconds(48 * HOUR)

# --- inference ---
TOKEN_PRICE: Final = neuro(1, 10_000)
TIER_PRICES: Final = (BasisPoints(15_000), BasisPoints(13_000), BasisPoints(10_000), BasisPoints(8_000))
PRICE_REPUTATION_BASE: Final = BasisPoints(8_000)
PRICE_REPUTATION_SLOPE: Final = BasisPoints(4_000)
PRICE_FLOOR: Final = BasisPoints(5_000)
SPLIT_EMBEDDING: Final = BasisPoints(1_500)
SPLIT_HEAD: Final = BasisPoints(2_000)
SPLIT_BURN: Final = BasisPoints(500)
PROGRESS_TIME: Final = Seconds(30)
"""Without progress for this long, the payer may cancel a request."""
SETTLE_TIME: Final = Seconds(30)
"""After a cancellation, the server has this long to settle with the newest voucher it holds."""
VOUCHER_TOKENS: Final = 4
"""A payer signs a cumulative voucher every so many tokens."""
CREDIT_TOKENS: Final = 8
"""Tokens that a server streams ahead of the newest voucher: most that either side risks."""
PAYEES_MAX: Final = 32
"""Accounts that one answer's fee is split among by layers."""

# --- encodings ---
LEAF_BYTES: Final = 1_024
"""Bytes of a tensor in one leaf of its tree."""
EIP712_NAME: Final = "ponw"
EIP712_VERSION: Final = "1"
ZERO_WEI: Final = Wei(0)
ZERO_WAD: Final = Wad(0)
ON_TIME: Final = Seconds(0)
"""Age of a claim whose work began in its own round."""
