"""What the ids of a version mean."""

from collections.abc import Iterable, Sequence
from typing import Final, Self

from consensus.errors import VocabularyError
from consensus.model.tokens import BYTE_VOCAB, VOCAB_SIZE
from governance.tokenizer.words import WORD_BYTES

Pair = tuple[int, int]
"""The ids that a merge joins."""

MAX_ROWS: Final = 2**16 - 1
"""Rows of embedding and head at most: ids are stored in 16 bits."""
TOKEN_BYTES_MAX: Final = WORD_BYTES + 1
"""Bytes of the longest word, so of the longest token that can occur."""


class Vocabulary:
    """Bytes, specials, and the merges of a version's whole ancestry in order: merge k makes id 264 + k.

    A token that can never occur (a special, a merge of one, one longer than any word) stands for no bytes: None.
    """

    def __init__(self, merges: Iterable[Pair] = ()) -> None:
        """Raises VocabularyError for a merge of an id that does not exist before it, or too many of them."""
        self.merges: tuple[Pair, ...] = tuple(merges)
        if VOCAB_SIZE + len(self.merges) > MAX_ROWS:
            raise VocabularyError(f"{len(self.merges)} merges make more than {MAX_ROWS} rows")
        tokens: list[bytes | None] = [bytes([byte]) for byte in range(BYTE_VOCAB)]
        tokens += [None] * (VOCAB_SIZE - BYTE_VOCAB)
        for number, (left, right) in enumerate(self.merges):
            if not (0 <= left < len(tokens) and 0 <= right < len(tokens)):
                known = len(tokens)
                raise VocabularyError(f"merge {number} joins {left} and {right}, but {known} ids stand before it")
            tokens.append(join(tokens[left], tokens[right]))
        self._tokens = tokens

    @property
    def rows(self) -> int:
        """Rows of embedding and head."""
        return len(self._tokens)

    @property
    def tokens(self) -> Sequence[bytes | None]:
        """The bytes of every id."""
        return self._tokens

    def extended(self, merges: Iterable[Pair]) -> Self:
        """The version after this one; raises VocabularyError as the constructor does."""
        return type(self)((*self.merges, *merges))

    def text(self, token: int) -> str:
        """A token for people: bytes that are no printable ASCII as ``\\xNN``."""
        data = self._tokens[token] if 0 <= token < self.rows else None
        return f"<{token}>" if data is None else printable(data)

    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes behind a sequence of ids; specials stand for none."""
        return b"".join(self._tokens[token] or b"" for token in ids)


def printable(data: bytes) -> str:
    """Bytes as text that can be shown anywhere and typed again."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in data)


def join(left: bytes | None, right: bytes | None) -> bytes | None:
    """The bytes of a merge of two tokens; None where it can never occur."""
    if left is None or right is None or len(left) + len(right) > TOKEN_BYTES_MAX:
        return None
    return left + right
