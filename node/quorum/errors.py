"""What can keep a quorum from forming or end it."""

from __future__ import annotations

from node.errors import PeerError


class QuorumError(PeerError):
    """A quorum did not come to be, or ended before its time."""


class RefusedError(QuorumError):
    """A peer will not take part; ``code`` is its reason as a number of Refusal.Code, ``peer`` its id."""

    def __init__(self, peer: str, code: int, reason: str) -> None:
        super().__init__(f"{peer} refused: {reason}", "The node proposes another quorum without it.")
        self.peer, self.code = peer, code


class ConsentError(QuorumError):
    """A consent is not signed by the seat's account, or is for another plan."""


class GivenUpError(QuorumError):
    """This node itself goes no further with a round; it is not begun again over new links."""
