"""What can go wrong between a payer and a server."""

from __future__ import annotations

from node.errors import PeerError


class RefusalError(PeerError):
    """A server does not answer, or does not go on; the payer is told why."""


class OfferError(PeerError):
    """A server's quote is not what was asked for, or its terms are not acceptable. Nothing was paid."""


class AnswerError(PeerError):
    """A server broke off, or sent something else than the answer that was paid for."""


class RequestFileError(PeerError):
    """The record of a paid request is missing, damaged or of another state than the step needs."""
