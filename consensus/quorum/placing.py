"""Which part of its range each member of a quorum runs: a split that keeps the slowest stage as fast as it can be."""

from collections.abc import Sequence

from consensus.quorum.capacity import Layout
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer


def stage_time(peer: Peer, span: Span, layout: Layout) -> int:
    """Time of one stage in microseconds times basis points of a layer: compute of its parts."""
    return max(1, peer.layer_us) * layout.work_of(span)


def is_cut(part: int, parts: int) -> bool:
    """Whether a stage may end before ``part``: embedding or head alone is none."""
    return part not in {1, parts - 1}


def place(members: Sequence[tuple[Peer, Span]], layout: Layout) -> list[tuple[Peer, Span]] | None:
    """Split the model among all members, in pipeline order; None where they cannot cover it with a part for each.

    ``members``: each with the range that it may run. They are put in the order of their ranges; then dynamic
    programming over (members used, parts covered) finds the split with the smallest slowest stage, and among equals
    the one whose cuts come first. At most members × parts² steps.
    """
    order = sorted(members, key=lambda member: (member[1], member[0].account))
    # best[p]: (slowest stage, cuts) of the members so far over the first p parts.
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for peer, held in order:
        reached: dict[int, tuple[int, tuple[int, ...]]] = {}
        for start, (slowest, cuts) in best.items():
            if start not in held:
                continue
            for stop in range(start + 1, held.stop + 1):
                if not is_cut(stop, layout.parts):
                    continue
                found = (max(slowest, stage_time(peer, Span(start, stop), layout)), (*cuts, stop))
                if stop not in reached or found < reached[stop]:
                    reached[stop] = found
        best = reached
    if layout.parts not in best:
        return None
    placed, start = [], 0
    for (peer, _), stop in zip(order, best[layout.parts][1], strict=True):
        placed.append((peer, Span(start, stop)))
        start = stop
    return placed
