"""Encodings of updates. Each decodes exactly, has a length that the shapes fix, and is checked while it is decoded."""

from consensus.aggregation.compression.codec import Codec, decode_update, encode_update, encoded_size
from consensus.aggregation.compression.feedback import ErrorFeedback, Sent
from consensus.aggregation.compression.fourlevel import FourLevel
from consensus.aggregation.compression.int8 import Int8
from consensus.aggregation.compression.topk import TopK
from consensus.aggregation.compression.twobit import TwoBit

__all__ = [
    "Codec",
    "ErrorFeedback",
    "FourLevel",
    "Int8",
    "Sent",
    "TopK",
    "TwoBit",
    "decode_update",
    "encode_update",
    "encoded_size",
]
