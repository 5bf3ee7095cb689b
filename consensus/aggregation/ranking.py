"""Contributions in order of an exact figure, equals by their content: never by the place where they stand."""

from collections import Counter
from collections.abc import Sequence

from consensus.aggregation.contributions import Columns, digest


class Ranking:
    """Orders contributions; digests are taken only where figures are equal, and only once."""

    def __init__(self, parts: Columns) -> None:
        self._parts = parts
        self._digests: dict[int, bytes] = {}

    def lowest(self, figures: Sequence[int], count: int) -> list[int]:
        """Places of the ``count`` contributions with the least figures, one figure a contribution."""
        often = Counter(figures)
        return sorted(
            range(len(figures)), key=lambda at: (figures[at], self._digest(at) if often[figures[at]] > 1 else b"")
        )[:count]

    def _digest(self, at: int) -> bytes:
        if at not in self._digests:
            self._digests[at] = digest(self._parts, at)
        return self._digests[at]
