"""The order in which a column is sorted: compare-exchanges that do not depend on the values, so they are a program."""

from functools import cache


@cache
def exchanges(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j), i < j, that sort ``n`` values ascending when each puts the smaller at i.

    Batcher's merge exchange (Batcher 1968; Knuth, TAOCP 3, 5.2.2, algorithm M), which holds for any n: 63 pairs for 16.
    """
    top = 1
    while top * 2 < n:
        top *= 2
    pairs: list[tuple[int, int]] = []
    p = top if n > 1 else 0
    while p:
        q, r, d = top, 0, p
        while d:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = q - p, q // 2, p
        p //= 2
    return tuple(pairs)
