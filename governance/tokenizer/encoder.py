"""Text to ids: byte-level BPE (Sennrich et al. 2016; over bytes as in GPT-2), each word on its own."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers.models import BPE

from governance.tokenizer.vocabulary import Pair, Vocabulary
from governance.tokenizer.words import stream, words_of

Ids = NDArray[np.uint16]
KEPT_WORDS: Final = 1 << 20
"""Distinct words whose ids are kept; beyond that the table starts anew."""

_CHARACTERS: Final = [chr(0x100 + byte) for byte in range(256)]
"""The library works on characters: each byte is one that it has no rules about."""
_PIECE: Final = 1 << 16


def merge(ids: Sequence[int], left: int, right: int, into: int) -> list[int]:
    """Every pair (left, right) replaced, from left to right."""
    out: list[int] = []
    at, last = 0, len(ids) - 1
    while at <= last:
        if at < last and ids[at] == left and ids[at + 1] == right:
            out.append(into)
            at += 2
        else:
            out.append(ids[at])
            at += 1
    return out


def merged(word: bytes, ranks: dict[Pair, int]) -> list[int]:
    """The definition: the merges over a word's bytes, in order. ``ranks``: the id that each pair becomes."""
    ids = list(word)
    while True:
        # A merge makes pairs of later merges only, so the earliest that fits is the next in order.
        fitting = [(ranks[pair], pair) for pair in pairwise(ids) if pair in ranks]
        if not fitting:
            return ids
        into, (left, right) = min(fitting)
        ids = merge(ids, left, right, into)


class Encoder:
    """Encodes text with one vocabulary: the same ids on every machine. Adds no specials. Used by one thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._ranks: dict[Pair, int] = {}
        first = vocabulary.rows - len(vocabulary.merges)
        for number, pair in enumerate(vocabulary.merges):
            self._ranks.setdefault(pair, first + number)
        self._model = _library(vocabulary)
        self._known: dict[bytes, list[int]] = {}

    def encode(self, text: bytes) -> Ids:
        """The ids of a text, shape (any,)."""
        pieces = [self._of(words) for words in _portions(words_of(text))]
        return np.concatenate(pieces) if pieces else np.empty(0, np.uint16)

    def stream(self, pieces: Iterable[bytes]) -> Iterator[Ids]:
        """The ids of a text that comes in pieces, wherever it was cut."""
        for words in stream(pieces):
            yield self._of(words)

    def word(self, word: bytes) -> list[int]:
        """The ids of one word."""
        if self._model is None:
            return merged(word, self._ranks)
        tokens = self._model.tokenize("".join(_CHARACTERS[byte] for byte in word))
        return [token.id for token in tokens]

    def _of(self, words: Sequence[bytes]) -> Ids:
        if len(self._known) > KEPT_WORDS:
            self._known = {}
        known = self._known
        for word in set(words) - known.keys():
            known[word] = self.word(word)
        return np.fromiter(chain.from_iterable(map(known.__getitem__, words)), dtype=np.uint16)


def _library(vocabulary: Vocabulary) -> BPE | None:
    """The library's model; None where it knows no such vocabulary: it names a token by its bytes, so two of the same
    bytes are one to it. Proposals with such a merge are refused, but a vote binds also where it should not have passed.
    """
    ids: dict[str, int] = {}
    for token, data in enumerate(vocabulary.tokens):
        if data is not None and ids.setdefault(_characters(data), token) != token:
            return None
    names = [None if data is None else _characters(data) for data in vocabulary.tokens]
    first = vocabulary.rows - len(vocabulary.merges)
    pairs = [(names[left], names[right]) for left, right in vocabulary.merges]
    alive = [
        (left, right)
        for number, (left, right) in enumerate(pairs)
        if left is not None and right is not None and names[first + number] is not None
    ]
    return BPE(vocab=ids, merges=alive)


def _characters(data: bytes) -> str:
    return "".join(_CHARACTERS[byte] for byte in data)


def _portions(words: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for at in range(0, len(words), _PIECE):
        yield words[at : at + _PIECE]
