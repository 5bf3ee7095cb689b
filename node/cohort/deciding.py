"""Where a round's outcome comes from. By default its voters agree on it; on a chain, the final claims are it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from consensus.model.config import ModelConfig
from consensus.quorum.parts import Span
from node.cohort.contribution import names_of, span_of
from node.cohort.errors import CohortError, InvalidError, NotSettledError
from node.cohort.exchange import Exchange
from node.cohort.inbox import Inbox
from node.cohort.sealing import Seals
from node.cohort.settling import Settling
from node.cohort.standing import Standing
from node.logs import get_logger
from node.net.wire.cohort_pb2 import Body, Known, Outcome
from node.paths import private_folder, read_bounded, write_atomic

log = get_logger("cohort")
LOOK_SECONDS: Final = 0.5
"""Longest pause between two looks at what is due, while no message comes."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds.

    `collect`: from the moment that this node turned to the round until it votes with what it has; it votes at once
    where all have contributed that vote or train and are not silent. Choose the time that the slowest welcome
    contributor is behind the quickest. `view`: for a proposal to be taken, growing with each view; more than a few
    round trips with the messages' checks. `ask`: between two questions to a member for what was missed.
    `round`: from turning to the round until this node gives it up and catches up.
    """

    collect: float = 120.0
    view: float = 20.0
    ask: float = 5.0
    round: float = 900.0


Holders = dict[str, frozenset[bytes]]
"""By tensor: accounts whose word on it counts."""


class Decides(Protocol):
    """The port for a round's outcome, and for whose word on the next state counts."""

    def outcome(self, standing: Standing, inbox: Inbox) -> Outcome:
        """Which contributions count; the same for every member.

        Raises NotSettledError: it is not decided in time. BehindError: the others are in a later round.
        """

    def holders(self, standing: Standing, config: ModelConfig) -> Holders:
        """Who holds each tensor of the model in this round, as far as is known."""


class BehindError(CohortError):
    """The others have gone on to a later round; its state must be fetched."""


class Voting:
    """Outcomes by agreement of the voters (node.cohort.settling). `online`: accounts heard now, `training`: those of
    them that train, `silent`: those that are heard no more; `peers`: where members are asked. Our own messages of the
    round are on disk before they are announced, so that a restart breaks no promise.
    """

    def __init__(
        self,
        exchange: Exchange,
        seals: Seals,
        span: Span,
        folder: Path,
        online: Callable[[], Iterable[bytes]],
        training: Callable[[], Iterable[bytes]],
        silent: Callable[[], Iterable[bytes]],
        peers: Callable[[], Iterable[str]],
        deadlines: Deadlines,
        now: Callable[[], int],
    ) -> None:
        self._exchange, self._seals, self._span, self._folder = exchange, seals, span, folder
        self._online, self._training, self._silent, self._peers = online, training, silent, peers
        self._deadlines, self._now = deadlines, now

    def outcome(self, standing: Standing, inbox: Inbox) -> Outcome:
        """See ``Decides``."""
        return _Round(self, standing, inbox).run()

    def holders(self, standing: Standing, config: ModelConfig) -> Holders:
        """Voters by the parts that their ballots name."""
        found: dict[str, set[bytes]] = {name: set() for name in config.shapes()}
        for message in self._exchange.log.of(standing.number, "ballot"):
            ballot, account = message.body.ballot, bytes(message.body.account)
            if account in standing.voters and ballot.part_count:
                for name in names_of(config, Span(ballot.first_part, ballot.first_part + ballot.part_count)):
                    found[name].add(account)
        return {name: frozenset(accounts) for name, accounts in found.items()}


