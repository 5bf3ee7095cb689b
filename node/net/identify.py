"""What peers say of themselves by libp2p's identify, bounded.

py-libp2p 0.8.1 keeps up to 1 MiB of one peer's protocols and addresses, for a thousand peers, and reads without any
bound what comes where a message should be.
"""

from __future__ import annotations

from typing import Any, Final

import trio
from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.update import update_peerstore_from_identify
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from node.net.errors import malformed
from node.net.limits import ADDRESS_BYTES, ADDRESSES_MAX, IDENTIFY_BYTES, IDENTIFY_SECONDS, PROTOCOLS_MAX

PUSH: Final = TProtocol("/ipfs/id/push/1.0.0")
NAME_BYTES: Final = 128


async def take(stream: INetStream, peerstore: Any) -> None:
    """Read one message and note addresses and protocols of the peer.

    Raises:
        NetworkError: it is malformed, or its fields are out of bounds. Also the library's errors of a lost stream, and
            MessageTooLarge.
    """
    with trio.move_on_after(IDENTIFY_SECONDS):
        raw = await read_varint_prefixed_bytes_limited(stream, IDENTIFY_BYTES)
        await update_peerstore_from_identify(peerstore, stream.muxed_conn.peer_id, bounded(raw))


def bounded(raw: bytes) -> Identify:
    """The message's fields that are used here: addresses and protocols.

    Raises:
        NetworkError: no such message, or more or longer fields than a peer has reason to send.
    """
    try:
        said = Identify.FromString(raw)
    except DecodeError as error:
        raise malformed("Bytes that are no identify message.") from error
    if any(len(address) > ADDRESS_BYTES for address in said.listen_addrs) or len(said.protocols) > PROTOCOLS_MAX:
        raise malformed("An identify message of too many or too long fields.")
    if any(len(name.encode()) > NAME_BYTES for name in said.protocols):
        raise malformed("An identify message with the name of no protocol.")
    return Identify(listen_addrs=said.listen_addrs[:ADDRESSES_MAX], protocols=said.protocols)
