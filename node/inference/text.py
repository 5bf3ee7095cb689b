"""Text to token ids and back, one small interface for every version of the vocabulary."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Protocol

from consensus.model.tokens import BYTE_VOCAB


class Tokenizer(Protocol):
    """One version of the vocabulary."""

    version: int

    def encode(self, data: bytes) -> Sequence[int]:
        """Token ids of UTF-8 text (or any bytes); adds no specials."""

    def decode(self, token: int) -> bytes:
        """The bytes behind one id; none for a special."""


class ByteTokenizer:
    """Version 0: one id a byte."""

    version = 0

    def encode(self, data: bytes) -> Sequence[int]:
        return list(data)

    def decode(self, token: int) -> bytes:
        return bytes([token]) if token < BYTE_VOCAB else b""


class TextStream:
    """Text from tokens as they come: a character is given once its last byte is there, a wrong byte as U+FFFD."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """What `token` completes; "" inside a character."""
        return self._decoder.decode(self._tokenizer.decode(token))

    def end(self) -> str:
        """What an unfinished character at the end comes to."""
        return self._decoder.decode(b"", True)