@dataclass
class _Round:
    """One round's agreement, driven by this thread."""

    by: Voting
    standing: Standing
    inbox: Inbox
    began: float = field(default_factory=time.monotonic)
    view_began: float = 0.0
    asked: float = float("-inf")
    _turn: int = 0
    _seen: dict[bytes, float] = field(default_factory=dict)
    """By account: when its first contribution was seen here."""

    def __post_init__(self) -> None:
        standing, by = self.standing, self.by
        self.settling = Settling(standing.number, standing.opening.at, standing.voters, by._seals.account)
        self.path = by._folder / f"said-{standing.number:010d}.bin"
        self.said = Known()
        self._resume()

    def run(self) -> Outcome:
        version = 0
        while True:
            self._take_in()
            outcome = self.settling.outcome()
            if outcome is not None:
                return outcome
            if time.monotonic() - self.began > self.by._deadlines.round:
                raise NotSettledError(
                    f"Round {self.standing.number} was not settled in {self.by._deadlines.round:g} s.",
                    "A majority of its voters is away; the node asks again.",
                )
            self._ask()
            if self.by._seals.account in self.standing.voters:
                self._vote()
            version = self.by._exchange.log.wait(LOOK_SECONDS, version)

    def _take_in(self) -> None:
        number = self.standing.number
        self.inbox.judge(number, self.standing.counted)
        self.inbox.fetch()
        # A proposal first: an acceptance of ours counts with the proposal that it is of.
        messages = self.by._exchange.log.of(number)
        for message in sorted(messages, key=lambda one: one.kind != "proposal"):
            self.settling.add(message)
        for account, what in self.settling.twice.items():
            self.by._exchange.faults.note(InvalidError(account, "twice", f"It signed {what}."))
        self.settling.twice.clear()

    def _vote(self) -> None:
        now, settling, deadlines = time.monotonic(), self.settling, self.by._deadlines
        spans = {one: span_of(message) for one, message in self.inbox.headers.items()}
        if not settling.begun and not self._all_in() and now - self.began < deadlines.collect:
            return
        if not settling.voted:
            self._pass_over()
            self.view_began = now
            self._say(settling.ballot(self.by._span, self.inbox.held, self.by._online(), self.by._now()))
        waited = now - self.view_began
        limit = deadlines.view * (settling.view + 1)
        for body in (settling.propose(spans, patient=waited < limit / 2), settling.accept(spans)):
            if body is not None:
                self._say(body)
        if waited > limit:
            settling.next_view()
            log.info("the view was not taken in time", round=self.standing.number, view=settling.view)

    def _pass_over(self) -> None:
        """Go to the first view whose proposer is not known to be silent."""
        silent = set(self.by._silent())
        for _ in self.settling.voters:
            if self.settling.proposer(self.settling.view) in silent:
                self.settling.next_view()

    def _all_in(self) -> bool:
        """Whether every voter and everyone that trains has contributed its work of this round, but for who has fallen
        silent, and what overlaps is here. A voter that was never heard may still be on its way. Who comes back with
        late work announces all that it has at once: one view's time is all that is waited for."""
        number, now = self.standing.number, time.monotonic()
        done = {bytes(m.account) for m in self.inbox.headers.values() if m.base == number}
        for message in self.inbox.headers.values():
            if now - self._seen.setdefault(bytes(message.account), now) >= self.by._deadlines.view:
                done.add(bytes(message.account))
        due = {*self.standing.voters, *self.by._training()} - set(self.by._silent())
        return due <= done and not self.inbox.missing()

    def _ask(self) -> None:
        """Ask the next member for what may have been missed."""
        now = time.monotonic()
        if now - self.asked < self.by._deadlines.ask:
            return
        self.asked = now
        peers = list(self.by._peers())
        if not peers:
            return
        self._turn += 1
        try:
            known = self.by._exchange.ask(peers[self._turn % len(peers)], self.standing.number)
        except CohortError as error:
            log.info("a member was not asked", reason=error.message)
            return
        # One round further is where we are going, too, if its messages have an outcome.
        if known.open > self.standing.number + 1:
            self._take_in()
            if self.settling.outcome() is None:
                raise BehindError(f"The others are in round {known.open}.", "The node fetches the state they have.")

    def _say(self, body: Body) -> None:
        message = self.by._exchange.seal(body)
        if message.kind == "accept":  # with what it is of, or it could not be taken up again
            proposals = self.by._exchange.log.of(self.standing.number, "proposal")
            self.said.messages.extend(p.signed for p in proposals if p.signed not in self.said.messages)
        self.said.messages.append(message.signed)
        private_folder(self.by._folder)
        write_atomic(self.path, self.said.SerializeToString())
        self.by._exchange.say(message)
        self.settling.add(message)

    def _resume(self) -> None:
        for old in sorted(self.by._folder.glob("said-*.bin"))[:-2]:
            if old != self.path:
                old.unlink(missing_ok=True)
        try:
            self.said = Known.FromString(read_bounded(self.path))
        except FileNotFoundError:
            return
        except DecodeError as error:
            raise CohortError(f"{self.path} is damaged.", "Remove it once the round is over.") from error
        for signed in self.said.messages:
            message = self.by._seals.open(signed)
            self.by._exchange.log.add(message)
            self.settling.add(message)
