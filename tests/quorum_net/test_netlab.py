"""The lab delays, drops and cuts real packets between real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.netlab import Lab, LabError, Link, lab

SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 7000))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    with connection:
        total = 0
        while data := connection.recv(65536):
            total += len(data)
        connection.sendall(str(total).encode())
"""
CLIENT = """
import socket, sys, time
start = time.monotonic()
with socket.create_connection((sys.argv[1], 7000), timeout=float(sys.argv[3])) as connection:
    connection.sendall(bytes(int(sys.argv[2])))
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode(), time.monotonic() - start)
"""


@pytest.fixture
def two() -> Iterator[Lab]:
    try:
        with lab(2) as made:
            yield made
    except LabError as error:
        pytest.skip(f"no network of namespaces on this machine: {error}")


@pytest.fixture
def server(two: Lab) -> Iterator[None]:
    command = two.command(1, [sys.executable, "-c", SERVER, two.host(1)])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.kill()


def send(two: Lab, count: int, timeout: float = 30) -> tuple[int, float] | None:
    command = two.command(0, [sys.executable, "-c", CLIENT, two.host(1), str(count), str(timeout)])
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode:
        assert b"timed out" in done.stderr
        return None
    total, seconds = done.stdout.split()
    return int(total), float(seconds)


@pytest.mark.usefixtures("server")
def test_bytes_arrive_whole_over_a_lossy_link(two: Lab) -> None:
    assert send(two, 1_000_000)
    assert two.dropped == 0
    two.shape(Link(latency=0.005, loss=0.05))
    sent = send(two, 200_000)
    assert sent is not None
    assert sent[0] == 200_000
    assert two.dropped > 0


@pytest.mark.usefixtures("server")
def test_latency_is_at_least_what_the_link_says(two: Lab) -> None:
    two.shape(Link(latency=0.1))
    sent = send(two, 10)
    assert sent is not None
    assert sent[1] >= 0.4  # the handshake and the answer: two round trips


@pytest.mark.usefixtures("server")
def test_a_cut_and_its_healing(two: Lab) -> None:
    two.cut([0], [1])
    assert send(two, 10, timeout=1) is None
    two.heal()
    sent = send(two, 10)
    assert sent is not None
    assert sent[0] == 10


def test_nothing_is_left_behind() -> None:
    made = Lab(2)
    try:
        made.open()
    except LabError as error:
        pytest.skip(f"no network of namespaces on this machine: {error}")
    made.close()
    name = made.command(0, [])[3]
    for what in (["netns", "list"], ["link"]):
        listed = subprocess.run(["ip", *what], capture_output=True, check=True).stdout.decode()
        assert name.partition("-")[0] not in listed
