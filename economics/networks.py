"""What a deployment fixes: amounts and times as constructor arguments of the contracts."""

from dataclasses import dataclass
from typing import Final

from economics import constants as c
from economics.units import HOUR, Epoch, Seconds, Steps, Wei


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """One network's deployment values: times in seconds, amounts in wei. Values that break a rule raise ValueError."""

    name: str
    train_time: Seconds
    window: Seconds
    response: Seconds
    extension: Seconds
    thaw: Seconds
    epoch_length: Seconds
    max_steps: Steps
    steps_per_round: Steps
    max_claims: int = c.MAX_CLAIMS
    claim_bond: Wei = c.CLAIM_BOND
    challenge_bond: Wei = c.CHALLENGE_BOND
    min_stake: Wei = c.MIN_STAKE
    supply_cap: Wei = c.SUPPLY_CAP
    genesis_supply: Wei = c.GENESIS_SUPPLY
    epoch_emission: Wei = c.EPOCH_EMISSION
    day_length: Seconds = c.DAY_LENGTH
    halving_epochs: Epoch = c.HALVING_EPOCHS
    claim_reward_cap: Wei = c.CLAIM_REWARD_CAP
    node_day_cap: Wei = c.NODE_DAY_CAP
    discussion: Seconds = c.DISCUSSION_TIME
    vote: Seconds = c.VOTE_TIME
    vote_extension: Seconds = c.VOTE_EXTENSION
    grace: Seconds = c.GRACE_TIME
    emergency: Seconds = c.EMERGENCY_TIME
    progress: Seconds = c.PROGRESS_TIME
    settle: Seconds = c.SETTLE_TIME
    answer_window: Seconds = c.ANSWER_WINDOW

    def __post_init__(self) -> None:
        for name in (
            "train_time",
            "window",
            "response",
            "extension",
            "max_claims",
            "thaw",
            "epoch_length",
            "max_steps",
            "claim_bond",
            "challenge_bond",
            "discussion",
            "vote",
            "vote_extension",
            "grace",
            "emergency",
            "progress",
            "settle",
            "answer_window",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        if self.min_stake < c.SLASH_BONDS * self.claim_bond:
            raise ValueError("min_stake must cover the slash of one lost claim (2 x claim_bond)")
        if self.challenge_bond > self.min_stake:
            raise ValueError("challenge_bond must be within min_stake, or no new node can challenge")
        if not 0 < self.steps_per_round <= self.max_steps:
            raise ValueError("steps_per_round must be from 1 to max_steps")
        if self.thaw < max(self.window, self.answer_window) + self.longest_game:
            raise ValueError("thaw must outlast window and dispute, or a cheat's stake leaves before it can be slashed")
        if self.thaw < self.vote + self.vote_extension + self.grace + self.emergency:
            raise ValueError("thaw must outlast vote, grace and emergency vote, or a voter leaves before the outcome")
        if self.genesis_supply > self.supply_cap:
            raise ValueError("genesis_supply is above supply_cap")

    @property
    def longest_game(self) -> Seconds:
        """Most seconds from a challenge to its end: the answer, both clocks, and an extension for every move; all of it
        twice, because a challenge may move to another step once."""
        return Seconds(2 * (3 * self.response + 2 * (c.MAX_DEMANDS + 1) * self.extension))


MAINNET: Final = NetworkParameters(
    name="mainnet",
    train_time=Seconds(HOUR),
    window=c.CHALLENGE_WINDOW,
    response=c.RESPONSE_TIME,
    extension=c.CLOCK_EXTENSION,
    thaw=c.THAW_TIME,
    epoch_length=c.EPOCH_LENGTH,
    max_steps=c.MAX_STEPS,
    steps_per_round=Steps(100),
)

DEVNET: Final = NetworkParameters(
    name="devnet",
    train_time=Seconds(20),
    window=Seconds(15),
    response=Seconds(30),
    extension=Seconds(6),
    thaw=Seconds(1200),
    epoch_length=c.EPOCH_LENGTH,
    max_steps=c.MAX_STEPS,
    steps_per_round=Steps(20),
    discussion=Seconds(60),
    vote=Seconds(60),
    vote_extension=Seconds(15),
    grace=Seconds(60),
    emergency=Seconds(60),
    answer_window=Seconds(120),
)

NETWORKS: Final = {network.name: network for network in (MAINNET, DEVNET)}


@dataclass(frozen=True, slots=True)
class QuorumTimes:
    """What presence, modes and sessions of one network wait for, in seconds; ValueError where they contradict."""

    heartbeat: Seconds = c.HEARTBEAT
    offline: Seconds = c.OFFLINE_TIME
    join: Seconds = c.JOIN_TIME
    form: Seconds = c.FORM_TIME
    accept: Seconds = c.ACCEPT_TIME
    session: Seconds = c.SESSION_TIME
    session_small: Seconds = c.SESSION_TIME_SMALL
    session_max: Seconds = c.SESSION_TIME_MAX
    dissolve: Seconds = c.DISSOLVE_TIME
    slow: Seconds = c.MEMBER_SLOW_TIME
    benchmark: Seconds = c.BENCHMARK_TIME
    batches_min: int = c.SESSION_BATCHES_MIN
    """Batches that a session must have done to be renewed."""

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) <= 0:
            raise ValueError("every time of a quorum is above 0")
        if self.offline < c.STALE_HEARTBEATS * self.heartbeat:
            raise ValueError("a node is stale before it is offline")
        if not max(self.session, self.session_small) <= self.session_max:
            raise ValueError("a session is no longer than session_max")


MAINNET_TIMES: Final = QuorumTimes()
DEVNET_TIMES: Final = QuorumTimes(
    heartbeat=Seconds(3),
    offline=Seconds(12),
    join=Seconds(6),
    form=Seconds(9),
    accept=Seconds(10),
    session=Seconds(240),
    session_small=Seconds(240),
    session_max=Seconds(960),
    dissolve=Seconds(5),
    slow=Seconds(5),
    benchmark=Seconds(300),
    batches_min=10,
)
QUORUM_TIMES: Final = {MAINNET.name: MAINNET_TIMES, DEVNET.name: DEVNET_TIMES}
"""By the network's name."""


def times_for(train_time: int) -> QuorumTimes:
    """What a network waits for whose rounds train for so many seconds: the main network's times, or those of a network
    for tries, whose rounds are shorter."""
    return MAINNET_TIMES if train_time >= MAINNET.train_time else DEVNET_TIMES
