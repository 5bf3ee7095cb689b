"""WebSockets: statistics and events to all, heartbeats from volunteers, and nobody who holds up the rest."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from node.gateway import live
from node.gateway.app import create_app
from node.gateway.bus import RedisBus
from node.inference.serving import listen_at
from tests.gateway.volunteers import API, enrol

PATIENCE_S = 30


@contextmanager
def served(gateway):
    """The application at a real socket, in a thread; its http URI."""
    listener, uri = listen_at("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(gateway), log_config=None, ws="websockets-sansio", ws_max_size=live.MESSAGE_LIMIT
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield uri
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive()


def open_socket(uri, hello=None, **options):
    peer = connect(uri.replace("http", "ws") + f"{API}/ws/status", **options)
    peer.send(json.dumps({"type": "hello"} if hello is None else hello))
    return peer


def until(peer, kind):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        message = json.loads(peer.recv(timeout=deadline - time.monotonic()))
        if kind in {message["type"], message.get("kind")}:
            return message


def end_of(peer):
    try:
        while True:
            peer.recv(timeout=PATIENCE_S)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code, closed.rcvd.reason


@pytest.fixture
def gateway(open_gateways):
    return open_gateways(sockets_max=20)


@pytest.fixture
def uri(gateway):
    with served(gateway) as uri:
        yield uri


def test_everyone_hears_statistics_and_events(gateway, uri):
    with open_socket(uri) as one, open_socket(uri) as other:
        assert until(one, "stats")["stats"]["version"] == "v0"
        until(other, "stats")
        gateway.events.publish("claim", {"round": 7})
        assert until(one, "claim") == until(other, "claim")
        until(one, "stats")


def test_heartbeats_prolong_the_lease(gateway, uri, clock):
    with httpx.Client(base_url=uri) as api:
        ada = enrol(api)
        offer = ada.request()
        clock.advance(300)
        with open_socket(uri, {"type": "hello", "token": ada.token}) as peer:
            beat = {"type": "beat", "state": "training", "batch_id": offer["batch_id"], "step": 1, "steps": 2}
            peer.send(json.dumps(beat))
            deadline = time.monotonic() + PATIENCE_S
            while ada.request()["expires_at"] == offer["expires_at"]:
                assert time.monotonic() < deadline, "the lease is not prolonged"
        assert ada.request()["expires_at"] == offer["expires_at"] + 300


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", 1007),
        ('{"type":"hello","more":1}', 1007),
        (b"\x00", 1007),
        ('{"type":"hello","token":"forged"}', 1008),
        ('{"type":"hello"}|{"type":"beat","state":"idle"}', 1008),
        ("x" * (live.MESSAGE_LIMIT + 1), 1009),
    ],
)
def test_who_breaks_the_rules_is_closed(uri, sent, code):
    with connect(uri.replace("http", "ws") + f"{API}/ws/status") as peer:
        for part in sent.split("|") if isinstance(sent, str) else [sent]:
            peer.send(part)
        assert end_of(peer)[0] == code


def test_silence_ends_a_connection(uri, monkeypatch, gateway):
    monkeypatch.setattr(live, "HELLO_SECONDS", 0.2)
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)
    with connect(uri.replace("http", "ws") + f"{API}/ws/status") as peer:
        assert end_of(peer) == (1008, "no hello")
    with httpx.Client(base_url=uri) as api:
        ada = enrol(api)
    with open_socket(uri, {"type": "hello", "token": ada.token}) as peer:
        assert end_of(peer) == (1008, "no heartbeat")


def test_connections_are_counted(uri, gateway):
    opened = [open_socket(uri) for _ in range(20)]
    for peer in opened:
        until(peer, "stats")
    with pytest.raises(Exception, match="403"):
        connect(uri.replace("http", "ws") + f"{API}/ws/status")
    for peer in opened:
        peer.close()


def test_who_does_not_keep_up_is_dropped_and_holds_up_nobody(gateway, uri, monkeypatch):
    monkeypatch.setattr(live, "QUEUE", 8)
    host, _, port = uri.removeprefix("http://").partition(":")
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect((host, int(port)))
    with open_socket(uri, sock=lazy, max_queue=1) as slow, open_socket(uri) as quick:
        until(slow, "stats")
        until(quick, "stats")
        deadline = time.monotonic() + PATIENCE_S
        for number in itertools.count():
            gateway.events.publish("update", {"filler": os.urandom(100_000).hex(), "n": number})
            assert until(quick, "update")["detail"]["n"] == number
            if len(gateway.hub._clients) == 1:
                break
            assert time.monotonic() < deadline, "the slow client is never dropped"
        assert gateway.metrics.dropped._value.get() == 1


def test_several_processes_tell_the_same(open_gateways, redis_url):
    one, other = (open_gateways(redis_url=redis_url) for _ in range(2))
    with served(one) as uri, served(other) as further, open_socket(uri) as near, open_socket(further) as far:
        until(near, "stats")
        until(far, "stats")
        one.events.publish("version", {"version": "v9"})
        assert until(far, "version")["detail"] == until(near, "version")["detail"] == {"version": "v9"}


def test_messages_are_lost_but_nothing_fails_without_redis(tmp_path):
    bus, heard = RedisBus(f"unix://{tmp_path}/nothing.sock"), []
    bus.send("x")
    bus.close()
    assert not heard


def test_the_end_of_the_gateway_ends_connections(open_gateways):
    gateway = open_gateways()
    with served(gateway) as uri:
        peer = open_socket(uri)
        until(peer, "stats")
    assert end_of(peer)[0] in {1001, 1012}
    assert asyncio.iscoroutinefunction(gateway.hub.stop)
