"""A member of the cohort, round after round: its update goes out, the outcome comes, the outer step is taken, and the
root is compared. `Cohort` is used by the training thread; what serves others runs beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from torch import Tensor

from consensus.aggregation.compression import Codec
from consensus.model.config import ModelConfig
from consensus.quorum.parts import Span, part_count
from consensus.training.outer import GlobalState, outer_step
from economics.constants import MAX_CLAIMS
from node.cohort import leaves
from node.cohort.catchup import CatchUp
from node.cohort.contribution import VERSION, Opening, Rules, complete, names_of, source_of, weight_of
from node.cohort.deciding import BehindError, Deadlines, Decides, Voting
from node.cohort.errors import CohortError, NotSettledError
from node.cohort.exchange import Exchange
from node.cohort.faults import Faults
from node.cohort.inbox import Inbox
from node.cohort.log import Log
from node.cohort.outbox import Outbox, Pending
from node.cohort.sealing import Seals
from node.cohort.settling import digest_of
from node.cohort.standing import Standing, StandingStore
from node.logs import get_logger
from node.net.catalogue import Catalogue
from node.net.client import Listener
from node.net.giving import TransferService
from node.net.transfer import PROTOCOL, same_versions
from node.net.wire.cohort_pb2 import Body, Contribution, Known, Outcome, StateFile
from node.net.wire.cohort_pb2 import Opening as OpeningMessage
from node.net.wire.common_pb2 import Versions
from node.quorum.census import Census
from node.quorum.plan import Plan
from node.quorum.service import PeerNet
from node.storage.tensorfile import Tensors

log = get_logger("cohort")
TRAINING: Final = ("pipeline", "async")
"""Modes in which a node contributes."""
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Place:
    """What this node takes part with. `span`: the parts it holds; `versions` without a quorum; `folder`: its own."""

    config: ModelConfig
    span: Span
    versions: Versions
    codec: Codec
    folder: Path
    deadlines: Deadlines = field(default_factory=Deadlines)


@dataclass(frozen=True)
class Settled:
    """A round that is over. `root`: of the state that the next one opens with, 32 bytes; `counted`: sources whose work
    counted, with its base and integer weight; `seconds` since this node's update went out."""

    number: int
    root: bytes
    counted: tuple[tuple[bytes, int, int], ...]
    seconds: float


