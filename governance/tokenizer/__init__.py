"""Byte-level BPE over the merges of a version: words, encoding and decoding."""

from governance.tokenizer.encoder import Encoder
from governance.tokenizer.vocabulary import Pair, Vocabulary
from governance.tokenizer.words import WordStream, count_words, words_of

__all__ = ["Encoder", "Pair", "Vocabulary", "WordStream", "count_words", "words_of"]
