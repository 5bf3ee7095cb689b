"""Encodings of updates: what comes back, how small they are, what feedback makes up for, and what a sender can do."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consensus.aggregation.compression import (
    Codec,
    ErrorFeedback,
    FourLevel,
    Int8,
    TopK,
    TwoBit,
    decode_update,
    encode_update,
    encoded_size,
)
from consensus.errors import CompressionError

CODECS: list[Codec] = [Int8(), TopK(), TwoBit(), FourLevel()]
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
HEADER = 16


def shapes(update: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in update.items()}


def there_and_back(codec: Codec, x: Tensor) -> Tensor:
    return decode_update(codec, encode_update(codec, {"w": x}), {"w": tuple(x.shape)})["w"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60)
@given(st.lists(FLOATS, max_size=40), st.integers(0, 9000), st.sampled_from(CODECS))
def test_any_update_decodes_to_finite_numbers_and_again_to_the_same(
    values: list[float], more: int, codec: Codec
) -> None:
    x = torch.cat([torch.tensor(values, dtype=torch.float32), normal(more)])
    data = encode_update(codec, {"w": x})
    assert len(data) == encoded_size(codec, {"w": (len(x),)})
    decoded = decode_update(codec, data, {"w": (len(x),)})["w"]
    assert bool(torch.isfinite(decoded).all())
    assert torch.equal(decoded, decode_update(codec, data, {"w": (len(x),)})["w"])


@given(st.lists(FLOATS, min_size=1, max_size=300))
def test_int8_is_within_half_a_step(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float32)
    decoded = there_and_back(Int8(), x).to(torch.float64)
    for at in range(0, len(x), 256):
        block, found = x[at : at + 256].to(torch.float64), decoded[at : at + 256]
        # The step is at most twice top / 127; the largest scale and the smallest cut a little more off.
        assert float((block - found).abs().max()) <= float(block.abs().max()) / 127 + 2.0**-121


def test_int8_keeps_what_fits_as_it_is() -> None:
    x = torch.arange(-127, 128).to(torch.float32) * 2.0**-9
    assert torch.equal(there_and_back(Int8(), x), x)
    assert torch.equal(there_and_back(Int8(), torch.zeros(300)), torch.zeros(300))


def test_top_k_keeps_the_largest_hundredth() -> None:
    x = normal(2, 4096)
    decoded = there_and_back(TopK(), x)
    for row, found in zip(x, decoded, strict=True):
        wanted = set(row.abs().topk(41).indices.tolist())
        assert set(found.nonzero().flatten().tolist()) == wanted
        kept = found != 0
        assert torch.equal(found[kept], row[kept].to(torch.bfloat16).to(torch.float32))


def test_of_equals_the_first_are_kept() -> None:
    assert there_and_back(TopK(), torch.ones(250)).nonzero().flatten().tolist() == [0, 1, 2]


def test_two_bits_keep_signs_and_two_levels() -> None:
    x = normal(4096)
    decoded = there_and_back(TwoBit(), x)
    kept = decoded.nonzero().flatten()
    assert set(kept.tolist()) == set(x.abs().topk(64).indices.tolist())
    assert torch.equal(decoded[kept].sign(), x[kept].sign())
    assert len(set(decoded[kept].abs().tolist())) == 2
    assert float((decoded[kept] - x[kept]).abs().max()) < float(x.abs().max()) / 2


def test_four_levels_keep_signs_and_lose_an_eighth() -> None:
    x = normal(4096 + 130)
    decoded = there_and_back(FourLevel(), x)
    assert torch.equal(decoded.sign(), x.sign())
    assert len(set(decoded[:256].abs().tolist())) == 2
    assert 0.1 < float((decoded - x).square().sum() / x.square().sum()) < 0.14
    assert torch.equal(there_and_back(FourLevel(), torch.zeros(300)), torch.zeros(300))


@pytest.mark.parametrize(
    ("codec", "ratio"), [(Int8(), 3.98), (TopK(), 99.0), (TwoBit(), 141.0), (FourLevel(), 15.0)], ids=str
)
def test_ratios(codec: Codec, ratio: float) -> None:
    update = {"a": normal(512, 512), "b": normal(300_000, seed=1)}
    plain = sum(t.numel() for t in update.values()) * 4
    assert plain / len(encode_update(codec, update)) > ratio


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_feedback_sends_in_the_end_what_a_round_left_out(codec: Codec) -> None:
    """The sum of what is decoded follows the sum of what was meant: what is missing is the memory, which is bounded."""
    meant, sent = torch.zeros(5000), torch.zeros(5000)
    state = ErrorFeedback.start({"w": meant})
    steady = normal(5000)
    left = []
    for turn in range(400):
        update = steady + normal(5000, seed=turn + 1) * 0.1
        out = state.send(codec, {"w": update})
        meant, sent, state = meant + update, sent + out.update["w"], out.feedback
        left.append(float((meant - sent).square().mean().sqrt()))
        assert float((meant - sent - state.left["w"]).abs().max()) < 1e-2
    assert max(left[200:]) < 1.5 * max(left[:200]), "the memory does not grow without end"
    # Without feedback the same share is lost in every round.
    lost = 400 * float((steady - there_and_back(codec, steady)).square().mean().sqrt())
    assert left[-1] < lost


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_sent(codec: Codec, bad: float) -> None:
    with pytest.raises(CompressionError, match="finite"):
        encode_update(codec, {"w": torch.tensor([0.0, bad])})


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_another_length_codec_or_shape_is_refused(codec: Codec) -> None:
    update = {"a": normal(100, 50), "b": normal(7)}
    data = encode_update(codec, update)
    wanted = shapes(update)
    for wrong in (b"", data[:-1], data + b"\0", data[:HEADER], bytes(len(data)), b"X" + data[1:]):
        with pytest.raises(CompressionError):
            decode_update(codec, wrong, wanted)
    for other in CODECS:
        if other is not codec:
            with pytest.raises(CompressionError):
                decode_update(other, data, wanted)
    with pytest.raises(CompressionError):
        decode_update(codec, data, {"a": (100, 50), "b": (8,)})


def broken(codec: Codec, at: int, value: int, elements: int = 4096 + 130) -> bytes:
    data = bytearray(encode_update(codec, {"w": normal(elements)}))
    data[HEADER + at if at >= 0 else at] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("codec", "at", "value", "words"),
    [
        (Int8(), 0, 122, "out of range"),
        (Int8(), 1, 0x80, "out of range"),
        (Int8(), 4096, 0x80, "out of range"),
        (TopK(), 1, 0xFF, "do not rise"),
        (TopK(), 41 * 2 - 1, 0xFF, "do not rise"),
        (TopK(), 41 * 2 + 1, 0x7F, "finite"),
        (TwoBit(), 1, 0xFF, "positive"),
        (TwoBit(), 3, 0x00, "in order"),
        (TwoBit(), 5, 0xFF, "do not rise"),
        (TwoBit(), -1, 0xFF, "padding"),
        (FourLevel(), 1, 0xFF, "positive"),
        (FourLevel(), 3, 0x00, "in order"),
        (FourLevel(), -1, 0xFF, "padding"),
    ],
)
def test_what_no_encoder_writes_is_refused(codec: Codec, at: int, value: int, words: str) -> None:
    with pytest.raises(CompressionError, match=words):
        data = broken(codec, at, value)
        if isinstance(codec, TopK) and words == "finite":
            data = data[: HEADER + 82] + b"\x80\x7f" + data[HEADER + 84 :]
        decode_update(codec, data, {"w": (4096 + 130,)})


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_noise_is_refused_or_decodes_to_finite_numbers(codec: Codec) -> None:
    draw = random.Random(zlib.crc32(str(codec).encode()))  # noqa: S311 - a test's own dice
    sizes = {"w": (300,)}
    good = encode_update(codec, {"w": normal(300)})
    outcomes = set()
    for _ in range(400):
        data = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(HEADER, len(data))] = draw.randrange(256)
        try:
            decoded = decode_update(codec, bytes(data), sizes)["w"]
        except CompressionError:
            outcomes.add("refused")
        else:
            outcomes.add("decoded")
            assert decoded.shape == (300,)
            assert bool(torch.isfinite(decoded).all())
    assert outcomes == {"refused", "decoded"}


def test_bytes_by_the_format() -> None:
    data = encode_update(TopK(), {"w": torch.tensor([0.0, -1.5, 1.0])})
    assert data == b"PUP1\x02\0\0\0\x03\0\0\0\0\0\0\0" + np.array([1, 0xBFC0], dtype="<u2").tobytes()
    data = encode_update(Int8(), {"w": torch.tensor([1.0, -2.0])})
    assert data[HEADER:] == bytes([256 - 5, 32, 256 - 64])
