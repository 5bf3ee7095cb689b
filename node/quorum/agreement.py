"""How a quorum is agreed on: one proposes, every seat consents with its account's signature, then all start or none.

Two rounds over one stream a seat, as in two-phase commit. A consent binds its signer only together with everybody
else's: whoever holds fewer than all of them holds nothing. A seat that consented and hears no outcome within
``OUTCOME_SECONDS`` is free again; it asks nobody.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol

from node.errors import PeerError
from node.logs import get_logger
from node.net.frames import Framed, FrameError
from node.net.wire import common_pb2, quorum_pb2
from node.quorum.errors import ConsentError, QuorumError, RefusedError
from node.quorum.plan import Plan, PlanError, Seat

log = get_logger("quorum")
PROTOCOL: Final = "/ponw/quorum/1"
ANSWER_SECONDS: Final = 10.0
"""For a peer to be reached, and again for it to answer a proposal."""
OUTCOME_SECONDS: Final = 40.0
"""For the outcome to reach a seat that has consented: as long as a proposer may need for all other seats, and more."""
_REASON_CHARACTERS: Final = 400

Refusal = common_pb2.Refusal


class Dialer(Protocol):
    """The part of the peer network that opens a stream."""

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        """A connected stream to a peer; raises PeerError."""


class Signer(Protocol):
    """A seat's account: signs and checks consents."""

    def consent(self, plan: Plan) -> bytes:
        """65 bytes, by this node's own account."""

    def signed_by(self, plan: Plan, signature: bytes) -> bytes:
        """The 20-byte account that signed; raises ConsentError where none did."""


def propose(plan: Plan, me: bytes, dialer: Dialer, signer: Signer) -> tuple[bytes, ...]:
    """Win every seat's consent and start the quorum; the consents in the order of the seats.

    Raises:
        RefusedError: a seat will not. QuorumError: one could not be reached, or signed something else. Whoever had
        consented is told that nothing comes of it.
    """
    others = [seat for seat in plan.seats if seat.account != me]
    lines: dict[bytes, Framed] = {}
    try:
        with ThreadPoolExecutor(max(1, len(others)), "propose") as pool:
            for _ in pool.map(lambda seat: _reach(seat, dialer, lines), others):
                pass
            signed = dict(zip(lines, pool.map(lambda a: _ask(plan, a, lines[a], signer), lines), strict=True))
            signed[me] = signer.consent(plan)
            consents = tuple(signed[seat.account] for seat in plan.seats)
            for _ in pool.map(lambda line: _start(plan, consents, line), lines.values()):
                pass
    except QuorumError as error:
        _abort(lines.values(), error)
        raise
    finally:
        for line in lines.values():
            line.close()
    return consents


def _reach(seat: Seat, dialer: Dialer, lines: dict[bytes, Framed]) -> None:
    try:
        lines[seat.account] = Framed(dialer.dial(seat.peer, PROTOCOL, ANSWER_SECONDS), seat.peer)
    except PeerError as error:
        raise QuorumError(f"{seat.peer}: {error.message}", "The node proposes a quorum without it.") from error


def _ask(plan: Plan, account: bytes, line: Framed, signer: Signer) -> bytes:
    try:
        line.send(plan.message(), ANSWER_SECONDS)
        reply = line.receive(quorum_pb2.Reply, ANSWER_SECONDS)
    except FrameError as error:
        raise QuorumError(error.message, error.hint) from error
    if reply.WhichOneof("answer") == "refusal":
        raise RefusedError(line.peer, reply.refusal.code, reply.refusal.reason[:_REASON_CHARACTERS])
    _check(plan, account, reply.consent, signer)
    return bytes(reply.consent.signature)


def _check(plan: Plan, account: bytes, consent: quorum_pb2.Consent, signer: Signer) -> None:
    if consent.plan_id != plan.id or signer.signed_by(plan, consent.signature) != account:
        raise ConsentError(f"0x{account.hex()} did not consent to this quorum.", "The node proposes one without it.")


