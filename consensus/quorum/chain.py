"""The shortest pipeline: found where there is one, which the greedy choice does not promise."""

from collections.abc import Sequence

from consensus.quorum.covering import Holder, quickest_first
from consensus.quorum.placing import is_cut
from economics.constants import QUORUM_MEMBERS_MAX

_Line = tuple[int, int, tuple[Holder, ...]]
"""Members, their latencies' sum, and who they are in pipeline order."""


def shortest(first: Holder, candidates: Sequence[Holder], parts: int) -> tuple[Holder, ...] | None:
    """The fewest nodes around ``first`` that can be placed as a pipeline, among those the quickest; None for none.

    Dynamic programming over the order in which ``placing.place`` takes members: nobody else of a range helps where its
    quickest holder does not. At most distinct ranges × parts² steps.
    """
    able = [(queue[0], held) for held, queue in quickest_first(candidates).items()]
    lines: dict[int, _Line] = {0: (0, 0, ())}
    for holder in sorted([*able, first], key=lambda one: (one[1], one[0].account)):
        longer = _with(lines, holder, parts)
        if holder == first:
            lines = longer  # it has its seat
            continue
        for at, line in longer.items():
            lines[at] = min(lines.get(at, line), line, key=_rank)
    found = lines.get(parts)
    return None if found is None else found[2]


def _with(lines: dict[int, _Line], holder: Holder, parts: int) -> dict[int, _Line]:
    """The lines that go on with one more member, by the parts that they cover."""
    peer, held = holder
    longer: dict[int, _Line] = {}
    for start, (members, latency, line) in lines.items():
        if start not in held or members == QUORUM_MEMBERS_MAX:
            continue
        more = (members + 1, latency + peer.latency_us, (*line, holder))
        for stop in range(start + 1, held.stop + 1):
            if is_cut(stop, parts):
                longer[stop] = min(longer.get(stop, more), more, key=_rank)
    return longer


def _rank(line: _Line) -> tuple[int, int, list[bytes]]:
    return line[0], line[1], [peer.account for peer, _ in line[2]]
