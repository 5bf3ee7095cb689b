"""What can go wrong between a request and its answer at the server itself."""

from __future__ import annotations

from node.errors import PonwError


class ContextLengthError(PonwError):
    """Prompt and answer together do not fit the model's context."""


class PromptError(PonwError):
    """The prompt is empty or has a token that the model does not know."""


class BusyError(PonwError):
    """Every place of the batch and of the queue is taken."""


class ClosedError(PonwError):
    """The service is going down and takes no request any more."""
