"""Audits across quorums: who recomputes a claim. Members of one quorum never audit their own."""

from collections.abc import Collection, Mapping
from typing import Final

from consensus.dispute.audit import claim_draw
from economics import constants as c
from economics.audit import is_drawn

NETWORK: Final = bytes(20)
"""Stands for the auditor in the draw that is the whole network's."""


def may_audit(auditor: bytes, claimant: bytes, quorum_of: Mapping[bytes, bytes]) -> bool:
    """Whether ``auditor`` may judge ``claimant``: not itself, and nobody of the quorum that it was in."""
    own = quorum_of.get(claimant)
    return auditor != claimant and (own is None or quorum_of.get(auditor) != own)


def is_due(
    seed: bytes, claim_hash: bytes, auditor: bytes, claimant: bytes, quorum_of: Mapping[bytes, bytes], nodes: int
) -> bool:
    """Each node draws for itself: it audits this claim with the share of its network's size.

    So a claim has share × nodes auditors on average. ``seed``: 32 bytes, known only after the commitment.
    """
    return may_audit(auditor, claimant, quorum_of) and is_drawn(claim_draw(seed, claim_hash, auditor), nodes)


def panel(
    seed: bytes,
    claim_hash: bytes,
    claimant: bytes,
    able: Collection[bytes],
    quorum_of: Mapping[bytes, bytes],
    nodes: int,
    size: int = c.CLAIM_AUDITORS,
) -> list[bytes]:
    """The auditors of one claim: nobody unless the network draws the claim, then the ``size`` with the lowest draws.

    ``able``: accounts that can audit now. In a network where all claims are drawn each of them audits. So the work
    that audits repeat is share × size, however large the network is.
    """
    if not is_drawn(claim_draw(seed, claim_hash, NETWORK), nodes):
        return []
    eligible = [account for account in able if may_audit(account, claimant, quorum_of)]
    if nodes < c.AUDIT_SHARES[0][0]:
        return sorted(eligible)
    return sorted(eligible, key=lambda account: (claim_draw(seed, claim_hash, account), account))[:size]
