"""Hot keys of peers in libp2p's encodings: Ed25519 and secp256k1, without the library (which brings its event loop).

Only one spelling of each key and signature is accepted, so that nobody can vary a signed record without its key.
Source: libp2p specs, peer-ids.
"""

from __future__ import annotations

from typing import Final, Protocol

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ED25519: Final = b"\x08\x01\x12\x20"
_SECP256K1: Final = b"\x08\x02\x12\x21"
KEY_BYTES: Final = (len(_ED25519) + 32, len(_SECP256K1) + 33)
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_IDENTITY: Final = b"\0"
"""Multihash code of short keys, which stand in the peer id themselves."""
PEER_TEXT_LIMIT: Final = 64
SIGNATURE_LIMIT: Final = 72


class HotKey(Protocol):
    """A peer's private key."""

    @property
    def public(self) -> bytes:
        """libp2p's PublicKey message."""

    def sign(self, data: bytes) -> bytes:
        """Signature over `data` as libp2p makes it."""


class Ed25519Key:
    """An Ed25519 hot key from its 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self.public = _ED25519 + self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self._key.sign(data)


class Secp256k1Key:
    """A secp256k1 hot key from its 32-byte secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1())
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.public = _SECP256K1 + point

    def sign(self, data: bytes) -> bytes:
        """ECDSA over SHA-256 in DER, with the smaller s."""
        r, s = utils.decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256())))
        return utils.encode_dss_signature(r, min(s, _ORDER - s))


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether `signature` over `data` is of the key in libp2p's PublicKey message; False for any other key."""
    if len(signature) > SIGNATURE_LIMIT:
        return False
    try:
        if public.startswith(_ED25519) and len(public) == KEY_BYTES[0]:
            ed25519.Ed25519PublicKey.from_public_bytes(public[len(_ED25519) :]).verify(signature, data)
            return True
        if public.startswith(_SECP256K1) and len(public) == KEY_BYTES[1]:
            r, s = utils.decode_dss_signature(signature)
            if s > _ORDER // 2 or utils.encode_dss_signature(r, s) != signature:
                return False
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public[len(_SECP256K1) :])
            point.verify(signature, data, ec.ECDSA(SHA256()))
            return True
    except (InvalidSignature, ValueError):
        return False
    return False


def peer_id(public: bytes) -> bytes:
    """The peer id of a public key, a multihash of 38 or 39 bytes."""
    return _IDENTITY + bytes([len(public)]) + public


def peer_text(peer: bytes) -> str:
    """A peer id as people and libp2p show it: base58 of its multihash."""
    return base58.b58encode(peer).decode()


def peer_of(text: str) -> bytes:
    """The multihash of a peer id in base58. Raises ValueError for other characters."""
    return base58.b58decode(text)
