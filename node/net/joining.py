"""Taking part: the peer process beside `ponw run`. What it announces is said by `node.quorum.service`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.config import EMBEDDED_RPC, Settings
from node.errors import ConfigError
from node.net.client import Network
from node.net.settings import NetSettings, RelaySettings, Room, StakeSource


def network_id(chain_id: int, registry: str) -> bytes:
    """32 bytes that name a network: the registry's address on its chain binds programs, data and start state."""
    name = b"ponw/network/1\x00" + chain_id.to_bytes(8, "big") + bytes.fromhex(registry[2:])
    return hashlib.sha256(name).digest()


def net_settings(settings: Settings, deployment: Deployment) -> NetSettings:
    """What the peer process of this node is told.

    Raises:
        ConfigError: the chain lives in this process, where no peer could read a stake.
    """
    if settings.rpc_url == EMBEDDED_RPC:
        raise ConfigError("The embedded chain has no peers.", "Set `p2p = false`, or `rpc_url` to a chain.")
    stakes = StakeSource(rpc_url=settings.rpc_url, staking=deployment.addresses.staking)
    room = Room(inbound=settings.p2p_inbound, outbound=settings.p2p_outbound, unstaked_each=settings.p2p_per_address)
    relay = RelaySettings(
        mode=settings.p2p_relay,
        through=_listed(settings.p2p_relays),
        streams=settings.p2p_relay_streams,
        punch=settings.p2p_relay_punch,
        reservations=settings.p2p_relay_peers,
        bytes=settings.p2p_relay_mib << 20,
        seconds=settings.p2p_relay_seconds,
    )
    return NetSettings(
        home=settings.home,
        host=settings.p2p_host,
        port=settings.p2p_port,
        announce=_listed(settings.p2p_announce),
        bootstrap=_listed(settings.p2p_bootstrap),
        deny=_listed(settings.p2p_deny),
        mdns=settings.p2p_mdns,
        room=room,
        relay=relay,
        network=network_id(deployment.chain_id, deployment.addresses.registry).hex(),
        stakes=stakes,
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@contextmanager
def joined(settings: Settings, contracts: Contracts) -> Iterator[Network | None]:
    """Where `p2p` is set, the peer process of this node, for as long as the block runs; else None.

    Raises:
        ConfigError: see `net_settings`. NetworkDownError: the peer process does not start.
    """
    if not settings.p2p:
        yield None
        return
    with Network.start(net_settings(settings, Deployment.load(settings.contracts_file)), contracts.client) as network:
        yield network
