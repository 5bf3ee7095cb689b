"""200 MiB from one process to another: libp2p's stream, raw TCP, HTTP, and our transfer with its hashes, in turns."""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from bench.net_fleet import PeerProcess
from node.net.catalogue import Catalogue
from node.net.transfer import Wanted, fetch, same_versions, serve
from node.net.wire.common_pb2 import Versions

MIB: Final = 1 << 20
PIECE: Final = MIB
VERSIONS: Final = Versions(network=b"b" * 32)


def serve_tcp(listener: socket.socket, size: int) -> None:
    """Send `size` bytes to whoever connects."""
    piece = bytes(PIECE)
    while True:
        with listener.accept()[0] as stream:
            for _ in range(size // PIECE):
                stream.sendall(piece)


def serve_http(listener: socket.socket, size: int) -> None:
    """The same as the body of an answer, by the server that the node uses."""
    app = FastAPI()

    @app.get("/")
    async def body() -> StreamingResponse:
        async def pieces() -> object:
            for _ in range(size // PIECE):
                yield bytes(PIECE)

        return StreamingResponse(pieces(), media_type="application/octet-stream")  # type: ignore[arg-type]

    uvicorn.Server(uvicorn.Config(app, log_config=None)).run([listener])


def serve_transfer(listener: socket.socket, path: Path) -> None:
    """A file by its content root."""
    catalogue = Catalogue()
    catalogue.add_file(path)
    while True:
        with listener.accept()[0] as stream:
            serve(stream, catalogue, same_versions(VERSIONS), peer="client")


def read_tcp(port: int, size: int) -> None:
    """All of it."""
    with socket.create_connection(("127.0.0.1", port)) as stream:
        left = size
        while left:
            left -= len(stream.recv(min(PIECE, left)))


def read_http(port: int, size: int) -> None:
    """All of it."""
    with httpx.stream("GET", f"http://127.0.0.1:{port}/", trust_env=False) as answer:
        got = sum(len(part) for part in answer.iter_raw(PIECE))
    if got != size:
        raise RuntimeError(f"{got} of {size} bytes came")


@contextmanager
def server(target: Callable[..., None], *arguments: object) -> Iterator[int]:
    """A server in a process of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=target, args=(listener, *arguments), daemon=True)
        process.start()
        try:
            yield listener.getsockname()[1]
        finally:
            process.kill()
            process.join()


def measure(size: int, rounds: int) -> dict[str, float]:
    """MiB a second of each way, medians of `rounds` in turns."""
    speeds: dict[str, list[float]] = {"libp2p": [], "tcp": [], "http": [], "transfer": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        path.write_bytes(bytes(range(256)) * (size // 256))
        root = Catalogue().add_file(path)
        with (
            server(serve_tcp, size) as tcp,
            server(serve_http, size) as http,
            server(serve_transfer, path) as ours,
            PeerProcess(1) as giver,
            PeerProcess(2) as taker,
        ):
            taker.ask("dial", address=giver.address)
            wait_for_http(http)

            def transfer() -> None:
                with socket.create_connection(("127.0.0.1", ours)) as stream:
                    fetch(stream, Wanted(root), Path(folder) / "got", VERSIONS, peer="server")

            for _ in range(rounds):
                speeds["libp2p"].append(taker.ask("fetch", peer=giver.peer, size=size)["seconds"])
                speeds["tcp"].append(timed(lambda: read_tcp(tcp, size)))
                speeds["http"].append(timed(lambda: read_http(http, size)))
                speeds["transfer"].append(timed(transfer))
    return {way: round(size / MIB / statistics.median(seconds), 1) for way, seconds in speeds.items()}


def timed(work: Callable[[], None]) -> float:
    """Seconds it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def wait_for_http(port: int) -> None:
    """Until the server answers; its listener takes connections before."""
    httpx.head(f"http://127.0.0.1:{port}/none", timeout=60, trust_env=False)
