"""How large a quorum is and how long its session lasts, by the size of the network."""

from economics import constants as c
from economics.networks import MAINNET_TIMES, QuorumTimes


def members_min(nodes: int) -> int:
    """Least members of a quorum: 1 below 5 nodes in the network, 2 below 20, else 3."""
    for below, least in c.QUORUM_MEMBERS_MIN:
        if nodes < below:
            return least
    return c.QUORUM_MEMBERS_MIN_LARGE


def session_seconds(nodes: int, times: QuorumTimes = MAINNET_TIMES) -> int:
    """Length of a session: shorter in a small network, where the set of nodes changes its shape more."""
    return times.session_small if nodes < c.SESSION_SMALL_NODES else times.session
