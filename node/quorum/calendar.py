"""Rounds and the chain's time, as sessions are planned by them."""

from __future__ import annotations

from consensus.quorum.rounds import has_time
from node.chain.contracts import Contracts
from node.chain.types import Phase, Round


class Calendar:
    """Reads the registry. Times are the chain's, in Unix seconds; every call may raise RpcError."""

    def __init__(self, contracts: Contracts) -> None:
        self._client, self._registry = contracts.client, contracts.registry
        parameters = contracts.registry.parameters()
        self._train, self._window = parameters.train_time, parameters.window

    def now(self) -> int:
        """Time of the newest block."""
        return self._client.block().timestamp

    def current(self) -> int:
        """Number of the newest round, 0 before the first."""
        return self._registry.current_round()

    def first_round(self, starts: int, ends: int, after: int) -> int | None:
        """The first round above `after` that a session of that time has time to train; None: it is over too soon.

        Of a round that is not open yet it takes that it opens as early as it can.
        """
        number = self._registry.current_round()
        info, phase = self._registry.round_of(number), self._registry.phase_of(number)
        if phase is Phase.TRAIN and number > after and has_time(info.opened_at, info.claim_deadline, starts, ends):
            return number
        opens = self._next_opening(info, phase, starts)
        if number + 1 > after and has_time(opens, opens + self._train, starts, ends):
            return number + 1
        return None

    def _next_opening(self, info: Round, phase: Phase, now: int) -> int:
        settled = info.claim_deadline + self._window
        if phase in (Phase.NONE, Phase.CLOSED):
            return now
        if phase is Phase.OUTER_WINDOW:
            return max(now, info.outer_deadline)
        return max(now, settled) + self._window
