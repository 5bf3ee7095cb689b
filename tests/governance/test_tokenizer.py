"""Words, encoding and decoding: the same ids however the text comes, and every byte back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import VocabularyError
from consensus.model.tokens import VOCAB_SIZE
from governance.tokenizer import Encoder, Vocabulary, WordStream, words_of
from governance.tokenizer.encoder import merged
from governance.tokenizer.vocabulary import TOKEN_BYTES_MAX
from governance.tokenizer.words import WORD_BYTES

TEXT = st.one_of(st.binary(max_size=300), st.text("ab  \n1é-", max_size=300).map(str.encode))


@st.composite
def vocabularies(draw: st.DrawFn) -> Vocabulary:
    """Up to 25 merges over few bytes, so that they meet in the text; now and then of a special or of the same bytes."""
    pairs: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(0, 25))):
        ids = [*b"ab 1\n\xc3\xa9", 256, *range(VOCAB_SIZE, VOCAB_SIZE + len(pairs))]
        pairs.append((draw(st.sampled_from(ids)), draw(st.sampled_from(ids))))
    return Vocabulary(pairs)


def ranks(vocabulary: Vocabulary) -> dict[tuple[int, int], int]:
    return {pair: VOCAB_SIZE + at for at, pair in reversed(list(enumerate(vocabulary.merges)))}


def test_words_by_example() -> None:
    assert words_of(b"It isn't  22 o'clock,\n\n yet.\t") == [
        b"It", b" isn", b"'", b"t", b" ", b" 22", b" o", b"'", b"clock", b",", b"\n\n", b" yet", b".", b"\t"
    ]  # fmt: skip
    assert words_of("déjà vu".encode()) == ["déjà".encode(), b" vu"]
    assert words_of(b"x" * (WORD_BYTES + 1)) == [b"x" * WORD_BYTES, b"x"]


@given(TEXT, st.lists(st.integers(0, 300), max_size=5))
def test_words_are_the_text_and_do_not_depend_on_where_it_was_cut(text: bytes, cuts: list[int]) -> None:
    words = words_of(text)
    assert b"".join(words) == text
    assert all(0 < len(word) <= TOKEN_BYTES_MAX for word in words)
    stream, found = WordStream(), []
    places = [0, *sorted(cuts), len(text) + 300]
    for start, stop in pairwise(places):
        found += stream.feed(text[start:stop])
    assert found + stream.end() == words


@given(st.lists(st.sampled_from([b" ", b"\n", b"a" * 63, b" " * 63, b"a", b"1", b"-"]), max_size=12), st.data())
def test_runs_longer_than_a_word_are_cut_alike(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts)
    cut = data.draw(st.integers(0, len(text)))
    stream = WordStream()
    assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.end() == words_of(text)


@given(vocabularies(), TEXT)
def test_decoding_is_the_inverse_for_every_byte_string(vocabulary: Vocabulary, text: bytes) -> None:
    ids = Encoder(vocabulary).encode(text)
    assert ids.dtype == np.uint16
    assert vocabulary.decode(ids.tolist()) == text


@given(vocabularies(), TEXT)
def test_the_library_gives_the_ids_of_the_definition(vocabulary: Vocabulary, text: bytes) -> None:
    ids = [token for word in words_of(text) for token in merged(word, ranks(vocabulary))]
    assert Encoder(vocabulary).encode(text).tolist() == ids


@given(vocabularies(), TEXT, st.integers(1, 40))
def test_a_text_in_pieces_has_the_same_ids(vocabulary: Vocabulary, text: bytes, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    streamed = [token for ids in Encoder(vocabulary).stream(pieces) for token in ids.tolist()]
    assert streamed == Encoder(vocabulary).encode(text).tolist()


def test_version_0_is_the_bytes() -> None:
    every = bytes(range(256))
    assert Vocabulary().rows == VOCAB_SIZE
    assert Encoder(Vocabulary()).encode(every).tolist() == list(every)


def test_a_later_version_keeps_every_id_of_an_earlier_one() -> None:
    first = Vocabulary([(116, 104)])
    second = first.extended([(264, 101), (32, 265)])
    assert second.tokens[: first.rows] == first.tokens
    assert [second.text(token) for token in range(264, 267)] == ["th", "the", " the"]


def test_a_merge_of_an_id_that_does_not_exist_yet_is_no_vocabulary() -> None:
    with pytest.raises(VocabularyError, match="merge 1 joins 264 and 265"):
        Vocabulary([(97, 98), (264, 265)])


def test_tokens_that_double_stay_small() -> None:
    doubling = Vocabulary([(97, 97), *((VOCAB_SIZE + n, VOCAB_SIZE + n) for n in range(900))])
    assert max(len(token or b"") for token in doubling.tokens) <= TOKEN_BYTES_MAX
    assert doubling.decode(Encoder(doubling).encode(b"a" * 1000).tolist()) == b"a" * 1000
