"""Records in the Kademlia DHT: the rules decide what is stored, for how long, and which of two is newer."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

import trio
from libp2p.abc import INetStream
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.records.validator import NamespacedValidator, Validator

from node.errors import PonwError
from node.net.errors import NetworkError, malformed
from node.net.guard import Watch, name_of
from node.net.limits import RECORD_BYTES, RECORD_KEY_BYTES, RECORD_SWEEP_SECONDS
from node.net.score import Offence
from node.net.wire.common_pb2 import Refusal

log = logging.getLogger(__name__)
NAMESPACE: Final = "ponw"
_writer: contextvars.ContextVar[str] = contextvars.ContextVar("writer", default="")
"""The peer whose stream is being served in this task; "" in our own look-ups."""


class RecordRules(Protocol):
    """Pure rules of records; node.net.records has the network's."""

    def check(self, key: bytes, value: bytes, now: int) -> None:
        """Raise PonwError unless `value` is a well signed record of `key` that has not expired at `now`."""

    def rank(self, key: bytes, value: bytes) -> int:
        """The version of a value that `check` took; the higher replaces the lower."""


def text_key(key: bytes) -> str:
    """A key as the DHT has it."""
    return f"/{NAMESPACE}/{key.hex()}"


class RecordValidator(Validator):
    """The library's hook. `may_write` tells whether a peer that stores a record here is staked."""

    def __init__(self, rules: RecordRules, watch: Watch, may_write: Callable[[str], bool]) -> None:
        self._rules, self._watch, self._may_write = rules, watch, may_write

    def validate(self, key: str, value: bytes) -> None:
        """Raises ValueError, which the library takes for "refuse"; a peer that wrote it pays with score."""
        peer = _writer.get()
        try:
            if peer and not self._may_write(peer):
                raise NetworkError("A record from a peer that is not staked.", "", Refusal.NOT_STAKED)
            self.check(bytes.fromhex(key.removeprefix(f"/{NAMESPACE}/")), value)
        except (PonwError, ValueError) as error:
            if peer:
                staked = isinstance(error, NetworkError) and error.code == Refusal.NOT_STAKED
                self._watch.charge(peer, Offence.UNSTAKED_WRITE if staked else Offence.MALFORMED, str(error))
            raise ValueError(str(error)) from error

    def check(self, key: bytes, value: bytes) -> None:
        """Bounds, then the rules; raises PonwError."""
        if len(key) > RECORD_KEY_BYTES or len(value) > RECORD_BYTES:
            raise malformed(f"A record of {len(value)} bytes; {RECORD_BYTES} are allowed.", Refusal.TOO_LARGE)
        self._rules.check(key, value, self._watch.now())

    def select(self, key: str, values: list[bytes]) -> int:
        """The index of the newest; the first of equals."""
        raw = bytes.fromhex(key.removeprefix(f"/{NAMESPACE}/"))
        ranks = [self._rules.rank(raw, value) for value in values]
        return ranks.index(max(ranks))


class Records:
    """Put, get and sweep, over the library's node."""

    def __init__(self, host: Any, watch: Watch, rules: RecordRules, may_write: Callable[[str], bool]) -> None:
        self._watch, self._rules = watch, rules
        self._validator = RecordValidator(rules, watch, may_write)
        spaces = NamespacedValidator({NAMESPACE: self._validator}, strict_validation=True)
        # Subnet limits would leave two peers of a LAN in the table; what keeps made-up crowds out is the stake.
        self.node = KadDHT(
            host,
            DHTMode.SERVER,
            validator=spaces,
            validator_changed=True,
            strict_validation=True,
            enable_providers=False,
            max_peers_per_subnet=0,
        )
        host.set_stream_handler("/ipfs/kad/1.0.0", self._serve)

    async def _serve(self, stream: INetStream) -> None:
        _writer.set(name_of(stream.muxed_conn.peer_id))
        await self.node.handle_stream(stream)

    async def put(self, key: bytes, value: bytes) -> None:
        """Store a record here and at the closest peers.

        Raises:
            PonwError: the rules refuse it. NetworkError: a newer one stands here.
        """
        self._validator.check(key, value)
        try:
            await self.node.put_value(text_key(key), value)
        except ValueError as error:
            raise NetworkError(f"The record is not stored: {error}.", "Sign one with a higher version.") from error

    async def get(self, key: bytes) -> bytes | None:
        """The newest value that the closest peers and we hold, or None.

        The library answers from its own store alone when it holds any value, however old; so ours is put aside.
        """
        raw = text_key(key).encode()
        store = self.node.value_store.store
        aside = store.pop(raw, None)
        try:
            found = await self.node.get_value(text_key(key))
        finally:
            if aside is not None and raw not in store:
                store[raw] = aside
        held = store.get(raw)
        values = [value for value in (found, held and bytes(held[0].value)) if value and self._holds(key, value)]
        return max(values, key=lambda value: self._rules.rank(key, value), default=None)

    def _holds(self, key: bytes, value: bytes) -> bool:
        try:
            self._validator.check(key, value)
        except PonwError:
            return False
        return True

    async def sweep(self) -> None:
        """Forget expired records, for ever."""
        while True:
            await trio.sleep(RECORD_SWEEP_SECONDS)
            self.sweep_once()

    def sweep_once(self) -> int:
        """Forget what the rules no longer take; how many."""
        store = self.node.value_store.store
        gone = [raw for raw, (record, _) in store.items() if not self._holds(_raw_key(raw), bytes(record.value))]
        for raw in gone:
            del store[raw]
        return len(gone)

    async def neighbours(self) -> list[str]:
        """Peers near us that the DHT knows."""
        own = self.node.local_peer_id
        found: list[ID] = await self.node.peer_routing.find_closest_peers_network(own.to_bytes())
        return [name_of(peer) for peer in found if peer != own]


def _raw_key(raw: bytes) -> bytes:
    text = raw.decode(errors="replace").removeprefix(f"/{NAMESPACE}/")
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
