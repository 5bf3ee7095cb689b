"""Transfers through two real peer processes: Noise, Yamux and the splice into the node's sockets between them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from transfer_peers import MIB, bytes_of

from node.net.catalogue import Catalogue
from node.net.giving import TransferService
from node.net.transfer import PROTOCOL, RefusedError, UnreachableError, Wanted, fetch, fetch_bytes, same_versions
from node.net.wire.common_pb2 import Versions

pytest.importorskip("node.net.client", reason="the peer process is not part of this tree")
pytestmark = pytest.mark.process


def test_transfer_between_peers_through_a_killed_peer_process(tmp_path: Path) -> None:
    """The server's peer process is killed (-9) in the middle; after its restart the fetch goes on where it stopped."""
    from peer_nodes import NETWORK, Signer, ids, settings, stake_file, until

    from node.net.client import Network
    from node.net.errors import PeerLostError

    def dialled(taker: Network) -> socket.socket | None:
        try:
            return taker.dial(name, PROTOCOL)
        except PeerLostError:
            return None

    stake_file(tmp_path, 1, 2)
    versions = Versions(network=bytes.fromhex(NETWORK))
    data, target = bytes_of("between peers", 8 * MIB + 5), tmp_path / "got"
    catalogue, read, killed = Catalogue(), list[int](), threading.Event()
    root = catalogue.add_bytes(data)
    source = catalogue.find(root)
    assert source is not None
    reading = source.read

    def wait_at_the_fifth(index: int) -> bytes:
        read.append(index)
        assert index < 5 or killed.wait(60)
        return reading(index)

    source.read = wait_at_the_fifth  # type: ignore[method-assign]
    blamed: list[tuple[str, str]] = []
    with (
        Network.start(settings(tmp_path, "giver"), Signer(1)) as giver,
        Network.start(settings(tmp_path, "taker", *giver.addresses()), Signer(2)) as taker,
        giver.listen(PROTOCOL) as listener,
        TransferService(listener, catalogue, same_versions(versions), lambda *what: blamed.append(what)),
    ):
        name = giver.me
        until(lambda: name in ids(taker))
        until(lambda: taker.me in ids(giver))
        with taker.dial(name, PROTOCOL) as stream:
            with pytest.raises(RefusedError, match="NOT_FOUND"):
                fetch_bytes(stream, Wanted(b"\1" * 32), versions, peer=name)
            killer = threading.Thread(target=lambda: (until(lambda: 5 in read), os.kill(giver.pid, signal.SIGKILL)))
            killer.start()
            with pytest.raises(UnreachableError):
                fetch(stream, Wanted(root), target, versions, peer=name)
            killer.join(60)
            killed.set()
        assert not target.exists()
        until(lambda: giver.restarts == 1)
        del read[:]
        with until(lambda: dialled(taker)) as stream:  # once it is found again and serves the protocol again
            fetch(stream, Wanted(root), target, versions, peer=name)
    assert target.read_bytes() == data
    assert 0 < read[0] <= 5 and read == list(range(read[0], 9))
    assert blamed == []