def _start(plan: Plan, consents: Sequence[bytes], line: Framed) -> None:
    try:
        start = quorum_pb2.Start(plan_id=plan.id, signatures=consents)
        line.send(quorum_pb2.Outcome(start=start), ANSWER_SECONDS)
        if line.receive(quorum_pb2.Ready, ANSWER_SECONDS).plan_id != plan.id:
            raise QuorumError(f"{line.peer} is ready for another quorum.", "The node proposes one without it.")
    except FrameError as error:
        raise QuorumError(error.message, error.hint) from error


def _abort(lines: Iterable[Framed], error: QuorumError) -> None:
    for line in lines:
        try:
            refusal = Refusal(code=Refusal.NOT_FOUND, reason=error.message[:_REASON_CHARACTERS])
            line.send(quorum_pb2.Outcome(abort=refusal), ANSWER_SECONDS)
        except FrameError as gone:  # it may be the very one that is away
            log.debug("a peer could not be told", peer=line.peer, reason=gone.message)


class Seats:
    """The other side: answers proposals one at a time, and hands on the quorum that came to be.

    ``judge``: None where this node takes part in a plan, else why not, as (code, reason).
    """

    def __init__(
        self,
        me: bytes,
        signer: Signer,
        judge: Callable[[Plan], tuple[int, str] | None],
        started: Callable[[Plan, tuple[bytes, ...]], None],
    ) -> None:
        self._me, self._signer, self._judge, self._started = me, signer, judge, started
        self._busy = threading.Lock()

    @contextmanager
    def proposing(self) -> Iterator[bool]:
        """While this node proposes, it refuses others' plans; False where it is just answering one."""
        free = self._busy.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._busy.release()

    def answer(self, connection: socket.socket, peer: str) -> None:
        """Serve one proposal on a stream, and close it. A peer's mistake ends in a refusal or a log line."""
        line = Framed(connection, peer)
        try:
            self._answer(line)
        except QuorumError as error:
            log.info("a proposal came to nothing", peer=peer, reason=error.message)
        except FrameError as error:
            log.info("a proposal broke off", peer=peer, reason=error.message)
        finally:
            line.close()

    def _answer(self, line: Framed) -> None:
        message = line.receive(quorum_pb2.Plan, ANSWER_SECONDS)
        try:
            plan = Plan.of(message)
        except PlanError as error:
            _refuse(line, Refusal.MALFORMED, error.message)
            return
        if not self._busy.acquire(blocking=False):
            _refuse(line, Refusal.BUSY, "another proposal is under way")
            return
        try:
            refusal = self._objection(plan, line.peer)
            if refusal is not None:
                _refuse(line, *refusal)
                return
            self._consent(plan, line)
        finally:
            self._busy.release()

    def _objection(self, plan: Plan, peer: str) -> tuple[int, str] | None:
        proposer = next((seat for seat in plan.seats if seat.peer == peer), None)
        if proposer is None or proposer.account != plan.leader:
            return Refusal.NOT_STAKED, "a quorum is proposed by its leader"
        if plan.seat_of(self._me) is None:
            return Refusal.OTHER_QUORUM, "this node has no seat in it"
        return self._judge(plan)

    def _consent(self, plan: Plan, line: Framed) -> None:
        consent = quorum_pb2.Consent(plan_id=plan.id, signature=self._signer.consent(plan))
        line.send(quorum_pb2.Reply(consent=consent), ANSWER_SECONDS)
        outcome = line.receive(quorum_pb2.Outcome, OUTCOME_SECONDS)
        if outcome.WhichOneof("what") != "start":
            raise QuorumError(f"{line.peer} gave it up: {outcome.abort.reason[:_REASON_CHARACTERS]}")
        start = outcome.start
        if start.plan_id != plan.id or len(start.signatures) != len(plan.seats):
            raise ConsentError(f"{line.peer} started another quorum than it proposed")
        for seat, signature in zip(plan.seats, start.signatures, strict=True):
            _check(plan, seat.account, quorum_pb2.Consent(plan_id=plan.id, signature=signature), self._signer)
        self._started(plan, tuple(start.signatures))
        line.send(quorum_pb2.Ready(plan_id=plan.id), ANSWER_SECONDS)


def _refuse(line: Framed, code: int, reason: str) -> None:
    refusal = Refusal(code=code, reason=reason[:_REASON_CHARACTERS])  # type: ignore[arg-type]
    line.send(quorum_pb2.Reply(refusal=refusal), ANSWER_SECONDS)
