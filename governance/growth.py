"""When the model gets more layers: what the network must have, and the course from an announcement to layers or none.

A rule, not a process: a course and one observation give the next course. Nodes that look at the same observations in
the same order have the same course, bit for bit, and the same words for why.
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from consensus.errors import GrowthError
from economics import constants as c
from economics.rewards import log2_q64
from economics.units import BPS, BasisPoints, Seconds, Steps
from governance.announcement import Announcement

_ONE_Q64: Final = 1 << 64
_NO_STEPS: Final = Steps(0)
_NO_TIME: Final = Seconds(0)


@dataclass(frozen=True, slots=True)
class Member:
    """What one node tells the network: speed tier 1 … 5, bytes it gives to the model, layers that it holds or is ready
    to hold. Layers count from 0; an announced layer has the number that it will have."""

    tier: int
    memory: int
    layers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Observation:
    """The network at one moment: a block's time, steps trained since the network began (of one node, not of all
    together), its members, and the bytes of one layer and of the rest of the model (embedding, head)."""

    time: Seconds
    steps: Steps
    members: tuple[Member, ...]
    layer_bytes: int
    rest_bytes: int

    def __post_init__(self) -> None:
        if self.layer_bytes < 1 or min(self.time, self.steps, self.rest_bytes, *(m.memory for m in self.members)) < 0:
            raise GrowthError("an observation has a layer of at least one byte, and nothing below zero")

    @property
    def memory(self) -> int:
        """Bytes that all members give."""
        return sum(member.memory for member in self.members)

    def holders(self, layer: int) -> list[Member]:
        """Members with this layer."""
        return [member for member in self.members if layer in member.layers]


@dataclass(frozen=True, slots=True)
class Plan:
    """A growth that is announced: decided at the first observation from ``deadline`` on."""

    growth: Announcement
    deadline: Seconds
    extensions: int = 0

    @property
    def bonus(self) -> BasisPoints:
        """What the scarcity of the announced layers counts, higher with every extension."""
        return BasisPoints(BPS + c.GROWTH_SCARCITY * self.extensions)


@dataclass(frozen=True, slots=True)
class Course:
    """Where the network stands: the version of its depth, its layers, the steps at the last upgrade or failed attempt,
    growths announced so far, the time of the newest observation, and what is announced now."""

    layers: int
    version: int = 0
    mark: Steps = _NO_STEPS
    attempts: int = 0
    time: Seconds = _NO_TIME
    plan: Plan | None = None

    def digest(self) -> bytes:
        """32 bytes that nodes can compare: sha256("ponw/course/1" ‖ 0x00 ‖ layers u16 ‖ version u32 ‖ mark u64 ‖
        attempts u32 ‖ time u64 ‖ the plan's growth hash, deadline u64 and extensions u8 if there is one), big-endian.
        """
        data = struct.pack(">HIQIQ", self.layers, self.version, self.mark, self.attempts, self.time)
        if self.plan is not None:
            data += self.plan.growth.hash() + struct.pack(">QB", self.plan.deadline, self.plan.extensions)
        return hashlib.sha256(b"ponw/course/1\x00" + data).digest()


class Turn(StrEnum):
    """What an observation led to."""

    ANNOUNCED = "announced"
    EXTENDED = "extended"
    ACTIVATED = "activated"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Event:
    """A change of course, and why."""

    turn: Turn
    time: Seconds
    growth: Announcement
    reason: str


def replicas(nodes: int) -> int:
    """Holders that every layer needs in a network of this size."""
    return next((count for below, count in c.GROWTH_REPLICAS if nodes < below), c.GROWTH_REPLICAS_LARGE)


def memory_factor(nodes: int) -> BasisPoints:
    """1.5 + 0.1 log2(nodes), rounded down; raises GrowthError without a node."""
    if nodes < 1:
        raise GrowthError("a network without a node has no memory")
    return BasisPoints(c.GROWTH_MEMORY + (log2_q64(nodes * _ONE_Q64) * c.GROWTH_MEMORY_SLOPE >> 64))


def most_added(layers: int) -> int:
    """Layers that one growth of so many may add."""
    return max(c.GROWTH_LAYERS_MIN, layers * c.GROWTH_LAYERS_SHARE // BPS)


def addable(course: Course, seen: Observation) -> int:
    """Layers that the network's memory carries beyond those there are, at most half as many; 0 where it is short."""
    if not seen.members:
        return 0
    carried = seen.memory * BPS // memory_factor(len(seen.members)) - seen.rest_bytes
    most = most_added(course.layers)
    return max(0, min(carried // seen.layer_bytes - course.layers, most))


def obstacles(course: Course, seen: Observation) -> list[str]:
    """Why no growth is announced; empty where one is."""
    found, nodes = [], len(seen.members)
    since = seen.steps - course.mark
    if since < c.GROWTH_STEPS:
        found.append(f"{since} steps since the last upgrade or attempt, of {c.GROWTH_STEPS}")
    if not nodes:
        return [*found, "no node is there"]
    model = seen.rest_bytes + course.layers * seen.layer_bytes
    needed = -(-model * memory_factor(nodes) // BPS)
    if seen.memory < needed:
        found.append(f"{seen.memory} bytes of memory, of {needed} for a model of {model} on {nodes} nodes")
    elif addable(course, seen) < c.GROWTH_LAYERS_MIN:
        found.append(f"memory for {addable(course, seen)} more layers, of at least {c.GROWTH_LAYERS_MIN}")
    found += [_short(layer, seen) for layer in range(course.layers) if len(seen.holders(layer)) < replicas(nodes)]
    return found


def missing(plan: Plan, seen: Observation) -> list[str]:
    """What the announced layers still lack."""
    found = []
    for layer in range(plan.growth.before, plan.growth.after):
        holders = seen.holders(layer)
        if len(holders) < replicas(len(seen.members)):
            found.append(_short(layer, seen))
        elif min(member.tier for member in holders) > c.GROWTH_TIER_MAX:
            found.append(f"layer {layer} has no holder of tier {c.GROWTH_TIER_MAX} or faster")
    return found


def advance(course: Course, seen: Observation) -> tuple[Course, Event | None]:
    """The course after an observation, and what changed. Raises GrowthError where time or steps run backwards."""
    if seen.time < course.time or seen.steps < course.mark:
        raise GrowthError(f"an observation at {seen.time}, step {seen.steps} comes after {course.time}, {course.mark}")
    course = replace(course, time=seen.time)
    if course.plan is None:
        return _announce(course, seen)
    if seen.time < course.plan.deadline:
        return course, None
    lacking = missing(course.plan, seen)
    if not lacking:
        return _activate(course, course.plan, seen)
    if course.plan.extensions < c.GROWTH_EXTENSIONS:
        return _extend(course, course.plan, lacking)
    ended = replace(course, plan=None, mark=seen.steps)
    reason = f"after {course.plan.extensions} extensions: {'; '.join(lacking)}"
    return ended, Event(Turn.ABORTED, seen.time, course.plan.growth, reason)


def _announce(course: Course, seen: Observation) -> tuple[Course, Event | None]:
    if obstacles(course, seen):
        return course, None
    added = addable(course, seen)
    growth = Announcement(course.attempts + 1, course.version, course.layers, course.layers + added, seen.time)
    plan = Plan(growth, Seconds(seen.time + c.GROWTH_GRACE))
    nodes = len(seen.members)
    reason = f"{seen.memory} bytes on {nodes} nodes carry {added} more layers; every layer has its {replicas(nodes)}"
    return replace(course, attempts=growth.number, plan=plan), Event(Turn.ANNOUNCED, seen.time, growth, reason)


def _extend(course: Course, plan: Plan, lacking: list[str]) -> tuple[Course, Event]:
    longer = replace(plan, deadline=Seconds(course.time + c.GROWTH_GRACE), extensions=plan.extensions + 1)
    reason = f"extension {longer.extensions} of {c.GROWTH_EXTENSIONS}: {'; '.join(lacking)}"
    return replace(course, plan=longer), Event(Turn.EXTENDED, course.time, plan.growth, reason)


def _activate(course: Course, plan: Plan, seen: Observation) -> tuple[Course, Event]:
    grown = Course(plan.growth.after, course.version + 1, seen.steps, course.attempts, seen.time)
    reason = f"layers {plan.growth.before} to {plan.growth.after - 1} have their {replicas(len(seen.members))} holders"
    return grown, Event(Turn.ACTIVATED, seen.time, plan.growth, reason)


def _short(layer: int, seen: Observation) -> str:
    return f"layer {layer} has {len(seen.holders(layer))} holders of {replicas(len(seen.members))}"
