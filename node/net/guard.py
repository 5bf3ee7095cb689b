"""Nothing a peer sends may end the process: py-libp2p 0.8.1 lets exceptions of handlers escape into its nursery.

Every stream handler runs behind this module: only for admitted peers, a bounded number at a time, with whatever it
raises contained, the stream reset and the sender's score charged.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ParseError
from libp2p.host.basic_host import BasicHost
from libp2p.host.exceptions import HostException
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.io.exceptions import IOException, MessageTooLarge
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID

from node.net import identify
from node.net.errors import NetworkError
from node.net.limits import (
    HELLO_PROTOCOL,
    HELLO_SECONDS,
    KAD_SECONDS,
    KAD_STREAMS_PER_PEER,
    RELAY_CIRCUITS,
    SCORE_BAN,
    STREAM_RATE,
)
from node.net.limits import STREAMS_PER_PEER as STREAMS
from node.net.members import Members
from node.net.origins import Origins
from node.net.score import Ledger, Offence
from node.net.wire.common_pb2 import Refusal

log = logging.getLogger(__name__)
KAD_PROTOCOL = "/ipfs/kad/1.0.0"
HOP_PROTOCOL = "/libp2p/circuit/relay/0.2.0/hop"
STREAMS_OF = {KAD_PROTOCOL: KAD_STREAMS_PER_PEER, HOP_PROTOCOL: RELAY_CIRCUITS}
"""Where fewer than STREAMS are enough."""
BURST_SECONDS = 4
Handler = Callable[[INetStream], Awaitable[None]]
GONE = (
    StreamError,
    SwarmException,
    HostException,
    RawConnError,
    IOException,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
)
"""What an honest peer's lost connection raises; it costs nothing."""


_CODES = {Refusal.TOO_LARGE: Offence.OVERSIZED, Refusal.MALFORMED: Offence.MALFORMED}


class Bucket:
    """A token bucket: `rate` a second, a burst of BURST_SECONDS. Time in seconds, given by the caller."""

    def __init__(self, rate: int, now: float) -> None:
        self._rate, self._most = rate, rate * BURST_SECONDS
        self._tokens, self._at = float(self._most), now

    def take(self, now: float) -> bool:
        """Whether one more fits."""
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Buckets:
    """One bucket for each peer that is connected."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._of: dict[str, Bucket] = {}

    def take(self, peer: str, now: float) -> bool:
        """Whether one more of this peer fits."""
        return self._of.setdefault(peer, Bucket(self._rate, now)).take(now)

    def forget(self, peer: str) -> None:
        """It is gone."""
        self._of.pop(peer, None)


class Watch:
    """Score, bans and membership, as every part of the process uses them. `wall` gives Unix seconds, `clock` monotonic
    ones."""

    def __init__(
        self,
        members: Members,
        ledger: Ledger,
        origins: Origins,
        wall: Callable[[], float],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.members, self.ledger, self.origins, self._wall, self.clock = members, ledger, origins, wall, clock
        self.on_ban: Callable[[str], None] = lambda _: None
        """Called with the peer's name; must not block."""

    def now(self) -> int:
        """Unix seconds."""
        return int(self._wall())

    def charge(self, peer: str, offence: Offence, reason: str) -> None:
        """An offence on record; a ban disconnects."""
        log.info("offence of %s: %s (%s)", peer, offence.name, reason)
        self._charge_origin(peer, int(offence), reason)
        if self.ledger.charge(peer, offence, reason, self.now()):
            self.on_ban(peer)

    def charge_error(self, peer: str, error: Exception) -> None:
        """The offence that an exception out of a handler stands for, if any."""
        if offence := offence_of(error):
            self.charge(peer, offence, f"{type(error).__name__}: {error}"[:200])

    def ban(self, peer: str, reason: str, seconds: int) -> None:
        """Ban at once."""
        self._charge_origin(peer, SCORE_BAN, reason)
        self.ledger.ban(peer, reason, seconds, self.now())
        self.on_ban(peer)

    def _charge_origin(self, peer: str, points: int, reason: str) -> None:
        if origin := self.origins.charge(peer, points, reason, self.clock()):
            log.warning("%s is banned for what its peers did, the last one %s: %s", origin, peer, reason)


