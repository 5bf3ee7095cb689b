"""How a quorum is agreed on: one proposes, every seat consents with its account's signature, then all start or none.

Two rounds over one stream a seat, as in two-phase commit, and between them the session begins on chain with all
consents. A consent binds its signer only together with everybody else's: whoever holds fewer than all of them holds
nothing. A seat that consented and hears no outcome within ``OUTCOME_SECONDS`` is free to consent to another plan; it
asks nobody, and where the session was begun all the same, the chain frees its bond when that is over. Where the outcome
reaches only some, those find no neighbours and leave when the first round's links do not come up.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol

from consensus.errors import ConsensusError
from node.errors import PonwError
from node.logs import get_logger
from node.net.frames import FrameError, FrameSocket, SilentError
from node.net.hotkey import peer_text
from node.net.wire.common_pb2 import Refusal
from node.net.wire.quorum_pb2 import Consent, Outcome, Ready, Reply, Start
from node.net.wire.quorum_pb2 import Plan as PlanMessage
from node.quorum.errors import ConsentError, QuorumError, RefusedError
from node.quorum.plan import Plan, PlanError

log = get_logger("quorum")
PROTOCOL: Final = "/ponw/quorum/1"
ANSWER_SECONDS: Final = 10.0
"""For a peer to be reached, and again for it to answer a proposal."""
OUTCOME_SECONDS: Final = 90.0
"""For the outcome to reach a seat that has consented: as long as a proposer may need for all other seats and for the
transaction that begins the session, and more."""
MESSAGE_BYTES: Final = 8 << 10
_REASON: Final = 400

Objection = tuple["Refusal.Code.ValueType", str]


class Dialer(Protocol):
    """The part of the peer network that opens a stream. Peers are named as it names them, in base58."""

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        """A connected stream to a peer; raises PonwError."""


class Signer(Protocol):
    """A seat's account: signs and checks consents, and knows the sessions on chain that they begin."""

    def consent(self, plan: Plan) -> bytes:
        """65 bytes, by this node's own account."""

    def signed_by(self, plan: Plan, signature: bytes) -> bytes:
        """The 20-byte account that signed; raises ConsentError where none did."""

    def nonce(self) -> int:
        """Sessions that this account has begun as leader. Raises PonwError."""

    def objection(self, plan: Plan) -> Objection | None:
        """Why the chain would refuse the session; None where it would not. Raises PonwError."""

    def register(self, plan: Plan, consents: tuple[bytes, ...]) -> int:
        """Begin the session of a plan that all have signed; its number. Raises QuorumError."""

    def confirm(self, plan: Plan, session: int) -> None:
        """Raises ConsentError unless the session of that number is the plan's, PonwError where it cannot tell."""


class _Line:
    """One stream, and the frames on it."""

    def __init__(self, stream: socket.socket, peer: str) -> None:
        self.peer, self._stream = peer, stream
        self.frames = FrameSocket(stream, peer)

    def close(self) -> None:
        self._stream.close()


def propose(plan: Plan, me: bytes, dialer: Dialer, signer: Signer) -> int:
    """Win every seat's consent, begin the session on chain, and start the quorum; the session's number.

    Raises:
        RefusedError: a seat will not. QuorumError: one could not be reached, or signed something else, or the chain
        refused the session. Whoever had consented is told that nothing comes of it.
    """
    accounts = plan.proposal.accounts
    others = [(account, peer_text(peer)) for account, peer in zip(accounts, plan.peers, strict=True) if account != me]
    lines: dict[bytes, _Line] = {}
    try:
        with ThreadPoolExecutor(max(1, len(others)), "propose") as pool:
            for _ in pool.map(lambda other: _reach(other[0], other[1], dialer, lines), others):
                pass
            signed = dict(zip(lines, pool.map(lambda a: _ask(plan, a, lines[a], signer), lines), strict=True))
            signed[me] = signer.consent(plan)
            consents = tuple(signed[account] for account in accounts)
            session = signer.register(plan, consents)
            for _ in pool.map(lambda line: _start(plan, consents, session, line), lines.values()):
                pass
    except QuorumError as error:
        _abort(lines.values(), error)
        raise
    finally:
        for line in lines.values():
            line.close()
    return session


def _reach(account: bytes, peer: str, dialer: Dialer, lines: dict[bytes, _Line]) -> None:
    try:
        lines[account] = _Line(dialer.dial(peer, PROTOCOL, ANSWER_SECONDS), peer)
    except PonwError as error:
        raise QuorumError(f"{peer}: {error.message}", "The node proposes a quorum without it.") from error


def _ask(plan: Plan, account: bytes, line: _Line, signer: Signer) -> bytes:
    with _talking():
        line.frames.send(plan.message(), ANSWER_SECONDS)
        reply = line.frames.receive(Reply, MESSAGE_BYTES, ANSWER_SECONDS)
    if reply.WhichOneof("answer") == "refusal":
        raise RefusedError(line.peer, reply.refusal.code, reply.refusal.reason[:_REASON])
    _check(plan, account, reply.consent, signer)
    return bytes(reply.consent.signature)


