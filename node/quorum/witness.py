"""Members' words about a challenged step: the leader asks before it answers, each member checks before it signs.

A member answers with its bond for a trace that it has signed, and for no other. So it runs the step again itself, with
the whole model, and signs only the root that comes out. What the leader gathered is on disk: it may be needed after the
ruling.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from consensus.errors import ConsensusError
from node import paths
from node.chain.quorums import Work
from node.errors import DataError, PonwError
from node.logs import get_logger
from node.net.frames import FrameSocket
from node.net.hotkey import peer_text
from node.net.transfer import same_versions
from node.net.wire.common_pb2 import Refusal
from node.net.wire.quorum_pb2 import WorkAnswer, WorkWanted
from node.quorum.agreement import Dialer
from node.quorum.consent import address_of
from node.quorum.errors import RefusedError
from node.quorum.plan import Plan

log = get_logger("witness")
PROTOCOL: Final = "/ponw/work/1"
MESSAGE_BYTES: Final = 4 << 10
ANSWER_SECONDS: Final = 10.0
"""For a stream to come up, and for the request on it."""
SERVED_MAX: Final = 1
"""Steps checked at a time: each takes the whole model's work."""
_REASON: Final = 400
Check = Callable[[Plan, Work], str]
"""Why a member does not sign a work of its quorum's claim; "" where it is right. Raises PonwError."""


class Witness:
    """A member's side. `plan_of`: the quorum, of now or before, that a peer leads; `sign`: 65 bytes (r, s, v)."""

    def __init__(self, plan_of: Callable[[str], list[Plan]], check: Check, sign: Callable[[Work], bytes]) -> None:
        self._plan_of, self._check, self._sign = plan_of, check, sign

    def serve(self, peer: str, stream: socket.socket) -> None:
        """Answer one request, and close the stream. A peer's mistake ends in a refusal or a log line."""
        with closing(stream):
            frames = FrameSocket(stream, peer)
            try:
                wanted = frames.receive(WorkWanted, MESSAGE_BYTES, ANSWER_SECONDS)
                frames.send(self._answer(peer, wanted), ANSWER_SECONDS)
            except PonwError as error:
                log.info("no word was given about a challenged step", peer=peer, reason=error.message)

    def _answer(self, peer: str, wanted: WorkWanted) -> WorkAnswer:
        if len(wanted.claim) != 32 or len(wanted.trace) != 32:
            return _refused(Refusal.MALFORMED, "a claim and a trace have 32 bytes")
        plan = next((one for one in self._plan_of(peer) if one.id == wanted.versions.quorum), None)
        if plan is None:
            return _refused(Refusal.OTHER_QUORUM, "this node is in no such quorum of yours")
        other = same_versions(plan.versions())(wanted.versions)
        if other is not None:
            return WorkAnswer(refusal=other)
        work = Work(bytes(wanted.claim), wanted.step, bytes(wanted.trace))
        try:
            objection = self._check(plan, work)
        except (PonwError, ConsensusError) as error:
            objection = error.message
        if objection:
            claim = work.claim_hash.hex()
            log.warning("a challenged step is not signed", claim=claim, step=work.step, reason=objection)
            return _refused(Refusal.NOT_FOUND, objection)
        return WorkAnswer(signature=self._sign(work))


class Works:
    """The leader's side: gathers signatures, and finds them again. `place`: chain id and the contract's address."""

    def __init__(self, dialer: Dialer, folder: Path, place: tuple[int, str], seconds: float) -> None:
        self._dialer, self._folder, self._place, self._seconds = dialer, folder, place, seconds

    def gather(self, plan: Plan, me: bytes, work: Work) -> dict[str, str]:
        """Each other member's signature by its address, as hex; those who did not sign are left out, with a line in
        the log. Raises DiskError."""
        known = self._read(work)
        others = [(a, peer_text(p)) for a, p in zip(plan.proposal.accounts, plan.peers, strict=True) if a != me]
        missing = [(account, peer) for account, peer in others if address_of(account) not in known]
        with ThreadPoolExecutor(max(1, len(missing)), "works") as pool:
            found = pool.map(lambda one: self._ask(plan, one[0], one[1], work), missing)
        known |= {address_of(account): sig.hex() for (account, _), sig in zip(missing, found, strict=True) if sig}
        paths.write_atomic(self._path(work), json.dumps(known).encode())
        return known

    def find(self, claim_hash: bytes, digest: bytes, owner: str) -> bytes:
        """The owner's signature of the work with this digest; b"" where there is none. Raises DiskError."""
        for path in sorted(self._folder.glob(f"{claim_hash.hex()}-*.json")):
            _, step, trace = path.stem.split("-")
            work = Work(claim_hash, int(step), bytes.fromhex(trace))
            if work.digest(*self._place) == digest:
                return bytes.fromhex(self._read(work).get(owner, ""))
        return b""

    def _ask(self, plan: Plan, account: bytes, peer: str, work: Work) -> bytes:
        wanted = WorkWanted(versions=plan.versions(), claim=work.claim_hash, step=work.step, trace=work.trace)
        try:
            with closing(self._dialer.dial(peer, PROTOCOL, ANSWER_SECONDS)) as stream:
                frames = FrameSocket(stream, peer)
                frames.send(wanted, ANSWER_SECONDS)
                answer = frames.receive(WorkAnswer, MESSAGE_BYTES, self._seconds)
            if answer.WhichOneof("answer") == "refusal":
                raise RefusedError(peer, answer.refusal.code, answer.refusal.reason[:_REASON])
            if work.signer(answer.signature, *self._place) != address_of(account):
                raise RefusedError(peer, Refusal.MALFORMED, "it signed something else")
        except PonwError as error:
            # The leader then answers for that member's layers too; keeping silent would cost it as much.
            log.warning("a member signs no trace", peer=peer, step=work.step, reason=error.message)
            return b""
        return bytes(answer.signature)

    def _path(self, work: Work) -> Path:
        return self._folder / f"{work.claim_hash.hex()}-{work.step}-{work.trace.hex()}.json"

    def _read(self, work: Work) -> dict[str, str]:
        try:
            found = json.loads(paths.read_bounded(self._path(work)))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DataError(f"{self._path(work)} is damaged.", "Delete it; the members are asked again.") from error
        return {str(account): str(signature) for account, signature in dict(found).items()}


def _refused(code: Refusal.Code.ValueType, reason: str) -> WorkAnswer:
    return WorkAnswer(refusal=Refusal(code=code, reason=reason[:_REASON]))
