"""Who a peer is: a hot libp2p key on disk, bound to a staked Ethereum account by that account's EIP-712 signature.

The wallet's key signs the binding once a month in the node's process and never enters the one that faces the network.
A stolen hot key can speak for the account until the binding expires; it can move no money.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address

from economics.constants import EIP712_NAME, EIP712_VERSION
from node.chain.signatures import packed, recovered
from node.errors import DiskError
from node.net.errors import IdentityError
from node.net.hotkey import Ed25519Key, peer_id
from node.net.limits import BINDING_SECONDS_MAX
from node.net.wire.common_pb2 import Refusal
from node.net.wire.hello_pb2 import Binding
from node.paths import read_bounded, write_new

SEED_BYTES: Final = 32
_TYPES: Final = {
    "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
    "PeerIdentity": [
        {"name": "peerId", "type": "bytes"},
        {"name": "account", "type": "address"},
        {"name": "network", "type": "bytes32"},
        {"name": "expiry", "type": "uint64"},
    ],
}


class TypedSigner(Protocol):
    """What signs for the account; `node.chain.client.ChainClient` does."""

    @property
    def address(self) -> str:
        """The account, 0x-hex."""

    def sign_typed(self, full_message: dict[str, Any]) -> tuple[int, int, int]:
        """(v, r, s) of an EIP-712 message."""


def hot_key(path: Path) -> bytes:
    """The 32-byte seed of the node's Ed25519 libp2p key, made on first use with mode 600.

    Raises:
        DiskError: it cannot be read or written, or is not 32 bytes.
    """
    write_new(path, Ed25519PrivateKey.generate().private_bytes_raw())
    seed = read_bounded(path, SEED_BYTES)
    if len(seed) != SEED_BYTES:
        raise DiskError(f"{path} is not a peer key of 32 bytes.", "Move it away; a new one is made.")
    return seed


def peer_bytes(seed: bytes) -> bytes:
    """The peer id (38 bytes) of an Ed25519 seed."""
    return peer_id(Ed25519Key(seed).public)


def typed_message(peer: bytes, account: bytes, network: bytes, expiry: int) -> dict[str, Any]:
    """The EIP-712 message that binds the peer id (multihash) to the 20-byte account on one network until `expiry`."""
    return {
        "types": _TYPES,
        "primaryType": "PeerIdentity",
        "domain": {"name": EIP712_NAME, "version": EIP712_VERSION},
        "message": {"peerId": peer, "account": to_checksum_address(account), "network": network, "expiry": expiry},
    }


def sign_binding(signer: TypedSigner, peer: bytes, network: bytes, expiry: int) -> Binding:
    """The signer's account binds `peer` to itself on `network` (32 bytes) until `expiry` (Unix seconds)."""
    account = bytes.fromhex(signer.address.removeprefix("0x"))
    signature = packed(signer.sign_typed(typed_message(peer, account, network, expiry)))
    return Binding(account=account, expiry=expiry, signature=signature)


def check_binding(binding: Binding, peer: bytes, network: bytes, now: int) -> str:
    """The checksummed account that `peer` speaks for.

    Raises:
        IdentityError: expired, too long, of another shape, or not that account's signature over this peer and network.
    """
    if len(binding.account) != 20 or len(binding.signature) != 65:
        raise _broken("The binding to an account is malformed.")
    if not now < binding.expiry <= now + BINDING_SECONDS_MAX:
        raise _broken("The binding to an account has expired, or lasts too long.")
    message = encode_typed_data(full_message=typed_message(peer, binding.account, network, binding.expiry))
    signer = recovered(message, binding.signature)
    if signer is None:
        raise _broken("The binding's signature is malformed.")
    account: str = to_checksum_address(binding.account)
    if signer != account:
        raise _broken(f"The binding names {account}, but that account did not sign it for this peer and network.")
    return account


def _broken(message: str) -> IdentityError:
    return IdentityError(message, "Start the peer's node again: it signs a new binding.", Refusal.MALFORMED)