class Cohort:
    """Runs within the block; `start`: where the network begins, unless a later standing is on disk. `decides`: from the
    messages that came, what decides rounds; without it the voters do."""

    def __init__(
        self,
        place: Place,
        net: PeerNet,
        census: Census,
        seals: Seals,
        start: Standing,
        ban: Callable[[bytes, str], None],
        now: Callable[[], int],
        decides: Callable[[Log], Decides] | None = None,
    ) -> None:
        self.place, self._net, self._census, self._seals, self._now = place, net, census, seals, now
        self._shapes = names_of(place.config, place.span)
        # What was kept for other parts fits no more: with new parts a node catches up.
        folder = place.folder / f"parts-{place.span.start}-{place.span.stop}"
        self._store = StandingStore(folder, self._shapes)
        self.standing = self._store.load() or start
        self.outbox = Outbox(folder / "outbox", self._shapes, place.codec)
        self.faults = Faults(ban, now)
        self._catalogue, self._file = Catalogue(), StateFile()
        self._openings: dict[int, Opening] = self.standing.openings
        messages = Log()
        self._exchange = Exchange(net, seals, place.versions, messages, self.faults, self._taken, self._describe)
        rules = Rules(place.config, place.versions, self._opening)
        self._inbox = Inbox(
            rules, place.span, messages, self.faults, self._catalogue, net, place.versions, self._providers
        )
        self._decides: Decides = Voting(
            self._exchange,
            seals,
            place.span,
            folder,
            self._online,
            self._training,
            self._silent,
            self._members,
            place.deadlines,
            now,
        )
        if decides is not None:
            self._decides = decides(messages)
        self._behind = CatchUp(place.config, place.span, self._exchange, net, place.versions, folder / "fetched")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        listener: Listener = self._net.listen(PROTOCOL)  # type: ignore[assignment]
        judge = same_versions(self.place.versions)
        self._stack.callback(listener.close)
        self._stack.enter_context(TransferService(listener, self._catalogue, judge, self._blame))
        self._stand(self.standing)
        self._stack.enter_context(self._exchange)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # --- for the training thread ---

    def contribute(self, base: int, start: Tensors, end: Tensors, batches: int, plan: Plan | None = None) -> None:
        """Keep the update of a round's work, to count from the open round on. `start`, `end`: weights of own parts
        before and after; `plan`: of the quorum that trained it.

        Raises:
            CompressionError (consensus), DiskError.
        """
        update = {name: start[name] - end[name] for name in self._shapes}
        self.outbox.put(base, batches, update, plan)

    def settle(self) -> Settled:
        """See the open round through to its end, with what is in the outbox; the next round is open afterwards.

        Raises:
            BehindError: the others are further; call `catch_up`. NotSettledError, CohortError: call it again.
            RootMismatchError: this node computed another state than most. OuterStepError (consensus). DiskError.
        """
        began, standing = time.monotonic(), self.standing
        for pending in self.outbox.pending:
            self._announce(pending)
        outcome = self._decides.outcome(standing, self._inbox)
        groups = self._groups(outcome)
        state = standing.state
        if groups:
            state = outer_step(standing.state, [(weight_of(group[0]), self._update(group)) for group in groups])
        root = self._compare(outcome, state)
        counted = {(source_of(group[0]), group[0].base) for group in groups}
        self._close(standing.next(state, Opening(root, outcome.closed), tuple(outcome.voters), counted))
        mine = {one.base for one in self.outbox.pending if (self._source(one), one.base) in counted}
        self.outbox.after(mine)
        told = tuple((source_of(group[0]), group[0].base, weight_of(group[0])) for group in groups)
        return Settled(standing.number, root, told, time.monotonic() - began)

    def catch_up(self) -> bool:
        """Take the state of the round that the others are in; whether that is a later one.

        Raises:
            CohortError: nobody gives it. DiskError.
        """
        found = self._behind.standing(self.standing, self._members())
        if found.number == self.standing.number:
            return False
        log.info("caught up", round=found.number, before=self.standing.number)
        self._close(found)
        return True

    # --- a round's parts ---

    def _source(self, pending: Pending) -> bytes:
        plan = pending.quorum()
        return self._seals.account if plan is None else plan.id

    def _announce(self, pending: Pending) -> None:
        standing, span = self.standing, self.place.span
        base = standing.openings[pending.base]
        data = self.outbox.data(pending)
        message = Contribution(
            version=VERSION,
            versions=self.place.versions,
            round=standing.number,
            base=pending.base,
            start_root=base.root,
            account=self._seals.account,
            first_part=span.start,
            part_count=len(span),
            batches=pending.batches,
            age=standing.opening.at - base.at,
            codec=pending.codec,
            size=len(data),
            root=self._catalogue.add_bytes(data),
            update_root=bytes.fromhex(pending.update_root),
        )
        plan = pending.quorum()
        if plan is not None:
            message.versions.quorum = plan.id
            message.quorum.CopyFrom(plan.record())
        sealed = self._exchange.seal(Body(round=standing.number, contribution=message))
        self._inbox.keep_own(sealed.body.contribution, data)
        self._exchange.say(sealed)

    def _groups(self, outcome: Outcome) -> list[list[Contribution]]:
        """Whole contributions that count, once every part that this node needs is here."""
        wanted = [bytes(one) for one in outcome.contributions]

        def here() -> bool:
            self._inbox.judge(outcome.round, self.standing.counted)
            known = all(one in self._inbox.headers for one in wanted)
            return not self._inbox.fetch(wanted) and known

        self._until(here, outcome.round, "a contribution that counts is given by nobody")
        headers = [self._inbox.headers[one] for one in wanted]
        return complete(headers, part_count(self.place.config.layers))[:MAX_CLAIMS]

    def _update(self, group: list[Contribution]) -> dict[str, Tensor]:
        ids = {id(message): one for one, message in self._inbox.headers.items()}
        update: dict[str, Tensor] = {}
        for message in group:
            if ids[id(message)] in self._inbox.held:
                update |= self._inbox.update(ids[id(message)])
        return update

    def _compare(self, outcome: Outcome, state: GlobalState) -> bytes:
        """Say what came out here, hear what the others have, and give the root of the whole."""
        standing = self.standing
        names, own, digest = sorted(self.place.config.shapes()), leaves.leaves_of(state), digest_of(outcome)
        for body in leaves.bodies(outcome.round, digest, names, own):
            self._exchange.say(self._exchange.seal(body))
        found: dict[str, bytes] = {}

        def here() -> bool:
            said = leaves.reported(self._exchange.log.of(outcome.round, "leaves"), digest, names)
            pairs = leaves.agreed(said, self._decides.holders(standing, self.place.config))
            found.update(pairs or {})
            return pairs is not None

        self._until(here, outcome.round, "most holders of a tensor have not said what they computed")
        leaves.require_own(found, own, outcome.round)
        return leaves.root_of(found)

    def _until(self, here: Callable[[], bool], number: int, what: str) -> None:
        """Poll, asking members in turn for messages that were missed.

        Raises BehindError where they are two rounds further: what is waited for, they no longer give.
        """
        end, version, turn, asked = time.monotonic() + self.place.deadlines.round, 0, 0, time.monotonic()
        while not here():
            now = time.monotonic()
            if now > end:
                raise NotSettledError(f"Round {number}: {what}.", "It is tried again.")
            members = list(self._members())
            if members and now - asked >= self.place.deadlines.ask:
                asked, turn = now, turn + 1
                if self._open_at(members[turn % len(members)], number) > number + 1:
                    raise BehindError(f"The others have left round {number} behind.", "Fetch the state they have.")
            version = self._exchange.log.wait(LOOK_SECONDS, version)

    def _open_at(self, peer: str, number: int) -> int:
        """The round that is open at a member, 0 where it does not answer; its messages of this one are noted."""
        try:
            return self._exchange.ask(peer, number).open
        except CohortError as error:
            log.info("a member was not asked", reason=error.message)
            return 0

    def _close(self, standing: Standing) -> None:
        self._store.save(standing)
        self._stand(standing)
        self._inbox.opened()

    def _stand(self, standing: Standing) -> None:
        path = self._store.state_path(standing.number)
        if not path.exists():
            self._store.save(standing)
        old, root = self._file, self._catalogue.add_file(path)
        source = self._catalogue.find(root)
        self._file = StateFile(
            first_part=self.place.span.start,
            part_count=len(self.place.span),
            root=root,
            size=0 if source is None else source.size,
        )
        self._openings = standing.openings
        self.standing = standing
        self._exchange.log.opened(standing.number)
        if old.root and old.root != root:
            self._catalogue.remove(old.root)

    # --- who is there ---

    def _opening(self, number: int) -> Opening | None:
        return self._openings.get(number)

    def _online(self) -> list[bytes]:
        return list(self._census.online())

    def _training(self) -> list[bytes]:
        return [account for account, seen in self._census.online().items() if seen.mode in TRAINING]

    def _silent(self) -> list[bytes]:
        return list(self._census.all().keys() - self._census.online().keys())

    def _members(self) -> list[str]:
        return [seen.peer for account, seen in self._census.online().items() if account != self._seals.account]

    def _taken(self, account: bytes) -> bool:
        return account in self._census.all() or account in self.standing.voters or account == self._seals.account

    def _providers(self, message: Contribution, one: bytes) -> Iterable[str]:
        """Its account first, then those who vouch for it."""
        seen = self._census.all()
        ballots = self._exchange.log.of(message.round, "ballot")
        accounts = [bytes(message.account), *(bytes(b.body.account) for b in ballots if one in b.body.ballot.held)]
        known = [account for account in dict.fromkeys(accounts) if account in seen and account != self._seals.account]
        return [seen[account].peer for account in known]

    def _describe(self) -> Known:
        standing = self.standing
        openings = [OpeningMessage(round=n, root=o.root, at=o.at) for n, o in sorted(standing.openings.items())]
        return Known(open=standing.number, openings=openings, voters=standing.voters, files=[self._file])

    def _blame(self, peer: str, what: str) -> None:
        log.warning("a peer broke a transfer", peer=peer, reason=what)
