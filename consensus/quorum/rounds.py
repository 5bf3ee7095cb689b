"""Which rounds a session trains: those in which it has time for one claim."""


def has_time(opened: int, deadline: int, starts: int, ends: int) -> bool:
    """Whether a session from ``starts`` to ``ends`` trains the round that opened and takes claims until ``deadline``.

    It does where the two have at least half of the shorter one in common: rounds and sessions are about as long, and
    neither begins when the other does. All in Unix seconds.
    """
    common = min(deadline, ends) - max(opened, starts)
    return common > 0 and 2 * common >= min(deadline - opened, ends - starts)
