"""Who holds which part, how many should, and how scarce each part is."""

from collections.abc import Iterable, Sequence

from consensus.quorum.parts import Span, is_edge
from economics import constants as c
from economics.units import BPS, WAD, Wad


def wanted_replicas(nodes: int) -> int:
    """Holders that each part should have in a network of ``nodes``: 1 below 5, 2 below 20, else 3."""
    for below, replicas in c.GROWTH_REPLICAS:
        if nodes < below:
            return replicas
    return c.GROWTH_REPLICAS_LARGE


def count_holders(spans: Iterable[Span], parts: int) -> list[int]:
    """Holders of each part; what a span holds beyond the model is not counted."""
    steps = [0] * (parts + 1)
    for span in spans:
        if span.start < parts:
            steps[span.start] += 1
            steps[min(span.stop, parts)] -= 1
    counts, held = [], 0
    for step in steps[:parts]:
        held += step
        counts.append(held)
    return counts


def scarcity(holders: int, target: int, edge: bool) -> Wad:
    """(target - holders) / target, never below 0; times 1.5 for embedding and head; at most 1. In units of 1e-18.

    Raises ValueError for a target below 1.
    """
    if target < 1:
        raise ValueError("every part wants one holder at least")
    missing = WAD * max(0, target - holders) // target
    return Wad(min(WAD, missing * c.SCARCITY_EDGE // BPS if edge else missing))


def scarcities(counts: Sequence[int], nodes: int) -> list[Wad]:
    """Scarcity of each part of a network of ``nodes`` whose parts have so many holders."""
    target, parts = wanted_replicas(nodes), len(counts)
    return [scarcity(held, target, is_edge(part, parts)) for part, held in enumerate(counts)]


def span_scarcity(span: Span, scarce: Sequence[Wad]) -> Wad:
    """Mean scarcity of the parts held, rounded down: what the reward of a claim takes (``economics.rewards``)."""
    return Wad(sum(scarce[part] for part in span.parts()) // len(span))


def uncovered(counts: Sequence[int]) -> list[int]:
    """Parts that nobody holds."""
    return [part for part, held in enumerate(counts) if held == 0]


def is_covered(spans: Iterable[Span], parts: int) -> bool:
    """Whether the spans hold every part of the model between them."""
    return not uncovered(count_holders(spans, parts))
