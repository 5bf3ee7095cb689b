"""The draw: integers that anyone computes again, one answer from every kernel."""

from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import InferenceError
from consensus.inference.answer import recompute
from consensus.inference.decoding import Row
from consensus.inference.sampling import NEVER, Choice, Settings, choose, draw, keep_top, multiplier
from consensus.model.tokens import BOS, EOS, PAD
from tests.inference.conftest import CONFIGS, make

SEED = bytes(range(32))
ALL = 10_000
KNOWN_DRAWS = [12833822029566724824, 4436626288014467750]
KNOWN_MULTIPLIERS = [
    "0x0.0p+0",
    "0x1.68ac7c0000000p+10",
    "0x1.07ce9e0000000p+1",
    "0x1.7154760000000p+0",
    "0x1.7154760000000p-1",
]
KNOWN_ANSWER = [157, 56, 23, 70, 56, 99, 199, 9, 83, 188, 50, 210]


def logits_of(**values: float) -> torch.Tensor:
    """264 logits, -1000 but for those named t<id>."""
    out = torch.full((264,), -1000.0)
    for name, value in values.items():
        out[int(name[1:])] = value
    return out


def test_the_draw_is_the_hash_that_the_rules_name() -> None:
    expected = hashlib.sha256(b"ponw/sample/1\0" + SEED + b"\0\0\1\2").digest()[:8]
    assert draw(SEED, 258) == int.from_bytes(expected, "big")


def test_known_draws() -> None:
    assert [draw(SEED, index) for index in range(2)] == KNOWN_DRAWS


def test_known_multipliers() -> None:
    assert [multiplier(milli).hex() for milli in (0, 1, 700, 1000, 2000)] == KNOWN_MULTIPLIERS


def test_known_answer(kind: str) -> None:
    decoder = make(kind, CONFIGS[0], 1)
    assert recompute(decoder, list(b"ponw"), Settings(1000, 9_000, SEED), 12) == KNOWN_ANSWER


def test_temperature_zero_takes_the_likeliest_and_the_lowest_of_equals() -> None:
    assert choose(logits_of(t9=1.0, t7=1.0, t200=0.5), Choice(0.0, ALL, 5)) == 7


def test_ids_that_are_held_back_are_never_drawn() -> None:
    assert {BOS, PAD} < set(NEVER)
    assert EOS not in NEVER
    logits = logits_of(**{f"t{token}": 50.0 for token in NEVER}, t65=1.0)
    for number in (0, 1 << 63, (1 << 64) - 1):
        assert choose(logits, Choice(multiplier(1000), ALL, number)) == 65
    assert choose(logits, Choice(0.0, ALL, 0)) == 65


def test_the_draw_walks_through_the_cumulative_weights() -> None:
    logits = logits_of(t3=0.0, t5=0.0, t8=0.0, t9=0.0)
    found = [choose(logits, Choice(multiplier(1000), ALL, quarter << 62)) for quarter in range(4)]
    assert found == [3, 5, 8, 9]
    assert choose(logits, Choice(multiplier(1000), ALL, (1 << 62) - 1)) == 3


@given(weights=st.lists(st.integers(0, 1 << 22), min_size=1, max_size=40).filter(any), bps=st.integers(1, ALL))
def test_top_p_keeps_the_fewest_that_hold_the_share(weights: list[int], bps: int) -> None:
    kept = keep_top(weights, bps)
    chosen = [token for token, weight in enumerate(kept) if weight]
    assert all(kept[token] == weights[token] for token in chosen)
    held = sum(kept)
    assert held * ALL >= bps * sum(weights)
    lightest = min(chosen, key=lambda token: (weights[token], -token))
    assert (held - weights[lightest]) * ALL < bps * sum(weights)
    assert all((weights[t], -t) < (weights[lightest], -lightest) for t in range(len(weights)) if t not in chosen)


@given(
    temperature=st.sampled_from([0, 1, 50, 700, 1000, 5000, 1_000_000]),
    bps=st.integers(1, ALL),
    number=st.integers(0, (1 << 64) - 1),
    token=st.integers(0, 299),
)
@settings(max_examples=60)
def test_every_kernel_draws_what_the_definition_draws(
    kind: str, temperature: int, bps: int, number: int, token: int
) -> None:
    decoder = make(kind, CONFIGS[2], 1)
    choice = Choice(multiplier(temperature), bps, number)
    expected = choose(decoder.logits([Row(0, 0, token)])[0], choice)
    assert decoder.step([Row(0, 0, token, choice)]) == [expected]


def test_likely_tokens_come_as_often_as_they_should() -> None:
    logits = logits_of(t1=0.0, t2=float(torch.log(torch.tensor(3.0))))
    drawn = [choose(logits, Settings(1000, ALL, SEED).choice(index)) for index in range(2000)]
    assert set(drawn) == {1, 2}
    assert 1400 < drawn.count(2) < 1600


@pytest.mark.parametrize(
    ("temperature", "bps", "seed"), [(-1, 1, SEED), (1_000_001, 1, SEED), (1, 0, SEED), (1, 1, b"")]
)
def test_settings_out_of_range_are_refused(temperature: int, bps: int, seed: bytes) -> None:
    with pytest.raises(InferenceError):
        Settings(temperature, bps, seed)


def test_an_answer_beyond_the_context_is_refused() -> None:
    decoder = make("definition", CONFIGS[0], 1)
    with pytest.raises(InferenceError, match="exceed"):
        recompute(decoder, [1] * 30, Settings(0, ALL, SEED), 3)
    with pytest.raises(InferenceError, match="no token"):
        recompute(decoder, [], Settings(0, ALL, SEED), 3)
    assert len(recompute(decoder, [1] * 30, Settings(0, ALL, SEED), 2)) <= 2
