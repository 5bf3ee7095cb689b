"""Decoding of what accounts have written into events."""

from __future__ import annotations

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.registry import BaseEquals, registry
from web3 import Web3


def lenient() -> Web3:
    """A Web3 without a chain that decodes any string: no contract checks that a text is UTF-8, so a byte that is none
    becomes U+FFFD. A strict decoder would let one account's text stop every node that reads the log."""
    known = registry.copy()  # type: ignore[no-untyped-call]
    known.unregister_decoder("string")
    text = StringDecoder("replace")  # type: ignore[no-untyped-call]
    known.register_decoder(BaseEquals("string"), text, label="string")  # type: ignore[no-untyped-call]
    made = Web3()
    made.codec = ABICodec(known)
    return made
