"""How messages of a cohort travel: announced to everyone, and asked for again by whoever missed some.

Announcements are quick and may be lost; an answer on /ponw/cohort/1 is everything that a member knows of a round. A
message counts by its account's signature, whoever passes it on.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Final, Self

from google.protobuf.message import DecodeError

from node.cohort.errors import CohortError, InvalidError
from node.cohort.faults import Faults
from node.cohort.log import Log
from node.cohort.sealing import Sealed, Seals
from node.errors import PonwError
from node.logs import get_logger
from node.net.accepting import accept_each
from node.net.frames import FrameError, FrameSocket, SilentError
from node.net.transfer import same_versions
from node.net.wire.cohort_pb2 import Answer, Ask, Body, Known, Signed
from node.net.wire.common_pb2 import Versions
from node.quorum.service import PeerNet

log = get_logger("cohort")
TOPIC: Final = "cohort"
PROTOCOL: Final = "/ponw/cohort/1"
ASK_BYTES: Final = 1 << 10
ANSWER_BYTES: Final = 1 << 20
MESSAGES_BYTES: Final = ANSWER_BYTES - (64 << 10)
TALK_SECONDS: Final = 10.0
"""For a member to be reached, and again to answer."""
HEAR_SECONDS: Final = 1.0


class Exchange:
    """Runs within the block. `taken`: whether an account is staked, as far as is known here. `describe`: what this node
    says of its own standing when asked. Threads may share it."""

    def __init__(
        self,
        net: PeerNet,
        seals: Seals,
        versions: Versions,
        messages: Log,
        faults: Faults,
        taken: Callable[[bytes], bool],
        describe: Callable[[], Known],
    ) -> None:
        self._net, self._seals, self._versions = net, seals, versions
        self.log, self.faults = messages, faults
        self._taken, self._describe = taken, describe
        self._closing = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        asks = self._net.listen(PROTOCOL)
        for name, work in (
            ("cohort-news", self._hear),
            ("cohort-asks", lambda: accept_each(asks, self._closing, self._answer)),
        ):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._stack.callback(thread.join)
        self._stack.callback(asks.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._stack.close()

    def say(self, message: Sealed) -> None:
        """Note one of our own messages and announce it. Where that fails, whoever asks still gets it."""
        self.log.add(message)
        try:
            self._net.publish(TOPIC, message.signed.SerializeToString())
        except PonwError as error:
            log.info("not announced", kind=message.kind, reason=error.message)

    def seal(self, body: Body) -> Sealed:
        """One of our own messages, signed."""
        return self._seals.seal(body)

    def ask(self, peer: str, number: int) -> Known:
        """What a member knows of a round (0: of its open one); its messages are noted here.

        Raises:
            CohortError: it is not reached, refuses, or answers what makes no sense.
        """
        try:
            with closing(self._net.dial(peer, PROTOCOL, TALK_SECONDS)) as stream:
                frames = FrameSocket(stream, peer)
                frames.send(Ask(versions=self._versions, round=number), TALK_SECONDS)
                answer = frames.receive(Answer, ANSWER_BYTES, TALK_SECONDS)
        except PonwError as error:
            raise CohortError(f"{peer} was not asked: {error.message}", "Another member is asked.") from error
        if answer.WhichOneof("what") != "known":
            raise CohortError(f"{peer} refuses: {answer.refusal.reason[:400]}", "Another member is asked.")
        for signed in answer.known.messages:
            self._note(signed)
        return answer.known

    def _note(self, signed: Signed) -> None:
        try:
            message = self._opened(signed)
        except InvalidError as error:
            self.faults.note(error)
        else:
            self.log.add(message)

    def _opened(self, signed: Signed) -> Sealed:
        message = self._seals.open(signed)
        if not self._taken(message.body.account):
            raise InvalidError(message.body.account, "stranger", "No staked account that is known here.")
        return message

    def _answer(self, peer: str, stream: socket.socket) -> None:
        with closing(stream):
            frames = FrameSocket(stream, peer)
            try:
                ask = frames.receive(Ask, ASK_BYTES, TALK_SECONDS)
                refusal = same_versions(self._versions)(ask.versions)
                answer = Answer(refusal=refusal) if refusal is not None else Answer(known=self._known(ask.round))
                frames.send(answer, TALK_SECONDS)
            except (FrameError, SilentError) as error:
                log.info("an answer broke off", peer=peer, reason=error.message)

    def _known(self, number: int) -> Known:
        known, size = self._describe(), 0
        for message in self.log.of(number or known.open):
            size += message.signed.ByteSize() + 8
            if size > MESSAGES_BYTES:
                break
            known.messages.append(message.signed)
        return known

    def _hear(self) -> None:
        while not self._closing.is_set():
            try:
                with self._net.subscribe(TOPIC, HEAR_SECONDS) as news:
                    for _, body in news:
                        self._note_bytes(body)
                        if self._closing.is_set():
                            return
            except TimeoutError:
                continue
            except PonwError as error:
                log.debug("no news now", reason=error.message)
                self._closing.wait(HEAR_SECONDS)

    def _note_bytes(self, body: bytes) -> None:
        try:
            signed = Signed.FromString(body)
        except DecodeError as error:
            log.info("an announcement that does not parse", reason=str(error))
            return
        self._note(signed)
