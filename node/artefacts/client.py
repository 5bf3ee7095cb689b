"""Fetching a peer's artefacts: bounded, resumed after interruptions, hashed while they arrive."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from torch import Tensor

from consensus.errors import CompressionError
from consensus.training.claimed import unpack_update, update_bytes
from node.artefacts.errors import (
    ArtefactHashError,
    ArtefactMissingError,
    ArtefactRefusedError,
    ArtefactSizeError,
    PeerUnreachableError,
)
from node.artefacts.layout import (
    INDEX_LIMIT,
    LEAF_BYTES,
    TRACE_NAME,
    UPDATE_NAME,
    IndexEntry,
    RoundIndex,
    ops_name,
    parse_index,
)
from node.artefacts.sources import Body, open_source
from node.storage.files import publish, reporting, temporary_beside
from node.storage.tensorfile import Shapes, TensorFile, largest_file, load_tensors

ATTEMPTS = 5
BACKOFF_MAX_S = 8.0
TOTAL_TIMEOUT_S = 600.0
ROOT_BYTES = 32
"""One root of an op trace."""
"""One artefact must arrive within this, however it trickles."""
_UNTRUSTED = "Treat the peer as not having published it."


class ArtefactClient:
    """Reads what one peer published. `uri` is an http(s) address, or with `allow_file` a `file://` artefact folder.

    Every method raises PeerUnreachableError (through all retries), ArtefactMissingError, ArtefactRefusedError,
    ArtefactSizeError or ArtefactHashError for what the peer does, and DiskError for this machine's disk.
    """

    def __init__(
        self,
        uri: str,
        *,
        allow_file: bool = False,
        attempts: int = ATTEMPTS,
        backoff_s: float = 0.2,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self.uri = uri
        self._source = open_source(uri, allow_file=allow_file)
        self._attempts, self._backoff_s, self._total_timeout_s = attempts, backoff_s, total_timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._source.close()

    def index(self, number: int) -> RoundIndex:
        """What the peer says it published for a round."""
        deadline = _Deadline(self._total_timeout_s)
        for attempt in self._retrying():
            with attempt, self._source.index(number) as body:
                data = _read_all(deadline.watch(body.chunks), INDEX_LIMIT, self.uri)
        return self.checked_index(data, number)

    def checked_index(self, data: bytes, number: int) -> RoundIndex:
        """The index of a round in what the peer gave. Raises ArtefactRefusedError."""
        index = parse_index(data)
        if index is None or index.round != number:
            raise ArtefactRefusedError(f"{self.uri} has a malformed index for round {number}.", _UNTRUSTED)
        return index

    def listed(self, index: RoundIndex, name: str, max_bytes: int) -> IndexEntry:
        """The entry of a file that may be downloaded. Raises ArtefactMissingError, ArtefactSizeError."""
        entry = index.find(name)
        if entry is None:
            raise ArtefactMissingError(f"{self.uri} does not list {name} for round {index.round}.", _UNTRUSTED)
        if entry.size > max_bytes:
            raise ArtefactSizeError(
                f"{self.uri} offers {name} with {entry.size} bytes; at most {max_bytes} make sense.", _UNTRUSTED
            )
        return entry

    def fetch(self, index: RoundIndex, name: str, target: Path, *, max_bytes: int) -> Path:
        """Download a file that `index` lists to `target`, which appears only when size and SHA-256 are right."""
        entry = self.listed(index, name, max_bytes)
        with reporting("write", target):
            handle, temporary = temporary_beside(target)
            try:
                with os.fdopen(handle, "wb") as file:
                    self._download(index.round, entry, file)
                publish(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        return target

    def fetch_trace(self, index: RoundIndex, steps: int, target: Path) -> list[bytes]:
        """The leaves of trace.bin, 72 bytes each; there must be exactly `steps` of them."""
        entry = index.find(TRACE_NAME)
        if entry is not None and entry.size != steps * LEAF_BYTES:
            raise ArtefactSizeError(f"{self.uri} offers a trace that does not have {steps} leaves.", _UNTRUSTED)
        data = self.fetch(index, TRACE_NAME, target, max_bytes=steps * LEAF_BYTES).read_bytes()
        return [data[start : start + LEAF_BYTES] for start in range(0, len(data), LEAF_BYTES)]

    def fetch_ops(self, index: RoundIndex, step: int, ops: int, target: Path) -> list[bytes]:
        """The roots of a step's op trace, 32 bytes each; there must be exactly `ops` of them."""
        name = ops_name(step)
        entry = index.find(name)
        if entry is not None and entry.size != ops * ROOT_BYTES:
            raise ArtefactSizeError(f"{self.uri} offers an op trace that does not have {ops} roots.", _UNTRUSTED)
        data = self.fetch(index, name, target, max_bytes=ops * ROOT_BYTES).read_bytes()
        return [data[start : start + ROOT_BYTES] for start in range(0, len(data), ROOT_BYTES)]

    def fetch_tensors(self, index: RoundIndex, name: str, shapes: Shapes, target: Path) -> TensorFile:
        """Download a safetensors file and load it if it holds exactly the fp32 tensors of `shapes`.

        Raises, besides the class's:
            TensorFileError: it holds something else.
        """
        return load_tensors(self.fetch(index, name, target, max_bytes=largest_file(shapes)), shapes)

    def fetch_update(self, index: RoundIndex, shapes: Shapes, target: Path) -> dict[str, Tensor]:
        """The update that is published for a round, fp32; its length is known before a byte is asked for.

        Raises, besides the class's:
            ArtefactRefusedError: the bytes are no update of these shapes.
        """
        due, entry = update_bytes(shapes), index.find(UPDATE_NAME)
        if entry is not None and entry.size != due:
            raise ArtefactSizeError(
                f"{self.uri} offers an update of {entry.size} bytes where {due} are due.", _UNTRUSTED
            )
        try:
            return unpack_update(self.fetch(index, UPDATE_NAME, target, max_bytes=due).read_bytes(), shapes)
        except CompressionError as error:
            raise ArtefactRefusedError(f"{self.uri} serves no update: {error}.", _UNTRUSTED) from error

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(PeerUnreachableError),
            stop=stop_after_attempt(self._attempts),
            wait=wait_random_exponential(multiplier=self._backoff_s, max=BACKOFF_MAX_S),
            reraise=True,
        )

    def _download(self, number: int, entry: IndexEntry, file: BinaryIO) -> None:
        progress = _Partial(self.uri, entry, file)
        deadline = _Deadline(self._total_timeout_s)
        for attempt in self._retrying():
            with attempt, self._source.file(number, entry, progress.received) as body:
                progress.take(body, deadline)
        progress.require_hash()


