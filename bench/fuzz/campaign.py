"""Sends a number of junk messages to one target: a key until it is banned, then the next one."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from libp2p.network.stream.exceptions import StreamEOF

from bench.fuzz.messages import Junk
from bench.fuzz.sender import Sender, sender
from bench.fuzz.targets import ACCOUNTS, IDENTIFY, Target
from bench.quorum_node import NETWORK
from node.net.limits import HELLO_PROTOCOL, SCORE_BAN
from node.net.link import Control
from node.net.wire.common_pb2 import Refusal

PARALLEL: Final = 16
KEY_STREAMS: Final = 100
"""Streams of a key that nobody bans."""
MISSES_MAX: Final = 5
"""Attempts to be let in again; closing the connection that was cut off may still take the next one with it."""
FIRST_MESSAGES: Final = 400
"""Messages of the first key at most: of what is under way when a stream is cut off, only the first counts."""
STREAM_MESSAGES: Final = 25
"""Messages on one stream, where a stream takes many."""
SEND_SECONDS: Final = 10.0
ENDING_SECONDS: Final = 2.0
PROGRESS: Final = 1_000
"""Messages between two lines that say how far it is."""


@dataclass
class Outcome:
    """What came of a campaign. Seconds and messages to the ban are those of the first key, which sent alone."""

    target: str
    sent: int = 0
    keys: int = 0
    banned: int = 0
    ban_messages: int = 0
    ban_seconds: float = 0.0
    scores: list[int] = field(default_factory=list)
    seconds: float = 0.0


class Campaign:
    """`count` messages to a target at `address`; `control` is the target's own, to read its scores."""

    def __init__(self, target: Target, address: str, control: Control, count: int, seed: int) -> None:
        self._target, self._address, self._control, self._count = target, address, control, count
        self._numbers, self._seed = itertools.count(), seed
        self.outcome = Outcome(target.name)

    def run(self) -> Outcome:
        """Until all are sent."""
        began = time.monotonic()
        trio.run(self._run)
        self.outcome.seconds = round(time.monotonic() - began, 1)
        return self.outcome

    async def _run(self) -> None:
        await self._first()
        async with trio.open_nursery() as nursery:
            for _ in range(PARALLEL):
                nursery.start_soon(self._worker)

    async def _first(self) -> None:
        """One key alone, watched after every message until its ban shows."""
        began = time.monotonic()

        async def watched(hostile: Sender) -> bool:
            self.outcome.ban_messages = self.outcome.sent
            score = await trio.to_thread.run_sync(self._score, hostile.name)
            self.outcome.scores.append(score)
            self.outcome.ban_seconds = round(time.monotonic() - began, 3)
            hostile.banned = score <= -SCORE_BAN
            return not hostile.banned

        await self._key(watched)

    async def _worker(self) -> None:
        async def always(hostile: Sender) -> bool:
            return True

        while self.outcome.sent < self._count:
            await self._key(always)

    async def _key(self, go_on: Callable[[Sender], Any]) -> None:
        """All that one key gets to send."""
        number = next(self._numbers)
        seed = hashlib.sha256(f"{self._target.name} {self._seed} {number}".encode()).digest()
        junk = Junk(int.from_bytes(seed[:8]))
        self.outcome.keys += 1
        async with sender(self._address, seed, NETWORK) as hostile:
            misses = 0
            for _ in range(KEY_STREAMS):
                if self.outcome.sent >= (self._count if number or not self._target.bans else FIRST_MESSAGES):
                    break
                if not await self._admitted(hostile, ACCOUNTS[number % 16]):
                    misses += 1
                    if hostile.banned or misses > MISSES_MAX:
                        await go_on(hostile)
                        break
                    continue
                # Whatever the library makes of being cut off is what a sender of junk came for.
                with trio.move_on_after(SEND_SECONDS), contextlib.suppress(Exception):
                    await self._send(hostile, junk, go_on)
                if self._target.stays and self._target.bans:
                    hostile.connected = False  # after junk the whole connection goes, which a writer may not notice
                if not await go_on(hostile) or hostile.banned:
                    break
            self.outcome.banned += hostile.banned

    async def _admitted(self, hostile: Sender, account: int) -> bool:
        """Whether the target still listens to this key."""
        if self._target.protocol == IDENTIFY or hostile.connected:
            return True
        with trio.move_on_after(SEND_SECONDS), contextlib.suppress(Exception):
            await hostile.connect()
            if self._target.protocol == HELLO_PROTOCOL:
                return True
            answer = await hostile.hello(account)
            hostile.banned = answer.refusal.code == Refusal.BANNED
            return answer.WhichOneof("answer") == "hello"
        return False

    async def _send(self, hostile: Sender, junk: Junk, go_on: Callable[[Sender], Any]) -> None:
        if self._target.protocol == IDENTIFY:
            await self._answer(hostile, junk)
            return
        stream = await hostile.stream(self._target.protocol)
        if self._target.stays:
            for _ in range(STREAM_MESSAGES - 1):
                await self._write(stream, hostile, junk)
                if not await go_on(hostile):
                    return
        await self._write(stream, hostile, junk)
        await stream.close_write()
        if not self._target.stays:
            with trio.move_on_after(ENDING_SECONDS):
                await self._until_end(stream, hostile)

    async def _write(self, stream: Any, hostile: Sender, junk: Junk) -> None:
        await stream.write(self._target.junk(junk, hostile))
        self.outcome.sent += 1
        if self.outcome.sent % PROGRESS == 0:
            print(f"{self._target.name}: {self.outcome.sent:,} of {self._count:,} sent", file=sys.stderr, flush=True)

    async def _until_end(self, stream: Any, hostile: Sender) -> None:
        said = b""
        with contextlib.suppress(StreamEOF):
            while data := await stream.read(1 << 16):
                said += data
        if self._target.protocol == HELLO_PROTOCOL:
            hostile.banned, hostile.connected = b"banned" in said, False

    async def _answer(self, hostile: Sender, junk: Junk) -> None:
        """Junk where the target asks who we are, which it does on every new connection."""
        asked = trio.Event()

        async def handler(stream: Any) -> None:
            # What escapes from a handler would end the library's host.
            with contextlib.suppress(Exception):
                await self._write(stream, hostile, junk)
                await stream.close()
            asked.set()

        hostile.host.set_stream_handler(IDENTIFY, handler)
        await hostile.connect()
        answer = await hostile.hello(ACCOUNTS[0])
        hostile.banned = answer.refusal.code == Refusal.BANNED
        with trio.move_on_after(ENDING_SECONDS):
            await asked.wait()

    def _score(self, name: str) -> int:
        return next((peer.score for peer in self._control.known() if peer.id == name), 0)
