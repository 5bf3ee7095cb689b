"""The process behind `ponw devnet up`: it runs anvil, saves its state, and stops it.

anvil's own `--state` writes in place, so a kill at the wrong moment leaves a file that it refuses to load. The keeper
asks for the state by RPC and replaces the file atomically instead: whatever dies when, the file on disk loads.

A lock on `lock` is held by keeper and anvil alike; it is free exactly when both are gone.
"""

from __future__ import annotations

import argparse
import fcntl
import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from node.errors import DevnetError, DiskError
from node.paths import PRIVATE_FILE, write_atomic

HOST = "127.0.0.1"
CHAIN_ID = 31337
DEV_MNEMONIC = "test test test test test test test test test test test junk"
"""The public mnemonic of every Ethereum development chain; its keys are worth nothing."""
HARDFORK = "prague"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
DUMP_SHARE = 10
"""A dump is followed by a pause of at least this many times its own duration."""


@dataclass(frozen=True)
class Running:
    """What `devnet.json` says about the chain that holds the lock."""

    keeper_pid: int
    anvil_pid: int
    port: int
    block_time: int

    @property
    def rpc_url(self) -> str:
        """The endpoint of this chain."""
        return f"http://{HOST}:{self.port}"


def rpc(port: int, method: str, *params: object, timeout: float = 5.0) -> object:
    """One JSON-RPC call to the chain on this machine; the `result`.

    Raises:
        OSError, http.client.HTTPException: nobody answers. DevnetError: the answer is an error or not JSON-RPC.
    """
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        reply = json.loads(connection.getresponse().read())
    except ValueError as error:
        raise DevnetError(
            f"The program on port {port} does not speak JSON-RPC.", "Choose another devnet_port."
        ) from error
    finally:
        connection.close()
    if not isinstance(reply, dict) or "result" not in reply:
        raise DevnetError(f"The chain on port {port} refused {method}.", "See the log in the devnet folder.")
    return reply["result"]


def save_state(port: int, target: Path) -> None:
    """Write the whole state of the chain on `port` to `target`, atomically, as JSON that `--load-state` takes.

    Raises:
        OSError, http.client.HTTPException, DevnetError: the chain does not answer; DiskError: it cannot be written.
    """
    dumped = rpc(port, "anvil_dumpState", timeout=60.0)
    # The gzip checksum proves that the dump is whole before it replaces the old one.
    write_atomic(target, gzip.decompress(bytes.fromhex(str(dumped).removeprefix("0x"))), PRIVATE_FILE)


def wait_until_answering(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once the chain answers with its id.

    Raises:
        DevnetError: the process ended, or nothing answered within START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if rpc(port, "eth_chainId") == hex(CHAIN_ID):
                return
        except (OSError, http.client.HTTPException):
            threading.Event().wait(POLL_SECONDS)
    raise DevnetError("anvil ended before it answered.", "See the log in the devnet folder.")


def catch_up(port: int) -> None:
    """Move the chain's clock past its last block: a loaded state whose clock ran ahead would go back in time."""
    block = rpc(port, "eth_getBlockByNumber", "latest", False)
    if not isinstance(block, dict):
        raise DevnetError("The development chain has no last block.", "Remove its state file to start afresh.")
    ahead = int(str(block["timestamp"]), 16) - int(time.time())
    if ahead >= 0:
        rpc(port, "evm_increaseTime", ahead + 1)


class Keeper:
    """Owns one anvil process from start to end."""

    def __init__(self, folder: Path, anvil: Path, port: int, block_time: int, interval: float) -> None:
        self._folder = folder
        self._anvil = anvil
        self._port = port
        self._block_time = block_time
        self._interval = interval
        self._stop = threading.Event()
        self._saved_block: object = None
        self._state = folder / "state.json"

    def run(self, ready: int) -> None:
        """Start anvil, tell the parent through the pipe `ready`, save until stopped or anvil dies."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with self._start(lock) as process:
            try:
                wait_until_answering(self._port, process)
                catch_up(self._port)
                self._save()
                running = Running(os.getpid(), process.pid, self._port, self._block_time)
                write_atomic(self._folder / "devnet.json", json.dumps(asdict(running)).encode())
                os.write(ready, b"ready")
                os.close(ready)
                self._keep(process)
            finally:
                stop_process(process)

    def _start(self, lock: int) -> subprocess.Popen[bytes]:
        command = [str(self._anvil), "--quiet", "--host", HOST, "--port", str(self._port)]
        command += ["--chain-id", str(CHAIN_ID), "--mnemonic", DEV_MNEMONIC, "--hardfork", HARDFORK]
        command += ["--block-time", str(self._block_time)] if self._block_time else []
        command += ["--load-state", str(self._state)] if self._state.exists() else []
        log = os.open(self._folder / "anvil.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        try:
            # anvil inherits the lock, so that the lock tells of it even after the keeper is killed.
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,))  # noqa: S603
        finally:
            os.close(log)

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        pause = self._interval
        while not self._stop.wait(pause) and process.poll() is None:
            began = time.monotonic()
            self._save()
            pause = max(self._interval, DUMP_SHARE * (time.monotonic() - began))
        if process.poll() is None:
            self._save()

    def _save(self) -> None:
        try:
            block = rpc(self._port, "eth_blockNumber")
            if block != self._saved_block or self._stop.is_set():
                save_state(self._port, self._state)
                self._saved_block = block
        except (OSError, http.client.HTTPException, DevnetError, DiskError) as error:
            # anvil is gone or busy, or the disk is full: the last saved file stands and the loop goes on.
            print(f"state not saved: {error}", file=sys.stderr, flush=True)


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End a child: SIGTERM, then SIGKILL after STOP_SECONDS."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Entry of `python -m node.chain.keeper`, started by node.chain.devnet only."""
    parser = argparse.ArgumentParser(description="keeps one development chain")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--anvil", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--block-time", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--ready", type=int, required=True)
    given = parser.parse_args()
    Keeper(given.folder, given.anvil, given.port, given.block_time, given.interval).run(given.ready)


if __name__ == "__main__":
    main()