def offence_of(error: Exception) -> Offence | None:
    """What a handler's exception says about the peer; None where a lost connection explains it."""
    if isinstance(error, ExceptionGroup):
        found = [offence_of(inner) for inner in error.exceptions]
        return max((offence for offence in found if offence), default=None)
    if isinstance(error, NetworkError):
        return _CODES.get(error.code)
    if isinstance(error, MessageTooLarge):
        return Offence.OVERSIZED
    if isinstance(error, DecodeError | ParseError):
        return Offence.MALFORMED
    return None if isinstance(error, GONE) else Offence.BROKEN_STREAM


def name_of(peer: ID) -> str:
    """A peer id as text."""
    return str(peer.to_base58())


async def reset_quietly(stream: INetStream) -> None:
    """Reset a stream; that it or its connection is gone already is as good."""
    with trio.CancelScope(shield=True), trio.move_on_after(1):
        try:
            await stream.reset()
        except GONE:
            log.debug("reset of a stream that is gone")


async def contained(task: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Run a task of the host; an error nobody foresaw is logged and ends this task only."""
    try:
        await task(*arguments)
    except Exception:
        log.exception("a task of the host failed")


class GuardedHost(BasicHost):
    """A host whose handlers cannot end it, and that serves admitted peers only."""

    def __init__(self, network: Any, watch: Watch) -> None:
        self._watch = watch
        self._open: Counter[tuple[str, str]] = Counter()
        self._rates = Buckets(STREAM_RATE)
        super().__init__(network, disable_identify_address_discovery=True)
        self.set_stream_handler(identify.PUSH, self._take_identify)

    def set_stream_handler(self, protocol_id: TProtocol, stream_handler: Handler) -> None:
        """As in the library, behind the guard."""

        async def guarded(stream: INetStream) -> None:
            await self._serve(str(protocol_id), stream_handler, stream)

        super().set_stream_handler(protocol_id, guarded)

    def forget(self, peer: str) -> None:
        """A peer is gone: its rate starts afresh."""
        self._rates.forget(peer)

    async def _take_identify(self, stream: INetStream) -> None:
        await identify.take(stream, self.peerstore)
        await stream.close()

    async def _identify_peer(self, peer_id: ID, *, reason: str) -> None:
        """Ask a peer for what it serves; the library's own reads the answer without a bound.

        It is run as a system task of trio's: an error that escaped would end the process.
        """
        del reason
        await contained(self._ask_identify, peer_id)

    async def _ask_identify(self, peer_id: ID) -> None:
        try:
            stream = await self.new_stream(peer_id, [IDENTIFY])
        except (*GONE, trio.TooSlowError):
            log.debug("identify: a peer opens no stream")
            return
        await self._contained(name_of(peer_id), stream, self._take_identify)

    async def _swarm_stream_handler(self, net_stream: INetStream) -> None:
        peer = name_of(net_stream.muxed_conn.peer_id)
        if not self._rates.take(peer, trio.current_time()):
            self._watch.charge(peer, Offence.FLOOD, "too many streams")
            await reset_quietly(net_stream)
            return
        await self._contained(peer, net_stream, super()._swarm_stream_handler)

    async def _serve(self, protocol: str, handler: Handler, stream: INetStream) -> None:
        peer = name_of(stream.muxed_conn.peer_id)
        place, kad = (peer, protocol), protocol == KAD_PROTOCOL
        if self._open[place] >= STREAMS_OF.get(protocol, STREAMS):
            await reset_quietly(stream)
            return
        self._open[place] += 1
        try:
            if protocol != HELLO_PROTOCOL and await self._watch.members.wait_for(peer, HELLO_SECONDS) is None:
                await reset_quietly(stream)
                return
            with trio.move_on_after(KAD_SECONDS if kad else float("inf")) as scope:
                await self._contained(peer, stream, handler)
            if scope.cancelled_caught:
                await reset_quietly(stream)
        finally:
            self._open[place] -= 1
            if not self._open[place]:
                del self._open[place]

    async def _contained(self, peer: str, stream: INetStream, run: Handler) -> None:
        try:
            await run(stream)
        except Exception as error:  # noqa: BLE001 - the library raises anything on junk; one escape would end the host
            log.info("stream of %s ended by %s: %s", peer, type(error).__name__, error)
            self._watch.charge_error(peer, error)
            await reset_quietly(stream)
