"""From a generation to OpenAI's documents, whole or as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from node.inference.generation import Generation
from node.inference.openai.metrics import Metrics
from node.inference.openai.problems import Problem
from node.inference.openai.stops import StopScanner

DONE = "data: [DONE]\n\n"


@dataclass
class Answer:
    """One request under way: how it is called and how its parts are put. `chat` chooses between the two forms."""

    generation: Generation
    id: str
    model: str
    fingerprint: str
    chat: bool
    scanner: StopScanner
    metrics: Metrics
    created: int = field(default_factory=lambda: int(time.time()))
    begun: float = field(default_factory=time.monotonic)

    async def texts(self) -> AsyncGenerator[str, None]:
        """The answer's text in pieces, none empty; the generation is stopped when this ends, however it ends."""
        first = True
        try:
            async for piece in self.generation:
                if first:
                    self.metrics.first_token.observe(time.monotonic() - self.begun)
                    first = False
                if text := self.scanner.feed(piece.text):
                    yield text
                if self.scanner.found:
                    return
            if text := self.scanner.feed(self.generation.tail) + self.scanner.end():
                yield text
        finally:
            self.generation.stop()

    async def whole(self) -> dict[str, Any]:
        """The document of an answer that is not streamed."""
        async with aclosing(self.texts()) as texts:
            text = "".join([part async for part in texts])
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text, "refusal": None}}
        document = self._document(said if self.chat else {"text": text}, self._reason(), chunk=False)
        return document | {"usage": self._usage()}

    async def events(self, with_usage: bool) -> AsyncGenerator[str, None]:
        """Server-sent events; the last is `[DONE]`."""
        if self.chat:
            yield _event(self._document({"delta": {"role": "assistant", "content": ""}}, None))
        async with aclosing(self.texts()) as texts:
            async for text in texts:
                yield _event(self._document({"delta": {"content": text}} if self.chat else {"text": text}, None))
        try:
            yield _event(self._document({"delta": {}} if self.chat else {"text": ""}, self._reason()))
        except Problem as problem:  # the status is long sent
            yield _event(problem.body())
            return
        if with_usage:
            yield _event(self._document(None, None) | {"usage": self._usage()})
        yield DONE

    def _document(self, said: dict[str, Any] | None, reason: str | None, chunk: bool = True) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        choice = None if said is None else {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": [] if choice is None else [choice],
        }

    def _usage(self) -> dict[str, int]:
        prompt, answer = len(self.generation.prompt), len(self.generation.ids)
        return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}

    def _reason(self) -> str:
        """Raises Problem: the decoder failed, or the server went down before the answer was whole."""
        if self.scanner.found:
            return "stop"
        reason = self.generation.reason
        if reason in {"failed", "stopped"}:
            raise Problem(500, "The server broke off.", "server_error")
        return "stop" if reason == "eos" else "length"


async def unless_gone(request: Request, answer: Answer) -> dict[str, Any] | None:
    """The whole document; None, and the answer is stopped, if the client left before."""
    work, gone = asyncio.create_task(answer.whole()), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await work if work.done() else None
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n"
