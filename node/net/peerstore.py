"""Who is known: the library's store, which here never forgets the node itself, nor who is connected.

py-libp2p 0.8.1 holds 1,000 peers and makes room by forgetting those without an address first. The node's own entry,
which holds its key, has none: after a thousand strangers a node could sign no announcement any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore


class LastingPeerStore(PeerStore):
    """Whom `keeps` names is kept, whatever the limit on peers is."""

    def __init__(self) -> None:
        super().__init__()
        self.keeps: Callable[[ID], bool] = lambda _: True

    def _enforce_peer_limit(self) -> None:
        with self._kept():
            super()._enforce_peer_limit()

    def _cleanup_expired_records(self) -> None:
        with self._kept():
            super()._cleanup_expired_records()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Out of reach of what makes room."""
        kept = {peer: data for peer, data in self.peer_data_map.items() if self.keeps(peer)}
        for peer in kept:
            del self.peer_data_map[peer]
        try:
            yield
        finally:
            self.peer_data_map.update(kept)
