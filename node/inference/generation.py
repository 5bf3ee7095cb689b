"""One answer: filled by the batcher's thread, read by whoever asked for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

from consensus.inference.sampling import Settings
from node.inference.paid.seam import Piece
from node.inference.text import TextStream

Reason = Literal["eos", "length", "stopped", "failed"]
Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class Generation:
    """An answer under way. One reader iterates; `allow` and `stop` may be called from any thread.

    No token beyond those allowed is made; a waiting answer keeps its place in the batch.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        settings: Settings,
        max_tokens: int,
        allowed: int,
        text: TextStream,
        changed: Callable[[], None],
    ) -> None:
        self.prompt, self.settings, self.max_tokens = tuple(prompt), settings, max_tokens
        self.ids: list[int] = []
        """Every token made so far."""
        self.stopped = False
        self.done = threading.Event()
        self._allowed = min(allowed, max_tokens)
        self._text, self._tail = text, ""
        self._changed = changed
        self._lock = threading.Lock()
        self._ready: deque[int] = deque()
        self._reason: Reason | None = None
        self._waiter: Waiter | None = None

    @property
    def allowed(self) -> int:
        """Tokens that may have been made in all."""
        return self._allowed

    def allow(self, tokens: int) -> None:
        """Up to `tokens` tokens in all may be made; fewer than before changes nothing."""
        with self._lock:
            self._allowed = max(self._allowed, min(tokens, self.max_tokens))
        self._changed()

    def stop(self) -> None:
        """Make no more tokens; iteration ends with those that were made."""
        self.stopped = True
        self._changed()

    cancel = stop

    @property
    def reason(self) -> Reason:
        """Why it ended; `failed` as long as it has not."""
        return self._reason or "failed"

    @property
    def tail(self) -> str:
        """Text of an unfinished character, to be shown after the last piece; known when iteration has ended."""
        return self._tail

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        while True:
            with self._lock:
                if self._ready:
                    token = self._ready.popleft()
                    return Piece(token, self._text.feed(token))
                if self._reason is not None:
                    break
                loop = asyncio.get_running_loop()
                future: asyncio.Future[None] = loop.create_future()
                self._waiter = (loop, future)
            await future
        self._tail += self._text.end()
        raise StopAsyncIteration

    def put(self, token: int) -> Waiter | None:
        """The batcher's: one more token; who is to be woken."""
        with self._lock:
            self.ids.append(token)
            self._ready.append(token)
            return self._take_waiter()

    def end(self, reason: Reason) -> Waiter | None:
        """The batcher's: no more tokens; who is to be woken."""
        with self._lock:
            self._reason = self._reason or reason
            waiter = self._take_waiter()
        self.done.set()
        return waiter

    def _take_waiter(self) -> Waiter | None:
        waiter, self._waiter = self._waiter, None
        return waiter
