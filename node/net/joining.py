"""Taking part: the peer process beside `ponw run`, and a heartbeat of what the node does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from economics.constants import HEARTBEAT
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.config import EMBEDDED_RPC, Settings
from node.errors import ConfigError
from node.logs import get_logger
from node.net.client import Network
from node.net.errors import NetworkError
from node.net.settings import NetSettings, StakeSource
from node.net.wire.gossip_pb2 import Heartbeat
from node.training.snapshot import Snapshot

log = get_logger("net")
MODE_BYTES = 32


def network_id(deployment: Deployment) -> bytes:
    """32 bytes that name a network: the registry's address on its chain binds programs, data and start state."""
    registry = bytes.fromhex(deployment.addresses.registry[2:])
    return hashlib.sha256(b"ponw/network/1\x00" + deployment.chain_id.to_bytes(8, "big") + registry).digest()


def net_settings(settings: Settings, deployment: Deployment) -> NetSettings:
    """What the peer process of this node is told.

    Raises:
        ConfigError: the chain lives in this process, where no peer could read a stake.
    """
    if settings.rpc_url == EMBEDDED_RPC:
        raise ConfigError("The embedded chain has no peers.", "Set `p2p = false`, or `rpc_url` to a chain.")
    stakes = StakeSource(rpc_url=settings.rpc_url, staking=deployment.addresses.staking)
    return NetSettings(
        home=settings.home,
        host=settings.p2p_host,
        port=settings.p2p_port,
        announce=_listed(settings.p2p_announce),
        bootstrap=_listed(settings.p2p_bootstrap),
        deny=_listed(settings.p2p_deny),
        mdns=settings.p2p_mdns,
        network=network_id(deployment).hex(),
        stakes=stakes,
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@contextmanager
def joined(settings: Settings, contracts: Contracts) -> Iterator[Callable[[Snapshot], None]]:
    """Where `p2p` is set, run the peer process and announce the snapshots that are handed to what this yields.

    Raises:
        ConfigError: see `net_settings`. NetworkDownError: the peer process does not start.
    """
    if not settings.p2p:
        yield lambda _: None
        return
    told = net_settings(settings, Deployment.load(settings.contracts_file))
    with Network.start(told, contracts.client) as network:
        beats = Beats(network)
        try:
            yield beats.update
        finally:
            beats.close()


class Beats:
    """A thread that announces the newest snapshot every HEARTBEAT seconds."""

    def __init__(self, network: Network, pause: float = float(HEARTBEAT)) -> None:
        self._network, self._pause = network, pause
        self._now: Snapshot | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
        self._thread.start()

    def update(self, now: Snapshot) -> None:
        """What the node does now."""
        self._now = now

    def close(self) -> None:
        """Announce no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            if self._now is not None:
                self._announce(self._now)

    def _announce(self, now: Snapshot) -> None:
        mode = now.mode.encode()[:MODE_BYTES].decode(errors="ignore")
        beat = Heartbeat(mode=mode, round=max(0, now.round), step=max(0, now.step))
        try:
            self._network.publish("heartbeats", beat.SerializeToString())
        except NetworkError as error:
            log.warning("no heartbeat", reason=error.message)