class _Partial:
    """A file on its way: what has arrived so far, and the running hash of it."""

    def __init__(self, uri: str, entry: IndexEntry, file: BinaryIO) -> None:
        self._uri, self._entry, self._file = uri, entry, file
        self.received = 0
        self._digest = hashlib.sha256()

    def take(self, body: Body, deadline: _Deadline) -> None:
        """Append a body that begins where we stand, or start over if it begins at 0."""
        if body.start == 0:
            self._restart()
        elif body.start != self.received:
            raise ArtefactRefusedError(f"{self._uri} sent another part of {self._entry.name} than asked.", _UNTRUSTED)
        for chunk in deadline.watch(body.chunks):
            if self.received + len(chunk) > self._entry.size:
                raise ArtefactSizeError(f"{self._uri} sent more of {self._entry.name} than its index says.", _UNTRUSTED)
            self._file.write(chunk)
            self._digest.update(chunk)
            self.received += len(chunk)
            if self.received == self._entry.size:
                return
        if self.received < self._entry.size:
            raise PeerUnreachableError(
                f"{self._uri} stopped after {self.received} of {self._entry.size} bytes of {self._entry.name}.",
                "The peer may be down; the next attempt may succeed.",
            )

    def require_hash(self) -> None:
        """Raises ArtefactHashError if what arrived is not what the index says."""
        if self._digest.hexdigest() != self._entry.sha256:
            raise ArtefactHashError(f"{self._entry.name} from {self._uri} does not have its hash.", _UNTRUSTED)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.received, self._digest = 0, hashlib.sha256()


class _Deadline:
    """A limit over all attempts at one artefact, against peers that send a byte now and then."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._seconds = seconds

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if time.monotonic() > self._end:
                raise ArtefactRefusedError(f"The peer took longer than {self._seconds:.0f} s.", _UNTRUSTED)
            yield chunk


def _read_all(chunks: Iterator[bytes], limit: int, uri: str) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > limit:
            raise ArtefactSizeError(f"{uri} sent an index of more than {limit} bytes.", _UNTRUSTED)
    return bytes(data)
