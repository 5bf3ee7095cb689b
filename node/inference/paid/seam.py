"""What paid answers need of whatever generates tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What answers: `model_root` (32 bytes), versions of vocabulary and rules, most tokens of prompt and answer
    together, layers, and the speed tier (1 to 5)."""

    model_root: bytes
    vocabulary: int
    program: int
    stop_at_eos: bool
    context: int
    layers: int
    tier: int


@dataclass(frozen=True, slots=True)
class Draw:
    """How tokens are drawn: thousandths of temperature, basis points of top_p, and the 32-byte seed of every draw."""

    temperature_milli: int
    top_p_bps: int
    seed: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer and what it adds to the text."""

    id: int
    text: str


class Generation(Protocol):
    """One answer under way. Iterating gives its tokens; it makes none beyond what `allow` permits."""

    def __aiter__(self) -> AsyncIterator[Piece]: ...

    def allow(self, tokens: int) -> None:
        """Up to `tokens` tokens in all may be made; a lower number than before changes nothing. Any thread."""

    def stop(self) -> None:
        """Make no more tokens; iteration ends. Any thread, any number of times."""

    @property
    def reason(self) -> Literal["eos", "length", "stopped", "failed"]:
        """Why it ended; meaningful when iteration has ended."""

    @property
    def tail(self) -> str:
        """Text that the tokens left incomplete, to be shown after the last one."""


class Answerer(Protocol):
    """Generates answers with the model that is served now."""

    def served(self) -> ServedModel:
        """The model that a request begun now would be answered with."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt."""

    def load(self) -> tuple[int, int]:
        """(busy, all) places of the batch."""

    def answer(self, prompt: Sequence[int], draw: Draw, max_tokens: int) -> Generation:
        """Begin an answer; no token is made until it is allowed."""
