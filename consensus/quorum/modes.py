"""What a node should do, in the protocol's order, with the reason in words."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consensus.quorum.coverage import wanted_replicas
from consensus.quorum.tiers import SLOWEST
from economics import constants as c
from economics.audit import audit_share
from economics.networks import MAINNET_TIMES, QuorumTimes
from economics.units import BPS


class Mode(StrEnum):
    """What a node does with its time."""

    SOLO = "solo"
    PIPELINE = "pipeline"
    ASYNC = "async"
    DATA = "data"
    VERIFY = "verify"
    INFERENCE = "inference"
    IDLE = "idle"


MODES: Final = tuple(Mode)


class Action(StrEnum):
    """What follows from a choice at once."""

    STAY = "stay"
    JOIN = "join"
    FORM = "form"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the choice depends on. Counts are of nodes that are online, this one included."""

    nodes: int
    tier: int
    layer_us: int = 0
    holds: bool = True
    """Whether any part of the model fits its memory."""
    staked: bool = True
    forced: Mode | None = None
    in_quorum: str = ""
    """The session that it is in, in words; "" for none."""
    joinable: str = ""
    """A quorum that has a seat for it, in words; "" for none."""
    formable: bool = False
    """Whether ``formation.form`` gives a quorum."""
    why_not: str = ""
    """Why it does not."""
    searched: int = 0
    """Seconds since it began to look for a quorum."""
    shards: int = 0
    """Data shards that it holds."""
    storage: int = 0
    """Bytes that it could give to shards."""
    shard_bytes: int = 1
    verifiers: int = 0
    """Other nodes that verify."""
    providers: int = 0
    """Other nodes that serve data."""
    times: QuorumTimes = MAINNET_TIMES


@dataclass(frozen=True, slots=True)
class Choice:
    """A mode, why in words, and what to do now."""

    mode: Mode
    why: str
    action: Action = Action.STAY


def verifiers_wanted(nodes: int) -> int:
    """Nodes that should do nothing but verify: the share of all work that audits recompute, rounded up.

    0 below 20 nodes, where every node audits beside its training.
    """
    if nodes < c.AUDIT_SHARES[0][0]:
        return 0
    work = nodes * audit_share(nodes) * c.CLAIM_AUDITORS * c.AUDIT_SEGMENTS
    return -(-work // (BPS * c.CLAIM_SEGMENTS))


def providers_wanted(nodes: int) -> int:
    """Nodes that should serve data: as many as each part of the model wants holders."""
    return wanted_replicas(nodes)


def choose(at: Situation) -> Choice:
    """The first rule that applies: forced, solo, T5, quorum, verify, data, async; idle where none can."""
    rules: tuple[Callable[[Situation], Choice | None], ...] = (
        _able,
        _forced,
        _solo,
        _slowest,
        _quorum,
        _needed,
    )
    for rule in rules:
        choice = rule(at)
        if choice is not None:
            return choice
    return _else(at, "")


def _able(at: Situation) -> Choice | None:
    if not at.staked:
        return Choice(Mode.IDLE, "the account has no active stake, so it may read and not write")
    return None


def _forced(at: Situation) -> Choice | None:
    if at.forced is None:
        return None
    if at.forced is not Mode.PIPELINE or at.in_quorum:
        return Choice(at.forced, "chosen by the operator")
    seat = _seat(at)
    if seat is not None:
        return Choice(seat.mode, f"pipeline chosen by the operator; {seat.why}", seat.action)
    return Choice(Mode.IDLE, f"pipeline chosen by the operator, but {_no_quorum(at)}", Action.FORM)


def _solo(at: Situation) -> Choice | None:
    if at.nodes > 1:
        return None
    if not at.holds:
        return Choice(Mode.IDLE, "no other node is online, and no part of the model fits the memory it gives")
    return Choice(Mode.SOLO, "no other node is online")


def _slowest(at: Situation) -> Choice | None:
    if at.tier < SLOWEST:
        return None
    speed = f"tier T{at.tier} ({at.layer_us / 1000:.0f} ms a layer) joins no quorum"
    if at.shards:
        return Choice(Mode.DATA, f"{speed}, and it holds {at.shards} shards")
    return _else(at, f"{speed}, and it holds no shards")


def _quorum(at: Situation) -> Choice | None:
    return _seat(at) if at.holds or at.in_quorum else None


def _seat(at: Situation) -> Choice | None:
    if at.in_quorum:
        return Choice(Mode.PIPELINE, f"member of {at.in_quorum}")
    if at.joinable:
        return Choice(Mode.PIPELINE, f"joins {at.joinable}", Action.JOIN)
    left = at.times.join - at.searched
    if left > 0:
        return Choice(Mode.IDLE, f"looks for a quorum to join, for {left} s more", Action.WAIT)
    if at.formable:
        return Choice(Mode.PIPELINE, "no quorum to join, so it forms one", Action.FORM)
    left += at.times.form
    if left > 0:
        return Choice(Mode.IDLE, f"cannot form a quorum yet: {_cause(at)}; tries for {left} s more", Action.WAIT)
    return None


def _needed(at: Situation) -> Choice | None:
    before = _no_quorum(at)
    wanted = verifiers_wanted(at.nodes)
    if at.verifiers < wanted and at.holds:
        return Choice(Mode.VERIFY, f"{before}; the network has {at.verifiers} of {wanted} verifiers")
    wanted = providers_wanted(at.nodes)
    if at.providers < wanted and (at.shards or at.storage >= at.shard_bytes):
        return Choice(Mode.DATA, f"{before}; the network has {at.providers} of {wanted} data providers")
    return _else(at, before)


def _else(at: Situation, before: str) -> Choice:
    """Async, the last resort of the rule; idle where even that cannot be."""
    if at.holds:
        return Choice(Mode.ASYNC, before or "nothing else is to do")
    if at.shards:
        return Choice(Mode.DATA, f"no part of the model fits the memory it gives, and it holds {at.shards} shards")
    return Choice(Mode.IDLE, "no part of the model fits the memory it gives, and it holds no shards")


def _no_quorum(at: Situation) -> str:
    return f"no quorum: {_cause(at)}"


def _cause(at: Situation) -> str:
    if not at.holds:
        return "no part of the model fits the memory it gives"
    return at.why_not or "no other node offers a seat"
