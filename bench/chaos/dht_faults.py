"""A node of the DHT is lost for good, with the records that it held: all are found without it, and new ones stored."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.accounts import NumberedAccount
from bench.chaos.fleet import HangError
from bench.chaos.quorum_faults import Report, verdict
from bench.net_discovery import join
from economics.constants import MIN_STAKE
from node.net.client import Network
from node.net.errors import NetworkError
from node.net.plain import signed

NODES: Final = 6
RECORDS: Final = 12
LIMIT: Final = 60.0
"""Seconds from the loss until everyone finds every record: the library waits 10 s for a peer that is silent, and each
look-up may meet the lost one once."""
JOIN_SECONDS: Final = 90.0
Records = dict[bytes, bytes]


def start(folder: Path, stack: ExitStack) -> list[Network]:
    """Peer processes that know only the first, and wait until each has at least two peers."""
    folder.mkdir(parents=True, exist_ok=True)
    stakes = {NumberedAccount(number + 1).address: int(MIN_STAKE) for number in range(NODES + 1)}
    (folder / "stakes.json").write_text(json.dumps(stakes))
    nodes: list[Network] = []
    for number in range(NODES):
        bootstrap = nodes[0].addresses()[:1] if nodes else []
        nodes.append(stack.enter_context(join(folder, number, bootstrap)))
    wait("peers", lambda: all(len(node.peers()) == NODES - 1 for node in nodes), JOIN_SECONDS)
    return nodes


def wait(what: str, condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until something is so; raises HangError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise HangError(f"no {what} in {seconds:.0f} s")
        time.sleep(0.05)  # the pace of asking
    return time.monotonic() - began


def store(nodes: list[Network], first: int) -> Records:
    """Records put by the nodes in turns."""
    put: Records = {}
    for number in range(first, first + RECORDS):
        key, value = signed(number.to_bytes(32, "big"), b"chaos", 1, int(time.time()) + 3_600, b"value %d" % number)
        nodes[number % len(nodes)].put(key, value)
        put[key] = value
    return put


def found(nodes: list[Network], records: Records) -> bool:
    """Whether every node finds every record; one that cannot answer does not."""
    try:
        return all(node.get(key) == value for node in nodes for key, value in records.items())
    except NetworkError:
        return False


def dht_node_lost(folder: Path) -> Report:
    """The node that was everybody's way in is killed and stays away."""
    with ExitStack() as stack:
        nodes = start(folder, stack)
        records = store(nodes, 1)
        wait("records", lambda: found(nodes, records), JOIN_SECONDS)
        lost, left = nodes[0], nodes[1:]
        way_in = left[0].addresses()[:1]
        os.kill(lost.pid, signal.SIGKILL)
        lost.__exit__(None, None, None)
        since = time.monotonic()
        old = wait("records", lambda: found(left, records), LIMIT)
        later = store(left, 1 + RECORDS)
        new = found(left, later)
        recovery = time.monotonic() - since
        late = stack.enter_context(join(folder, NODES, way_in))
        joined = wait("records at a late node", lambda: found([late], records | later), JOIN_SECONDS)
        more = {"old_found_s": round(old, 2), "late_node_found_s": round(joined, 2)}
        return verdict(recovery, LIMIT, {"new_stored_and_found": new}, records=len(records), **more)


CASES: Final[dict[str, Callable[[Path], Report]]] = {"dht_node_lost": dht_node_lost}
