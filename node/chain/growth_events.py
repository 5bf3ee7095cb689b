"""Events of the votes on growths of layers, beside those that every vote has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.chain.event import Event


@dataclass(frozen=True)
class Pledged(Event):
    """An account says that it holds, or is ready to hold, `count` new layers of growth `id` from `first` on."""

    id: int
    account: str
    first: int
    count: int
    tier: int


@dataclass(frozen=True)
class GrowthAnnounced(Event):
    """Growth `id` is decided from `deadline` on."""

    id: int
    deadline: int


@dataclass(frozen=True)
class GrowthExtended(Event):
    """`layer` of growth `id` lacks holders; it is decided from `deadline` on."""

    id: int
    extensions: int
    deadline: int
    layer: int


@dataclass(frozen=True)
class GrowthAborted(Event):
    """`layer` of growth `id` still lacked holders: it has ended."""

    id: int
    layer: int


GROWTH_EVENTS: Final[tuple[type[Event], ...]] = (Pledged, GrowthAnnounced, GrowthExtended, GrowthAborted)
