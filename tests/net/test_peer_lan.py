"""Nodes on one LAN find each other by multicast DNS, told nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from namespaces import Elsewhere, ethernet

from node.net.errors import NetworkError
from node.net.lan import announced, learnable, service_name
from node.net.limits import ADDRESSES_MAX
from tests.net.peer_nodes import OTHER_NETWORK, ids, settings, stake_file, until


@pytest.mark.process
@pytest.mark.parametrize("listening", ["its own address", "every address"])
def test_two_nodes_on_a_cable_find_each_other(tmp_path: Path, listening: str) -> None:
    stake_file(tmp_path, 1, 2)
    with ethernet() as (command, hosts):
        where = hosts if listening == "its own address" else ["0.0.0.0", "0.0.0.0"]  # noqa: S104 - a namespace's own
        with (
            Elsewhere(command, 0, settings(tmp_path, "a", host=where[0], mdns=True), 1) as a,
            Elsewhere(command, 1, settings(tmp_path, "b", host=where[1], mdns=True), 2) as b,
        ):
            until(lambda: ids(a) == {b.me})
            until(lambda: ids(b) == {a.me})
            seen = {peer.id: list(peer.addresses) for peer in a.known()}
            assert any(address.startswith(f"/ip4/{hosts[1]}/tcp/") for address in seen[b.me])


@pytest.mark.process
def test_nodes_of_two_networks_leave_each_other_alone(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 2, 3)
    with (
        ethernet() as (command, hosts),
        Elsewhere(command, 0, settings(tmp_path, "a", host=hosts[0], mdns=True), 1) as a,
        Elsewhere(command, 1, settings(tmp_path, "o", host=hosts[1], mdns=True, network=OTHER_NETWORK), 3) as other,
        Elsewhere(command, 1, settings(tmp_path, "b", host=hosts[1], mdns=True), 2) as b,
    ):
        until(lambda: ids(a) == {b.me})  # by now the other one was heard as well
        assert other.me not in {peer.id for peer in a.known()}
        assert ids(other) == set()


def test_what_is_announced_on_a_lan() -> None:
    hosts = ["127.0.0.1", "192.0.2.5", "2001:db8::5", "10.0.0.7"]
    assert announced(["/ip4/0.0.0.0/tcp/9"], hosts) == ["/ip4/192.0.2.5/tcp/9", "/ip4/10.0.0.7/tcp/9"]
    assert announced(["/ip6/::/tcp/9"], hosts) == ["/ip6/2001:db8::5/tcp/9"]
    assert announced(["/ip4/192.0.2.5/tcp/9"], hosts) == ["/ip4/192.0.2.5/tcp/9"]
    assert announced(["/ip4/127.0.0.1/tcp/9"], hosts) == []
    assert len(announced(["/ip4/0.0.0.0/tcp/9"], [f"10.0.0.{n}" for n in range(1, 99)])) == ADDRESSES_MAX


def test_what_is_learned_of_a_lan() -> None:
    here = "/ip4/192.0.2.5/tcp/9"
    assert learnable([here, "/ip4/0.0.0.0/tcp/9", f"{here}/p2p/12D3KooW/p2p-circuit"]) == [here]
    assert len(learnable([here] * 99)) == ADDRESSES_MAX
    with pytest.raises(NetworkError):
        learnable(["/unix/tmp/x"])


def test_a_service_name_fits_into_dns() -> None:
    name = service_name(bytes.fromhex("ab" * 32))
    assert name == "_p2p-ponwababab._udp.local."
    assert len(name.split(".")[0].removeprefix("_")) <= 15
