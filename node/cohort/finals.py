"""Outcomes from a chain: what counts in a round are the contributions that its final claims name by their updates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from consensus.model.config import ModelConfig
from node.cohort.deciding import LOOK_SECONDS, Holders
from node.cohort.errors import NotSettledError
from node.cohort.inbox import Inbox
from node.cohort.log import Log
from node.cohort.standing import Standing
from node.net.wire.cohort_pb2 import Outcome


@dataclass(frozen=True)
class Finals:
    """A round's final claims. `updates`: their update roots, 32 bytes each; `closed`: Unix seconds of the block in
    which the round was closed."""

    updates: tuple[bytes, ...]
    closed: int


class ByFinals:
    """`finals` gives a round's, or None while they are not all final; it and every header must come within `seconds`.

    A claim names the update of a whole model, so these are contributions of nodes that hold one. Who said its leaves is
    a holder; that they are right, the outer claim says.
    """

    def __init__(self, messages: Log, finals: Callable[[int], Finals | None], seconds: float) -> None:
        self._log, self._finals, self._seconds = messages, finals, seconds

    def outcome(self, standing: Standing, inbox: Inbox) -> Outcome:
        """See ``Decides``."""
        end, version = time.monotonic() + self._seconds, 0
        while time.monotonic() < end:
            inbox.judge(standing.number, standing.counted)
            inbox.fetch()
            finals = self._finals(standing.number)
            named = {bytes(message.update_root): one for one, message in inbox.headers.items()}
            if finals is not None and set(finals.updates) <= named.keys():
                counted = sorted(named[root] for root in finals.updates)
                return Outcome(
                    round=standing.number, contributions=counted, voters=standing.voters, closed=finals.closed
                )
            version = self._log.wait(LOOK_SECONDS, version)
        raise NotSettledError(
            f"The final claims of round {standing.number}, or what they name, are not here after {self._seconds:g} s.",
            "It is tried again.",
        )

    def holders(self, standing: Standing, config: ModelConfig) -> Holders:
        """See ``Decides``."""
        said = frozenset(bytes(message.body.account) for message in self._log.of(standing.number, "leaves"))
        return dict.fromkeys(config.shapes(), said)
