"""The greedy choice: who covers the most new parts of the model for their latency."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from consensus.quorum.coverage import count_holders, uncovered
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from economics.constants import QUORUM_MEMBERS_MAX

Holder = tuple[Peer, Span]
"""A node and the range that it may run."""
_SCALE = 10**15


@dataclass(frozen=True, slots=True)
class Cover:
    """Members with the ranges that they may run, and the first part that none of them holds (None: all are held)."""

    members: tuple[Holder, ...]
    gap: int | None


def cover(first: Holder, candidates: Sequence[Holder], parts: int) -> Cover:
    """Members around ``first`` that hold the whole model, or as much of it as the greedy choice finds.

    No member's range lies strictly inside another's (a longer one is cut), so every member can be given a stretch of
    the pipeline. A cut can leave a part that only the cut-off side had: then that part is served before all others.
    """
    queues = quickest_first(candidates)
    plain = found = _greedy(first, queues, parts, ())
    served: list[int] = []
    while found.gap is not None:
        if found.gap in served:
            return plain
        served.append(found.gap)
        found = _greedy(first, queues, parts, served)
    return found


def pieces(held: Span, members: Sequence[Holder]) -> list[Span]:
    """The longest stretches of a range that have no member's range strictly inside, longest first."""
    found = {held}
    for _, member in members:
        inside = {span for span in found if span.start < member.start and member.stop < span.stop}
        cut = {Span(span.start, member.stop) for span in inside} | {Span(member.start, span.stop) for span in inside}
        found = found - inside | cut
    return sorted(found, key=lambda span: (-len(span), span))


def _greedy(first: Holder, quickest: dict[Span, list[Peer]], parts: int, served: Sequence[int]) -> Cover:
    chosen, queues = [first], {held: list(queue) for held, queue in quickest.items()}
    missing = [part not in first[1] for part in range(parts)]
    while any(missing) and len(chosen) < QUORUM_MEMBERS_MAX:
        must = next((part for part in served if missing[part]), None)
        best = _best(queues, chosen, list(accumulate(missing, initial=0)), must)
        if best is None:
            break
        chosen.append((best.peer, best.span))
        missing = [still and part not in best.span for part, still in enumerate(missing)]
        queues[best.held].pop(0)
        if not queues[best.held]:
            del queues[best.held]
    gaps = uncovered(count_holders((span for _, span in chosen), parts))
    return Cover(tuple(chosen), gaps[0] if gaps else None)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What one node adds: ``score`` is new parts over latency, ``span`` the stretch of ``held`` that it would run."""

    score: int
    peer: Peer
    held: Span
    span: Span

    @property
    def rank(self) -> tuple[int, bytes]:
        """Among equals the first by account bytes."""
        return self.score, bytes(255 - byte for byte in self.peer.account)


def _best(
    queues: dict[Span, list[Peer]], members: Sequence[Holder], missing: Sequence[int], must: int | None
) -> _Offer | None:
    """The best offer; with ``must``, of those with that part. ``missing[i]``: parts below i that nobody holds yet."""
    best: _Offer | None = None
    for held, queue in queues.items():
        peer = queue[0]
        most = (missing[held.stop] - missing[held.start]) * _SCALE // peer.latency_us
        if most == 0 or (must is not None and must not in held) or (best is not None and most < best.score):
            continue
        fitting = (span for span in pieces(held, members) if must is None or must in span)
        span = max(fitting, key=lambda one: missing[one.stop] - missing[one.start])
        offer = _Offer((missing[span.stop] - missing[span.start]) * _SCALE // peer.latency_us, peer, held, span)
        if offer.score and (best is None or offer.rank > best.rank):
            best = offer
    return best


def quickest_first(candidates: Sequence[Holder]) -> dict[Span, list[Peer]]:
    """Nodes that hold the same differ in latency only, so of each range just the quickest need be looked at."""
    queues: dict[Span, list[Peer]] = {}
    for peer, held in sorted(candidates, key=lambda one: (one[1], one[0].latency_us, one[0].account)):
        queues.setdefault(held, []).append(peer)
    return queues
