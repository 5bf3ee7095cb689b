"""A generator of tokens for tests about money: the tokens follow from seed and prompt by a hash, at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

from node.data import tokens
from node.inference.paid.seam import Draw, Piece, ServedModel

MODEL = ServedModel(b"\x0a" * 32, 0, 1, stop_at_eos=True, context=512, layers=4, tier=2)


def token_of(seed: bytes, index: int) -> int:
    """The token at `index` of an answer."""
    return 97 + hashlib.sha256(seed + index.to_bytes(4, "big")).digest()[0] % 26


class ScriptedGeneration:
    """Waits for allowance between any two tokens, as the real one does; for ever before token number `hang`."""

    def __init__(self, seed: bytes, max_tokens: int, hang: int | None = None) -> None:
        self._seed, self._most, self._hang = seed, max_tokens, hang
        self._allowed, self._stopped = 0, False
        self._changed = asyncio.Event()
        self.reason = "length"
        self.tail = ""

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for index in range(self._most):
            while (index >= self._allowed or index == self._hang) and not self._stopped:
                self._changed.clear()
                await self._changed.wait()
            if self._stopped:
                self.reason = "stopped"
                return
            token = token_of(self._seed, index)
            yield Piece(token, chr(token))

    def allow(self, tokens: int) -> None:
        self._allowed = max(self._allowed, tokens)
        self._changed.set()

    def stop(self) -> None:
        self._stopped = True
        self._changed.set()


class ScriptedAnswerer:
    """Any prompt, one model."""

    def __init__(self, model: ServedModel = MODEL, hang: int | None = None) -> None:
        self.model, self._hang = model, hang

    def served(self) -> ServedModel:
        return self.model

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in tokens.encode(text.encode())]

    def load(self) -> tuple[int, int]:
        return 2, 8

    def answer(self, prompt: Sequence[int], draw: Draw, max_tokens: int) -> ScriptedGeneration:
        return ScriptedGeneration(draw.seed, max_tokens, self._hang)
