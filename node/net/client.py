"""The peer network as the rest of the node uses it: blocking and thread-safe, while libp2p runs in its own process.

    with Network.start(settings, signer) as network:
        network.publish("heartbeats", body)
        with network.dial(peer, "/ponw/activations/1", 5.0) as stream:
            stream.sendall(data)

The process is restarted when it dies, with the same key and port. What was open then is lost: streams raise
ConnectionResetError, calls raise NetworkDownError until it serves again, subscriptions end.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import structlog

from node.net.errors import NetworkDownError, NetworkError
from node.net.identity import TypedSigner, hot_key, peer_bytes, sign_binding
from node.net.limits import BINDING_SECONDS
from node.net.link import Control, Listener, PeerInfo, PeerStream
from node.net.settings import NetSettings
from node.net.wire.hello_pb2 import Binding
from node.paths import private_folder

__all__ = ["Control", "Listener", "Network", "PeerInfo", "PeerStream"]

KEY_NAME: Final = "hot.key"
ERRORS_NAME: Final = "process.err"
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 15.0
REVIEW_SECONDS: Final = 60.0
"""Between two looks at the binding's expiry."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LASTING_SECONDS: Final = 60.0
"""A process that ran for so long failed by chance: the next restart is quick again."""
_log = structlog.get_logger(__name__)


class Network(Control):
    """A peer process of our own. Use as a context manager; `signer` is the staked account, None only reads."""

    program: Sequence[str] = (sys.executable, "-m", "node.net.process")

    def __init__(
        self, settings: NetSettings, signer: TypedSigner | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(settings.control)
        self._settings, self._signer, self._clock = settings, signer, clock
        private_folder(settings.folder)
        self._seed = hot_key(settings.folder / KEY_NAME)
        self._binding: Binding | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._starting = threading.Lock()
        """Held while a process is made and told what to do, so that none is made once we close."""
        self._watcher = threading.Thread(target=self._watch, name="peer-process", daemon=True)
        self.restarts = 0
        """How often the process was started again."""

    @classmethod
    def start(cls, settings: NetSettings, signer: TypedSigner | None = None) -> Self:
        """For `with`: the process serves inside, and is gone after it.

        Raises (on entry):
            NetworkDownError: it does not start; the message says why.
        """
        return cls(settings, signer)

    @property
    def pid(self) -> int:
        """The process now."""
        return 0 if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self._spawn()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._starting:
            self._closing.set()
        # The watcher may be reading what the process says: its output is closed once that thread is done.
        self._ask_to_end()
        self._watcher.join(STOP_SECONDS)
        self._end()

    def _spawn(self) -> None:
        with self._starting:
            if self._closing.is_set():
                return
            process = self._process = self._popen()
        try:
            ready = _ready(process)
        except NetworkError:
            self._end()
            raise
        # The port is kept, so that peers find a restarted process where it was.
        port = int(str(ready["addresses"][0]).rsplit("/", 1)[1])
        self._settings = self._settings.model_copy(update={"port": self._settings.port or port})

    def _popen(self) -> subprocess.Popen[bytes]:
        self._bind()
        binding = self._binding.SerializeToString() if self._binding else b""
        lines = (self._settings.model_dump_json(), self._seed.hex(), binding.hex())
        path = self._settings.folder / ERRORS_NAME
        if path.exists() and path.stat().st_size:
            path.replace(path.with_name(path.name + ".1"))  # what the last one died of
        with path.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own program
                self.program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdin is not None  # noqa: S101 - narrows for the type checker
        try:
            process.stdin.write("".join(f"{line}\n" for line in lines).encode())
            process.stdin.flush()
        except BrokenPipeError as error:
            raise NetworkDownError("The peer process ended at once.", self._errors_hint()) from error
        return process

    def _bind(self) -> None:
        """Sign a new binding once half of the old one's time is over."""
        now = int(self._clock())
        if self._signer is None or (self._binding and self._binding.expiry - now > BINDING_SECONDS // 2):
            return
        network = bytes.fromhex(self._settings.network)
        self._binding = sign_binding(self._signer, peer_bytes(self._seed), network, now + BINDING_SECONDS)

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            began = time.monotonic()
            self._wait()
            if self._closing.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - began > LASTING_SECONDS else min(2 * pause, LONGEST_PAUSE)
            status = None if self._process is None else self._process.returncode
            errors = str(self._settings.folder / ERRORS_NAME)
            _log.warning("peer_process_died", status=status, pause=pause, errors=errors)
            if self._closing.wait(pause):
                return
            self.restarts += 1
            try:
                self._spawn()
            except NetworkError as error:
                _log.warning("peer_process_does_not_start", reason=error.message)

    def _wait(self) -> None:
        """Until the process ends, renewing the binding meanwhile."""
        assert self._process is not None  # noqa: S101 - narrows for the type checker
        while True:
            try:
                self._process.wait(REVIEW_SECONDS)
            except subprocess.TimeoutExpired:
                self._renew()
                continue
            return

    def _renew(self) -> None:
        before = self._binding
        self._bind()
        if self._binding is not None and self._binding is not before:
            try:
                self.set_binding(self._binding)
            except NetworkError as error:
                _log.warning("binding_not_renewed", reason=error.message)

    def _end(self) -> None:
        self._ask_to_end()
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def _ask_to_end(self) -> None:
        """Closing its standard input is how it is asked."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _errors_hint(self) -> str:
        return f"See {self._settings.folder / ERRORS_NAME}."


def _ready(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the process says once it serves.

    Raises:
        NetworkDownError: it says why it cannot, ends, or says nothing in START_SECONDS.
    """
    assert process.stdout is not None  # noqa: S101 - narrows for the type checker
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else b""
    if not line:
        raise NetworkDownError("The peer process did not start.", "See net/process.err in the home folder.")
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        raise NetworkDownError(str(said["error"]), str(said.get("hint", "")))
    return said
