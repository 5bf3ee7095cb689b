"""A prompt's tokens by the vocabulary that a server names: it may not answer another prompt than was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.data import tokens

Encode = Callable[[str, int], Sequence[int] | None]
"""(text, version of the vocabulary) → ids; None where the version is not known here."""


def byte_ids(text: str, version: int) -> Sequence[int] | None:
    """The ids of version 0, the bytes alone."""
    return None if version else [int(token) for token in tokens.encode(text.encode())]
