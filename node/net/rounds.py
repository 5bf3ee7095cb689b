"""Published rounds over streams: what the HTTP server shows, and a client with the methods of the HTTP client."""

from __future__ import annotations

import hashlib
import socket
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

import structlog

from node.artefacts.client import ATTEMPTS, ArtefactClient
from node.artefacts.errors import ArtefactHashError
from node.artefacts.layout import INDEX_LIMIT, INDEX_NAME, RoundIndex, round_folder
from node.artefacts.publisher import read_index
from node.errors import DiskError, PonwError
from node.net.catalogue import Catalogue
from node.net.transfer import fetch, fetch_bytes, locate
from node.net.transfer_types import RefusedError, TransferError, UnreachableError, Wanted
from node.net.wire.common_pb2 import Versions
from node.storage.files import publish, read_chunks, reporting

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
REMEMBERED: Final = 1024
"""Files whose chunk roots are kept; computing them again reads the file."""
T = TypeVar("T")
_UNTRUSTED: Final = "Treat the peer as not having published it."


class RoundCatalogue(Catalogue):
    """Everything listed in the indices of the rounds below `root`, found by round and name. Hashed when first asked."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._known: OrderedDict[tuple[int, str, str], bytes] = OrderedDict()
        self._lock = Lock()

    def locate(self, number: int, name: str) -> bytes | None:
        """Root of a listed file, or of the index itself; None where there is none."""
        index = read_index(self._root, number)
        if index is None:
            return None
        entry = index.find(name)
        if entry is None and name != INDEX_NAME:
            return None
        path = round_folder(self._root, number) / name
        key = (number, name, entry.sha256 if entry else index.model_dump_json())
        with self._lock:  # one thread hashes at a time
            return self._known[key] if key in self._known else self._remember(key, path)

    def _remember(self, key: tuple[int, str, str], path: Path) -> bytes | None:
        if path.is_symlink() or not path.is_file():
            return None
        try:
            root = self._known[key] = self.add_file(path)
        except DiskError as error:  # dropped meanwhile, or unreadable: the peer is told that it is not here
            log.warning("published file not given", path=str(path), reason=error.message)
            return None
        while len(self._known) > REMEMBERED:
            forgotten = self._known.popitem(last=False)[1]
            if forgotten not in self._known.values():
                self.remove(forgotten)
        return root


class StreamArtefacts(ArtefactClient):
    """Reads what one peer published, over streams that `dial` opens. Raises what ArtefactClient does.

    `dial` may raise PonwError where the peer is not reached; that is tried again. Chunks are checked against the root
    that the peer names, the whole against the index. An interrupted fetch goes on where it stopped, in this process or
    the next.
    """

    def __init__(
        self,
        dial: Callable[[], socket.socket],
        peer: str,
        versions: Versions,
        *,
        attempts: int = ATTEMPTS,
        backoff_s: float = 0.2,
    ) -> None:
        self.uri = peer
        self._dial, self._versions = dial, versions
        self._attempts, self._backoff_s = attempts, backoff_s
        self._stream: socket.socket | None = None

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def index(self, number: int) -> RoundIndex:
        """What the peer says it published for a round."""

        def take(stream: socket.socket) -> bytes:
            place = locate(stream, number, INDEX_NAME, self._versions, peer=self.uri)
            return fetch_bytes(stream, Wanted(place.root, limit=INDEX_LIMIT), self._versions, peer=self.uri)

        return self.checked_index(self._with_stream(take), number)

    def fetch(self, index: RoundIndex, name: str, target: Path, *, max_bytes: int) -> Path:
        """Download a file that `index` lists to `target`, which appears only when size and SHA-256 are right."""
        entry = self.listed(index, name, max_bytes)
        arrived = target.parent / f".{target.name}.arrived"

        def take(stream: socket.socket) -> None:
            place = locate(stream, index.round, name, self._versions, peer=self.uri)
            fetch(stream, Wanted(place.root, size=entry.size), arrived, self._versions, peer=self.uri)

        self._with_stream(take)
        with reporting("write", target):
            if _sha256(arrived) != entry.sha256:
                arrived.unlink()
                raise ArtefactHashError(f"{name} from {self.uri} does not have its hash.", _UNTRUSTED)
            publish(arrived, target)
        return target

    def _connected(self) -> socket.socket:
        if self._stream is None:
            try:
                self._stream = self._dial()
            except PonwError as error:
                raise UnreachableError(self.uri, error.message, error.hint) from error
        return self._stream

    def _with_stream(self, take: Callable[[socket.socket], T]) -> T:
        """`take` on a stream, again on a new one where the peer was silent or gone."""
        for attempt in self._retrying():
            with attempt:
                try:
                    result = take(self._connected())
                except RefusedError:
                    raise  # the stream is at the beginning of the next request
                except TransferError:
                    self.close()
                    raise
        return result


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for data in read_chunks(file):
            digest.update(data)
    return digest.hexdigest()