def _check(plan: Plan, account: bytes, consent: Consent, signer: Signer) -> None:
    if consent.plan != plan.digest or signer.signed_by(plan, consent.signature) != account:
        raise ConsentError(f"0x{account.hex()} did not consent to this quorum.", "The node proposes one without it.")


def _start(plan: Plan, consents: Sequence[bytes], session: int, line: _Line) -> None:
    start = Start(plan=plan.digest, signatures=consents, session=session)
    with _talking():
        line.frames.send(Outcome(start=start), ANSWER_SECONDS)
        ready = line.frames.receive(Ready, MESSAGE_BYTES, ANSWER_SECONDS)
    if ready.plan != plan.digest:
        raise QuorumError(f"{line.peer} is ready for another quorum.", "The node proposes one without it.")


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except (FrameError, SilentError) as error:
        raise QuorumError(error.message, error.hint) from error


def _abort(lines: Iterable[_Line], error: QuorumError) -> None:
    for line in lines:
        try:
            line.frames.send(Outcome(abort=Refusal(code=Refusal.NOT_FOUND, reason=error.message[:_REASON])), 1.0)
        except SilentError as gone:  # it may be the very one that is away
            log.debug("a peer could not be told", peer=line.peer, reason=gone.message)


class Seats:
    """The other side: answers proposals one at a time, and hands on the quorum that came to be.

    ``judge``: None where this node takes part in a plan, else why not. ``blame``: told (peer, why) of malformed bytes.
    Streams may be answered in several threads.
    """

    def __init__(
        self,
        me: bytes,
        signer: Signer,
        judge: Callable[[Plan], Objection | None],
        started: Callable[[Plan, int], None],
        blame: Callable[[str, str], None] = lambda peer, why: None,
    ) -> None:
        self._me, self._signer, self._judge, self._started = me, signer, judge, started
        self._blame = blame
        self._busy = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether this node proposes, or answers a proposal, right now."""
        return self._busy.locked()

    @contextmanager
    def proposing(self) -> Iterator[bool]:
        """While this node proposes, it refuses others' plans; False where it is just answering one."""
        free = self._busy.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._busy.release()

    def answer(self, stream: socket.socket, peer: str) -> None:
        """Serve one proposal on a stream, and close it. A peer's mistake ends in a refusal or a log line."""
        line = _Line(stream, peer)
        try:
            self._answer(line)
        except FrameError as error:
            self._blame(peer, error.message)
            log.info("a proposal came to nothing", peer=peer, reason=error.message)
        except (PonwError, ConsensusError) as error:  # it breaks off, is malformed or given up; or the chain is silent
            log.info("a proposal came to nothing", peer=peer, reason=error.message)
        finally:
            line.close()

    def _answer(self, line: _Line) -> None:
        message = line.frames.receive(PlanMessage, MESSAGE_BYTES, ANSWER_SECONDS)
        try:
            plan = Plan.of(message)
        except PlanError as error:
            self._blame(line.peer, error.message)
            _refuse(line, Refusal.MALFORMED, error.message)
            return
        with self.proposing() as free:
            refusal = self._objection(plan, line.peer) if free else (Refusal.BUSY, "another proposal is under way")
            if refusal is None:
                self._consent(plan, line)
            else:
                _refuse(line, *refusal)

    def _objection(self, plan: Plan, peer: str) -> Objection | None:
        leader, seat = plan.seat_of(plan.leader), plan.seat_of(self._me)
        if leader is None or peer_text(plan.peers[leader]) != peer:
            return Refusal.NOT_STAKED, "a quorum is proposed by its leader"
        if seat is None:
            return Refusal.OTHER_QUORUM, "this node has no seat in it"
        return self._judge(plan) or self._signer.objection(plan)

    def _consent(self, plan: Plan, line: _Line) -> None:
        consent = Consent(plan=plan.digest, signature=self._signer.consent(plan))
        line.frames.send(Reply(consent=consent), ANSWER_SECONDS)
        outcome = line.frames.receive(Outcome, MESSAGE_BYTES, OUTCOME_SECONDS)
        if outcome.WhichOneof("what") != "start":
            raise QuorumError(f"{line.peer} gave it up: {outcome.abort.reason[:_REASON]}")
        start = outcome.start
        if start.plan != plan.digest or len(start.signatures) != len(plan.peers):
            raise ConsentError(f"{line.peer} started another quorum than it proposed")
        for account, signature in zip(plan.proposal.accounts, start.signatures, strict=True):
            _check(plan, account, Consent(plan=plan.digest, signature=signature), self._signer)
        self._signer.confirm(plan, start.session)
        self._started(plan, start.session)
        line.frames.send(Ready(plan=plan.digest), ANSWER_SECONDS)


def _refuse(line: _Line, code: Refusal.Code.ValueType, reason: str) -> None:
    line.frames.send(Reply(refusal=Refusal(code=code, reason=reason[:_REASON])), ANSWER_SECONDS)
