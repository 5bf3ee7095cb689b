"""Which token follows: integers only once the exponentials are rounded, so anyone draws the same one.

    u = logits * (log2(e) * 1000 / temperature_milli)        one fp32 multiplication
    n = round(2^(u - max u) * 2^22)                          one integer weight an id
    r = (draw * sum n) >> 64                                 draw: 64 bits of a hash of seed and index

The token is the first id whose weights up to and including its own exceed r. Ids of `NEVER` take no part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic import numbers
from consensus.arithmetic.reference import exp2_neg
from consensus.errors import InferenceError
from consensus.inference.task import HASH_BYTES, TOP_P_ALL
from consensus.model.tokens import BYTE_VOCAB, EOS, VOCAB_SIZE

SAMPLE_TAG: Final = b"ponw/sample/1\0"
WEIGHT_BITS: Final = 22
"""The likeliest id weighs 2**22; one less likely than 2**-23 of it weighs nothing."""
DRAW_BITS: Final = 64
NEVER: Final = tuple(token for token in range(BYTE_VOCAB, VOCAB_SIZE) if token != EOS)
"""BOS, PAD and the ids held back: no answer holds them."""
MAX_TEMPERATURE_MILLI: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How an answer is drawn: thousandths of temperature (0: the likeliest), basis points of top_p, 32 bytes of seed.

    Raises InferenceError on a value out of its range.
    """

    temperature_milli: int
    top_p_bps: int
    draw_seed: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.temperature_milli <= MAX_TEMPERATURE_MILLI:
            raise InferenceError(f"the temperature is {self.temperature_milli} thousandths", "Use 0 to 1000000.")
        if not 1 <= self.top_p_bps <= TOP_P_ALL:
            raise InferenceError(f"top_p is {self.top_p_bps} basis points", "Use 1 to 10000.")
        if len(self.draw_seed) != HASH_BYTES:
            raise InferenceError(f"a seed has {len(self.draw_seed)} bytes, not {HASH_BYTES}")

    def choice(self, index: int) -> Choice:
        """How token `index` (from 0) of the answer is chosen."""
        number = draw(self.draw_seed, index) if self.temperature_milli else 0
        return Choice(multiplier(self.temperature_milli), self.top_p_bps, number)


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice: the factor on logits (0.0: the likeliest id, the lowest of equals), top_p and the draw."""

    multiplier: float
    top_p_bps: int
    draw: int


def draw(seed: bytes, index: int) -> int:
    """64 bits for token `index`: the start of sha256(tag ‖ seed ‖ index u32 BE), as a big-endian integer."""
    digest = hashlib.sha256(SAMPLE_TAG + seed + index.to_bytes(4, "big")).digest()
    return int.from_bytes(digest[: DRAW_BITS // 8], "big")


def multiplier(temperature_milli: int) -> float:
    """log2(e) / temperature in fp32; 0.0 at temperature 0. Product and quotient are single fp64 operations."""
    return numbers.round32(numbers.LOG2E * 1000.0 / temperature_milli) if temperature_milli else 0.0


def choose(logits: Tensor, choice: Choice) -> int:
    """The token for logits [vocabulary] fp32."""
    allowed = torch.ones(logits.shape[0], dtype=torch.bool)
    allowed[list(NEVER)] = False
    visible = torch.where(allowed, logits, -torch.inf)
    if choice.multiplier == 0.0:
        return _first_of_largest(visible)
    weights = integer_weights(visible * choice.multiplier, allowed)
    if choice.top_p_bps < TOP_P_ALL:
        weights = keep_top(weights, choice.top_p_bps)
    limit = choice.draw * sum(weights) >> DRAW_BITS
    return next(token for token, upto in enumerate(accumulate(weights)) if upto > limit)


def integer_weights(u: Tensor, allowed: Tensor) -> list[int]:
    """u [vocabulary] in powers of two → a weight an id, 0 where not allowed."""
    e = exp2_neg(u - u.amax())
    rounded = torch.round(e * 2.0**WEIGHT_BITS).to(torch.int32)
    return [int(n) for n in torch.where(allowed, rounded, 0)]


def keep_top(weights: list[int], top_p_bps: int) -> list[int]:
    """The weights of the fewest ids, heaviest first and lower ids before equals, that hold `top_p_bps` of all."""
    wanted = top_p_bps * sum(weights)
    kept, held = [0] * len(weights), 0
    for token in sorted(range(len(weights)), key=lambda token: (-weights[token], token)):
        if held * TOP_P_ALL >= wanted:
            break
        kept[token] = weights[token]
        held += weights[token]
    return kept


def _first_of_largest(values: Tensor) -> int:
    return int((values == values.amax()).to(torch.uint8).argmax())
