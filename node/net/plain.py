"""Record rules for a network that has no others: an Ed25519 signature by the key that the record's key names.

Key: the 32-byte public key, then any label. Value: 8 bytes version, 8 bytes expiry (Unix seconds), 64 bytes signature,
payload. Signed: key length (1 byte), key, version, expiry, payload.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from node.net.errors import malformed

_HEAD: Final = 80
LIFETIME_MAX: Final = 48 * 3600
"""Seconds."""


def signed(seed: bytes, label: bytes, version: int, expiry: int, payload: bytes) -> tuple[bytes, bytes]:
    """(key, value) of a record."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key = private.public_key().public_bytes_raw() + label
    head = version.to_bytes(8) + expiry.to_bytes(8)
    return key, head + private.sign(bytes([len(key)]) + key + head + payload) + payload


class PlainRules:
    """See the module."""

    def check(self, key: bytes, value: bytes, now: int) -> None:
        """Raises NetworkError for a record that does not hold."""
        if not 32 <= len(key) <= 255 or len(value) < _HEAD:
            raise malformed("A record of another shape.")
        if not now < int.from_bytes(value[8:16]) <= now + LIFETIME_MAX:
            raise malformed("A record that has expired, or lasts too long.")
        text = bytes([len(key)]) + key + value[:16] + value[_HEAD:]
        try:
            Ed25519PublicKey.from_public_bytes(key[:32]).verify(value[16:_HEAD], text)
        except (InvalidSignature, ValueError) as error:
            raise malformed("A record with a forged signature.") from error

    def rank(self, key: bytes, value: bytes) -> int:
        """The version."""
        del key
        return int.from_bytes(value[:8])


RULES: Final = PlainRules()
