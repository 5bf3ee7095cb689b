"""A development chain on this machine: anvil, detached, its state kept safely in the home folder."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

import node
from node import paths
from node.chain import keeper
from node.chain.keeper import CHAIN_ID, DEV_MNEMONIC, HOST, Running
from node.errors import DevnetError, ToolError

__all__ = ["CHAIN_ID", "DEV_MNEMONIC", "Devnet", "Running", "dev_accounts", "find_anvil", "free_port"]

SAVE_SECONDS = 2.0
"""At most this much of the chain is lost when the whole machine stops at once."""
_children: dict[int, subprocess.Popen[bytes]] = {}
"""Keepers started by this very process, to be reaped when they end."""
NPM_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def find_anvil(configured: Path | None = None) -> Path:
    """The anvil program: the configured one, else npm's in a node_modules folder, else the one on PATH.

    Raises:
        ToolError: there is none.
    """
    if configured is not None:
        if os.access(configured, os.X_OK):
            return configured
        raise ToolError(f"The configured anvil {configured} is not a program.", "Correct `anvil` in config.toml.")
    for root in (Path(node.__file__).parents[1], Path.cwd()):
        found = _npm_anvil(root / "node_modules")
        if found is not None:
            return found
    on_path = shutil.which("anvil")
    if on_path is None:
        raise ToolError(
            "The program anvil is not installed.",
            "Run `npm ci` in the repository, install Foundry, or set rpc_url to an existing chain.",
        )
    return Path(on_path)


def _npm_anvil(modules: Path) -> Path | None:
    # The program itself is preferred to npm's wrapper, which would leave it running when the wrapper is killed.
    machine = NPM_ARCHITECTURES.get(platform.machine(), platform.machine())
    native = modules / "@foundry-rs" / f"anvil-{platform.system().lower()}-{machine}" / "bin" / "anvil"
    for candidate in (native, modules / ".bin" / "anvil"):
        if os.access(candidate, os.X_OK):
            return candidate
    return None


def free_port() -> int:
    """A TCP port on this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def dev_accounts(count: int) -> list[LocalAccount]:
    """The first `count` accounts of the development mnemonic (BIP-44 m/44'/60'/0'/0/i); anvil funds the first ten."""
    Account.enable_unaudited_hdwallet_features()
    path = "m/44'/60'/0'/0"
    return [Account.from_mnemonic(DEV_MNEMONIC, account_path=f"{path}/{index}") for index in range(count)]


@dataclass(frozen=True)
class Devnet:
    """The development chain of one folder. `port` 0 picks a free one; `block_time` 0 mines each transaction at once."""

    folder: Path
    port: int = 8545
    block_time: int = 1
    anvil: Path | None = None
    save_seconds: float = SAVE_SECONDS

    def running(self) -> Running | None:
        """The chain of this folder if keeper or anvil lives, else None."""
        return None if self._lock_is_free() else self._recorded()

    def up(self) -> Running:
        """Start the chain, from its saved state if there is one; does nothing when it already runs.

        Raises:
            ToolError: no anvil. DevnetError: it did not start (port taken, damaged installation).
        """
        anvil = find_anvil(self.anvil)
        paths.private_folder(self.folder)
        running = self.running()
        if running is not None:
            if _alive(running.keeper_pid):
                return running
            self._recover(running)
        port = self.port or free_port()
        _require_free(port)
        self._launch(anvil, port)
        started = self._recorded()
        if started is None:
            raise DevnetError("The development chain left no record.", f"See {self.folder / 'keeper.log'}.")
        return started

    def down(self) -> bool:
        """Save the state and stop the chain; False when it was not running.

        Raises:
            DevnetError: it did not stop in time.
        """
        running = self.running()
        if running is None:
            return False
        if _alive(running.keeper_pid):
            os.kill(running.keeper_pid, signal.SIGTERM)
            self._await_free(f"process {running.keeper_pid}")
        else:
            self._recover(running)
        child = _children.pop(running.keeper_pid, None)
        if child is not None:
            child.wait()
        return True

    def _launch(self, anvil: Path, port: int) -> None:
        _reap()
        read_end, write_end = os.pipe()
        options = {"folder": self.folder, "anvil": anvil, "port": port, "block-time": self.block_time}
        options |= {"interval": self.save_seconds, "ready": write_end}
        command = [sys.executable, "-m", "node.chain.keeper"]
        command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        log_path = self.folder / "keeper.log"
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, paths.PRIVATE_FILE)
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd=Path(node.__file__).parents[1],
            )
        finally:
            os.close(write_end)
            os.close(log)
        _children[process.pid] = process
        with os.fdopen(read_end, "rb") as ready:
            if ready.read() != b"ready":
                raise DevnetError("The development chain did not start.", f"See {log_path} and anvil.log beside it.")

    def _recover(self, running: Running) -> None:
        """The keeper was killed but anvil lives: save what it knows, then end it."""
        # If it does not answer any more, the last saved state stands.
        with contextlib.suppress(OSError, http.client.HTTPException):
            keeper.save_state(running.port, self.folder / "state.json")
        if not self._lock_is_free():
            os.kill(running.anvil_pid, signal.SIGKILL)
        self._await_free(f"process {running.anvil_pid}")

    def _await_free(self, who: str) -> None:
        if not _wait(self._lock_is_free, keeper.STOP_SECONDS + keeper.START_SECONDS):
            raise DevnetError(f"The development chain ({who}) does not stop.", "End that process, then try again.")

    def _lock_is_free(self) -> bool:
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _recorded(self) -> Running | None:
        try:
            return Running(**json.loads(paths.read_bounded(self.folder / "devnet.json")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise DevnetError(
                f"{self.folder / 'devnet.json'} is damaged.", "Remove it and end anvil by hand."
            ) from error


def _reap() -> None:
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise DevnetError(
                f"Port {port} is in use by another program.", "Stop it, or set devnet_port to another port."
            ) from error


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until `condition` holds or `seconds` passed; another process's end can't be waited for otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(keeper.POLL_SECONDS)
    return True
