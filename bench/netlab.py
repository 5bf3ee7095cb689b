"""A network of its own on one Linux machine: a namespace a node, and a router between them that delays, drops and cuts.

Every node has one TUN device; the router is this process, which holds their other ends and forwards IP packets as the
link between two nodes says. Loss and latency are those of packets, so TCP meets them as it would outside. It needs root
and /dev/net/tun, nothing of the kernel's traffic control.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IPV4: Final = 4
MTU: Final = 1500


class LabError(Exception):
    """This machine does not let such a network be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Link:
    """What happens to a packet from one node to another. ``latency``, ``jitter`` in seconds one way; ``loss`` 0..1;
    ``rate`` in bytes a second, 0 without limit; ``queue``: packets that may wait for the rate, the next are dropped."""

    latency: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    queue: int = 1000
    up: bool = True


@dataclass
class _Flow:
    """One direction between two nodes."""

    link: Link
    free_at: float = 0.0
    waiting: int = 0
    last_at: float = 0.0


@dataclass(order=True)
class _Parcel:
    due: float
    order: int
    flow: _Flow = field(compare=False)
    target: int = field(compare=False)
    packet: bytes = field(compare=False)


class Lab:
    """Nodes 0 to ``nodes - 1``; ``host(i)`` is the address of one, the same from everywhere."""

    def __init__(self, nodes: int, link: Link | None = None, seed: int = 0) -> None:
        if not 1 <= nodes <= 250:
            raise LabError("a lab has 1 to 250 nodes")
        self.nodes = nodes
        self._name = f"lab{os.getpid()}"
        self._flows = {(a, b): _Flow(link or Link()) for a in range(nodes) for b in range(nodes) if a != b}
        self._random, self._lock = random.Random(seed), threading.Lock()  # noqa: S311 - which packet is lost
        self._devices: list[int] = []
        self._parcels: list[_Parcel] = []
        self._order = itertools.count()
        self._wake_out, self._wake_in = os.pipe()
        self._thread = threading.Thread(target=self._route, name="netlab", daemon=True)
        self._closing = False
        self._walled: set[int] = set()
        self._begun: set[tuple[bytes, bytes]] = set()
        self.forwarded = self.dropped = 0

    # --- what a test does with it ---

    def host(self, node: int) -> str:
        """IPv4 address of a node."""
        return f"10.77.0.{node + 1}"

    def command(self, node: int, arguments: Sequence[str]) -> list[str]:
        """The command that runs ``arguments`` as that node."""
        return ["ip", "netns", "exec", self._namespace(node), *arguments]

    def shape(self, link: Link, a: int | None = None, b: int | None = None) -> None:
        """Change links both ways: between ``a`` and ``b``, all of ``a``, or all there are."""
        with self._lock:
            for (x, y), flow in self._flows.items():
                if a is None or {a, b} == {x, y} or (b is None and a in (x, y)):
                    flow.link = link

    def cut(self, *groups: Sequence[int]) -> None:
        """Partition: packets pass within a group only. Nodes of no group keep their links to each other."""
        of = {node: number for number, group in enumerate(groups) for node in group}
        with self._lock:
            for (x, y), flow in self._flows.items():
                flow.link = _with(flow.link, of.get(x) == of.get(y))

    def heal(self) -> None:
        """Every link is up again."""
        with self._lock:
            for flow in self._flows.values():
                flow.link = _with(flow.link, True)

    def wall(self, *nodes: int) -> None:
        """Give nodes a firewall: TCP reaches them only where they have sent to that very port themselves before."""
        with self._lock:
            self._walled = set(nodes)

    # --- making and unmaking ---

    def open(self) -> None:
        """Make namespaces and devices. Raises LabError where this machine refuses."""
        try:
            for node in range(self.nodes):
                self._devices.append(self._attach(node))
        except OSError as error:
            self.close()
            raise LabError(f"no TUN device: {error}") from error
        except subprocess.CalledProcessError as error:
            self.close()
            raise LabError(f"`{' '.join(error.cmd)}` failed: {error.stderr.decode().strip()}") from error
        self._thread.start()

    def close(self) -> None:
        """Remove everything, in whatever state it is."""
        self._closing = True
        os.write(self._wake_in, b"x")
        if self._thread.is_alive():
            self._thread.join()
        for device in self._devices:
            os.close(device)
        os.close(self._wake_in)
        os.close(self._wake_out)
        for node in range(self.nodes):
            if Path("/run/netns", self._namespace(node)).exists():
                _ip("netns", "del", self._namespace(node))

    def _attach(self, node: int) -> int:
        namespace, name = self._namespace(node), f"{self._name}n{node}"
        _ip("netns", "add", namespace)
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
        _ip("link", "set", name, "netns", namespace)
        _ip("-n", namespace, "addr", "add", f"{self.host(node)}/24", "dev", name)
        _ip("-n", namespace, "link", "set", name, "mtu", str(MTU), "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        return device

    def _namespace(self, node: int) -> str:
        return f"{self._name}-{node}"

    # --- the router ---

    def _route(self) -> None:
        selector = selectors.DefaultSelector()
        for node, device in enumerate(self._devices):
            selector.register(device, selectors.EVENT_READ, node)
        selector.register(self._wake_out, selectors.EVENT_READ, None)
        while not self._closing:
            now = time.monotonic()
            timeout = max(0.0, self._parcels[0].due - now) if self._parcels else None
            for key, _ in selector.select(timeout):
                if key.data is not None:
                    self._take(key.data, key.fd)
            self._deliver(time.monotonic())
        selector.close()

    def _take(self, source: int, device: int) -> None:
        """Read what a node has sent and give each packet its time of arrival."""
        for _ in range(64):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            if packet[0] >> 4 != _IPV4 or len(packet) < 20:
                continue  # IPv6 neighbours asking for routers
            target = packet[19] - 1
            flow = self._flows.get((source, target))
            if packet[16:19] != b"\x0a\x4d\x00" or flow is None:
                continue
            with self._lock:
                if self._admits(source, target, packet):
                    self._schedule(flow, target, packet, time.monotonic())
                else:
                    self.dropped += 1

    def _admits(self, source: int, target: int, packet: bytes) -> bool:
        """What the firewalls let through, if there are any."""
        if not self._walled:
            return True
        ports = (packet[0] & 15) * 4
        if packet[9] != socket.IPPROTO_TCP or len(packet) < ports + 4:
            return target not in self._walled
        ends = (packet[12:16] + packet[ports : ports + 2], packet[16:20] + packet[ports + 2 : ports + 4])
        if source in self._walled:
            self._begun.add(ends)
        return target not in self._walled or ends[::-1] in self._begun

    def _schedule(self, flow: _Flow, target: int, packet: bytes, now: float) -> None:
        link = flow.link
        full = link.rate and flow.waiting >= link.queue
        if not link.up or full or (link.loss and self._random.random() < link.loss):
            self.dropped += 1
            return
        start = max(now, flow.free_at)
        flow.free_at = start + (len(packet) / link.rate if link.rate else 0.0)
        jitter = self._random.random() * link.jitter if link.jitter else 0.0
        due = max(flow.free_at + link.latency + jitter, flow.last_at)  # a link keeps the order
        flow.last_at = due
        flow.waiting += 1
        heapq.heappush(self._parcels, _Parcel(due, next(self._order), flow, target, packet))

    def _deliver(self, now: float) -> None:
        while self._parcels and self._parcels[0].due <= now:
            parcel = heapq.heappop(self._parcels)
            parcel.flow.waiting -= 1
            try:
                os.write(self._devices[parcel.target], parcel.packet)
                self.forwarded += 1
            except BlockingIOError:  # the node's queue is full: a real router drops too
                self.dropped += 1


@contextmanager
def lab(nodes: int, link: Link | None = None, seed: int = 0) -> Iterator[Lab]:
    """A lab that is there within the block. Raises LabError where this machine refuses."""
    made = Lab(nodes, link, seed)
    made.open()
    try:
        yield made
    finally:
        made.close()


def _with(link: Link, up: bool) -> Link:
    return Link(link.latency, link.jitter, link.loss, link.rate, link.queue, up)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
