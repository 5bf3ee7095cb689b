"""How many claims are audited: all of them in a small network, where it is cheap, few in a large one."""

from economics import constants as c
from economics.units import BPS, BasisPoints


def audit_share(nodes: int) -> BasisPoints:
    """Share of claims to audit in a network of ``nodes``."""
    for below, share in c.AUDIT_SHARES:
        if nodes < below:
            return share
    return c.AUDIT_SHARE_LARGE


def audited_claims(claims: int, nodes: int) -> int:
    """Claims of a round to audit, rounded up: a round with a claim has an audit."""
    return -(-claims * audit_share(nodes) // BPS)


def is_drawn(draw: int, nodes: int) -> bool:
    """Whether one claim is audited, from ``draw``: an integer that is uniform and known only after the commitment."""
    return draw % BPS < audit_share(nodes)
