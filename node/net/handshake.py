"""The protocol /ponw/hello/1: who is there, of which network, for which account. Without it no other stream is served.

The side that dialled sends Hello and reads HelloAnswer: a Hello, or a Refusal with its reason. Another network is
refused here, which is what keeps networks apart (a Kademlia prefix would not). Architecture and vocabulary may differ:
a peer that is behind must be able to catch up, so those are refused where they matter, by `refuse_versions`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio
from google.protobuf.message import Message
from libp2p.abc import INetStream

from node.net.bindings import Bindings
from node.net.book import plain_address
from node.net.errors import NetworkError, malformed
from node.net.guard import GONE, Watch, name_of
from node.net.hotkey import peer_text
from node.net.limits import ADDRESSES_MAX, CONTACTS_MAX, HELLO_BYTES, HELLO_SECONDS
from node.net.members import Member
from node.net.topics import parse
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.hello_pb2 import Binding, Contact, Hello, HelloAnswer

log = logging.getLogger(__name__)
_LENGTH: Final = 4


@dataclass
class Self:
    """What this node says of itself; the node's process may replace versions and binding at any time."""

    versions: Versions
    binding: Binding | None
    addresses: Callable[[], list[str]]


def refuse_versions(ours: Versions, theirs: Versions) -> NetworkError | None:
    """Why two peers cannot compute together, or None. For streams and messages that depend on the model."""
    for code, name, mine, other in (
        (Refusal.OTHER_NETWORK, "network", ours.network.hex()[:16], theirs.network.hex()[:16]),
        (Refusal.OTHER_ARCHITECTURE, "architecture", ours.arch_version, theirs.arch_version),
        (Refusal.OTHER_VOCABULARY, "vocabulary", ours.vocab_version, theirs.vocab_version),
    ):
        if mine != other:
            hint = "Set both nodes to one deployment." if name == "network" else "The one behind must catch up first."
            return NetworkError(f"We are on {name} {mine}, the peer on {other}.", hint, code)
    return None


async def read_frame(stream: INetStream, limit: int) -> bytes:
    """4 bytes of length, big-endian, then so many bytes.

    Raises:
        NetworkError: longer than `limit` (nothing is read), or ended early.
    """
    size = int.from_bytes(await _exactly(stream, _LENGTH))
    if size > limit:
        raise malformed(f"A frame of {size} bytes where {limit} are allowed.", Refusal.TOO_LARGE)
    return await _exactly(stream, size)


async def _exactly(stream: INetStream, size: int) -> bytes:
    # Not the library's read_exactly: it gives up after 101 reads.
    data = bytearray()
    while len(data) < size:
        part = await stream.read(size - len(data))
        if not part:
            raise malformed("A stream that ended within a frame.")
        data += part
    return bytes(data)


async def write_frame(stream: INetStream, message: Message) -> None:
    """The counterpart of `read_frame`."""
    data = message.SerializeToString()
    await stream.write(len(data).to_bytes(_LENGTH) + data)


class Handshake:
    """Both sides of the hello. `learn` is told addresses; `admit` finds a place for a peer of an account with a stake,
    or raises NetworkError."""

    def __init__(
        self,
        me: Self,
        watch: Watch,
        bindings: Bindings,
        learn: Callable[[str, list[str]], None],
        known: Callable[[], list[Contact]],
        seen_host: Callable[[str], str | None],
        admit: Callable[[str, str, int], None],
    ) -> None:
        self._me, self._watch, self._bindings = me, watch, bindings
        self._learn, self._known, self._seen_host, self._place = learn, known, seen_host, admit

    def hello(self) -> Hello:
        """Our own."""
        addresses = self._me.addresses()[:ADDRESSES_MAX]
        return Hello(
            versions=self._me.versions,
            binding=self._me.binding,
            addresses=addresses,
            known=self._known()[:CONTACTS_MAX],
        )

    async def greet(self, stream: INetStream) -> Member:
        """As the dialling side, on a fresh hello stream: the admitted member.

        Raises:
            NetworkError: either side refuses; the reason says which. Also the library's errors of a lost stream.
        """
        peer = name_of(stream.muxed_conn.peer_id)
        with trio.fail_after(HELLO_SECONDS):
            await write_frame(stream, self.hello())
            answer = parse(HelloAnswer, await read_frame(stream, HELLO_BYTES))
        if answer.WhichOneof("answer") == "refusal":
            raise NetworkError(f"It refuses us: {answer.refusal.reason[:500]}", "", answer.refusal.code)
        member = await self._check(peer, answer.hello)
        await stream.close()
        self._admit(member, answer.hello)
        return member

    async def answer(self, stream: INetStream, refused: Callable[[str, NetworkError], None]) -> bool:
        """The other side's part: whether the peer is admitted.

        `refused` is told at once why not; the peer then gets two seconds to read the reason.
        """
        peer = name_of(stream.muxed_conn.peer_id)
        try:
            with trio.fail_after(HELLO_SECONDS):
                hello = parse(Hello, await read_frame(stream, HELLO_BYTES))
            member = await self._check(peer, hello)
            self._admit(member, hello)
        except NetworkError as error:
            refused(peer, error)
            await self._refuse(stream, error)
            return False
        await write_frame(stream, HelloAnswer(hello=self.hello()))
        await stream.close()
        return True

    async def _refuse(self, stream: INetStream, error: NetworkError) -> None:
        try:
            with trio.move_on_after(2):
                await write_frame(stream, HelloAnswer(refusal=error.refusal()))
                await stream.close()
                # The dialling side closes the connection once it has read the reason.
                await stream.read(1)
        except GONE:
            log.debug("a refused peer did not wait for the reason")

    async def _check(self, peer: str, hello: Hello) -> Member:
        now = self._watch.now()
        if reason := self._watch.ledger.banned(peer, now):
            raise NetworkError(f"The peer is banned: {reason}", "", Refusal.BANNED)
        if len(hello.addresses) > ADDRESSES_MAX or len(hello.known) > CONTACTS_MAX:
            raise malformed("A hello with too many addresses.", Refusal.TOO_LARGE)
        mine, theirs = self._me.versions.network, hello.versions.network
        if mine != theirs:
            shown = f"We are on network {mine.hex()[:16]}, the peer on {theirs.hex()[:16]}."
            raise NetworkError(shown, "Set both nodes to one deployment.", Refusal.OTHER_NETWORK)
        account = await self._bindings.account_of(peer, hello.binding, now)
        stake = await self._bindings.stake_of(account)
        addresses = [plain_address(text, self._seen_host(peer)) for text in hello.addresses]
        self._place(peer, account, stake)
        return Member(peer, account, stake, hello.versions, addresses, now)

    def _admit(self, member: Member, hello: Hello) -> None:
        self._learn(member.peer, member.addresses)
        for contact in hello.known:
            if len(contact.peer) > 64 or len(contact.addresses) > ADDRESSES_MAX:
                raise malformed("A hello with an oversized contact.", Refusal.TOO_LARGE)
            self._learn(peer_text(contact.peer), [plain_address(text) for text in contact.addresses])
        self._watch.members.admit(member)
