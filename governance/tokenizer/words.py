"""Where text is cut into words: merges never cross the border of one. A rule over bytes, so it needs no table.

Classes: letters (A–Z, a–z and every byte from 0x80, so that UTF-8 sequences stay whole), digits (0–9), blanks (0x20 and
0x09–0x0D), signs (the rest of ASCII). From left to right, the next word is the first of these that fits, each as long
as it can be and of ``WORD_BYTES`` bytes of its class at most:

1. one class of letters, digits or signs, with one 0x20 before it where there is one;
2. blanks up to a 0x20 that a byte of another class follows: that one belongs to the next word;
3. blanks.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

WORD_BYTES: Final = 64
"""Most bytes of one class in a word; a blank before them is one more."""

_RUNS: Final = (rb"A-Za-z\x80-\xff", rb"0-9", rb"\x00-\x08\x0e-\x1f!-/:-@\[-`{-\x7f")
_BLANK: Final = rb"\t-\r "
_LENGTH: Final = b"{1,%d}" % WORD_BYTES
_WORD: Final = re.compile(
    b"|".join(
        [
            *(b" ?[" + run + b"]" + _LENGTH for run in _RUNS),
            b"[" + _BLANK + b"]" + _LENGTH + b"(?= [^" + _BLANK + b"])",
            b"[" + _BLANK + b"]" + _LENGTH,
        ]
    )
)


def words_of(text: bytes) -> list[bytes]:
    """The words of a text; joined, they are the text."""
    return _WORD.findall(text)


class WordStream:
    """Words of a text that comes in pieces: the same ones wherever it was cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The words that are sure to be whole."""
        found = _WORD.findall(self._rest + piece)
        # Only the last one can still change: no other reaches the end, or looks beyond the byte after its successor.
        self._rest = found.pop() if found else b""
        return found

    def end(self) -> list[bytes]:
        """What is left when the text is over."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def count_words(documents: Iterable[Iterable[bytes]]) -> Counter[bytes]:
    """How often each word stands in these documents, each of them a sequence of pieces."""
    counts: Counter[bytes] = Counter()
    for document in documents:
        for words in stream(document):
            counts.update(words)
    return counts


def stream(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The words of one document, a piece at a time."""
    words = WordStream()
    for piece in pieces:
        yield words.feed(piece)
    yield words.end()
