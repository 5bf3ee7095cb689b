"""What can go wrong between a volunteer and a gateway."""

from __future__ import annotations

from node.errors import ConfigError, ExitCode, PonwError


class GatewayUrlError(ConfigError):
    """What was given as the gateway's address is none."""


class VolunteerError(PonwError):
    """Base of the failures of volunteering."""

    exit_code = ExitCode.PEER


class GatewayDownError(VolunteerError):
    """No answer, or one that asks to come again; `retry_after` in seconds where the gateway named it. `answered`:
    whether it was an answer."""

    def __init__(
        self, message: str, hint: str = "", *, retry_after: float | None = None, answered: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.retry_after, self.answered = retry_after, answered


class RefusedError(VolunteerError):
    """The gateway refuses: asking again as it is would not help. `code` is of the gateway's catalogue."""

    def __init__(self, message: str, hint: str = "", *, status: int = 0, code: str = "") -> None:
        super().__init__(message, hint)
        self.status, self.code = status, code


class NoWorkError(GatewayDownError):
    """The gateway has no batch for now."""


class AnswerError(VolunteerError):
    """The gateway answers with something that the contract does not have: malformed, too large, of another hash."""


class LeaseLostError(VolunteerError):
    """The batch is somebody else's now; what was done of it is dropped."""


class TooLargeError(VolunteerError):
    """The model does not fit this machine."""


class BusyHomeError(VolunteerError):
    """Another process volunteers from the same folder."""


class StoppedError(VolunteerError):
    """The owner wants it to stop now; everything is on disk."""

    exit_code = ExitCode.INTERRUPTED


class WishChangedError(VolunteerError):
    """A button was pressed while nothing but waiting was under way."""
