"""The byte vocabulary: one id a byte, then the specials. Ids never change meaning between versions."""

from typing import Final

BYTE_VOCAB: Final = 256
BOS: Final = 256
EOS: Final = 257
PAD: Final = 258
VOCAB_SIZE: Final = 264
"""Bytes, three specials and five ids held back, so that the row count divides by 8."""
