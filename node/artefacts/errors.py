"""What can go wrong when artefacts are fetched from a peer."""

from __future__ import annotations

from node.errors import PeerError


class PeerUriError(PeerError):
    """A peer's address is not one that artefacts may be fetched from."""


class PeerUnreachableError(PeerError):
    """A peer did not answer, or stopped in the middle, through every retry."""


class ArtefactMissingError(PeerError):
    """A peer answered that it does not have the round or the file."""


class ArtefactRefusedError(PeerError):
    """A peer answered in a way that the protocol does not know: a redirect, an error, a malformed index."""


class ArtefactSizeError(PeerError):
    """What a peer offers or sends is larger than allowed, or not of the size it announced."""


class ArtefactHashError(PeerError):
    """A file was received whole and is not the one announced."""
