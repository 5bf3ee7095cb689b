"""The peer network as quorums use it: streams and topics of the peer process, and whom a peer speaks for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from node.logs import get_logger
from node.net.errors import NetworkError
from node.net.link import Control, Listener

log = get_logger("quorum")

LOOK_SECONDS: Final = 2.0
"""Between two looks at the peer process's table for a peer that is not in the last one."""


class NetPort:
    """Over a peer process. Threads may share it. ``clock``: seconds, monotonic."""

    def __init__(self, control: Control, clock: Callable[[], float]) -> None:
        self._control, self._clock = control, clock
        self._accounts: dict[str, bytes] = {}
        self._looked = -LOOK_SECONDS
        self._lock = threading.Lock()
        self.me = control.me

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        """A stream to a peer; raises NetworkError."""
        return self._control.dial(peer, protocol, timeout)

    def listen(self, protocol: str) -> Listener:
        """Serve a protocol; raises NetworkError where it is served already."""
        return self._control.listen(protocol)

    def publish(self, topic: str, body: bytes) -> int:
        """Announce; raises NetworkError."""
        return self._control.publish(topic, body)

    def subscribe(
        self, topic: str, timeout: float | None = None
    ) -> AbstractContextManager[Iterator[tuple[str, bytes]]]:
        """Announcements of others."""
        return self._control.subscribe(topic, timeout)

    def charge(self, peer: str, reason: str) -> None:
        """Put malformed bytes on a peer's record. With the peer process down the peer is lost: a line is logged."""
        try:
            self._control.charge(peer, reason)
        except NetworkError as error:
            log.warning("an offence is not on record", peer=peer, reason=error.message)

    def account_of(self, peer: str) -> bytes | None:
        """The account that an admitted peer speaks for; the peer process has checked its binding. None: not admitted.

        Raises:
            NetworkError: the peer process does not answer.
        """
        with self._lock:
            if peer not in self._accounts and self._clock() - self._looked >= LOOK_SECONDS:
                self._looked = self._clock()
                rows = self._control.peers()
                self._accounts = {row.id: bytes.fromhex(row.account[2:]) for row in rows if row.account}
            return self._accounts.get(peer)
