"""Where artefact bytes come from: a peer over HTTP(S), or a folder of this machine."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import httpx

from node.artefacts.errors import ArtefactMissingError, ArtefactRefusedError, PeerUnreachableError, PeerUriError
from node.artefacts.layout import INDEX_NAME, IndexEntry, round_folder
from node.paths import disk_error
from node.storage.files import read_chunks

CONNECT_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 15.0
"""A peer that sends nothing for this long is given up (and retried)."""
_PATIENCE = "The peer may be down; the next attempt may succeed."
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


@dataclass(frozen=True)
class Body:
    """An open answer: `start` is the offset at which its `chunks` begin."""

    start: int
    chunks: Iterator[bytes]


class Source(ABC):
    """A place to read a round's files from."""

    @abstractmethod
    def index(self, number: int) -> AbstractContextManager[Body]:
        """The bytes of a round's index."""

    @abstractmethod
    def file(self, number: int, entry: IndexEntry, start: int) -> AbstractContextManager[Body]:
        """The bytes of a file from `start` on, or from 0 if the place cannot do that."""

    @abstractmethod
    def close(self) -> None:
        """Release connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(uri: str, *, allow_file: bool) -> Source:
    """The source behind a peer's URI. `file://` names an artefact folder and is refused unless allowed.

    Raises:
        PeerUriError: another scheme, credentials in it, a query, or no host.
    """
    try:
        parts = urlsplit(uri)
        plain = not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError as error:
        raise PeerUriError(f"{uri!r} is not an address of artefacts.", "The peer has to publish another.") from error
    if plain and parts.scheme in {"http", "https"} and parts.hostname:
        return HttpSource(uri.rstrip("/"))
    if plain and parts.scheme == "file" and parts.hostname in {None, "localhost"} and allow_file:
        return FolderSource(Path(unquote(parts.path)))
    raise PeerUriError(f"{uri!r} is not an address that artefacts are fetched from.", "Use http:// or https://.")


class HttpSource(Source):
    """A peer's artefact server. Follows no redirect and accepts no content coding: sizes must mean what they say."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._client = httpx.Client(
            follow_redirects=False,
            timeout=httpx.Timeout(IDLE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=4),
            headers={"accept-encoding": "identity"},
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def index(self, number: int) -> Iterator[Body]:
        """See Source."""
        with self._get(f"/v1/rounds/{number}/index", {}) as response:
            yield Body(0, response.iter_raw())

    @contextmanager
    def file(self, number: int, entry: IndexEntry, start: int) -> Iterator[Body]:
        """See Source."""
        headers = {"range": f"bytes={start}-", "if-range": f'"{entry.sha256}"'} if start else {}
        with self._get(f"/v1/rounds/{number}/files/{entry.name}", headers) as response:
            yield Body(self._start(response, entry), response.iter_raw())

    @contextmanager
    def _get(self, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        try:
            with self._client.stream("GET", self._base + path, headers=headers) as response:
                self._require_success(response)
                yield response
        except httpx.InvalidURL as error:
            raise PeerUriError(f"{self._base} is not a usable address.", "The peer has to publish another.") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise PeerUnreachableError(f"{self._base} cannot be read: {reason}.", _PATIENCE) from error

    def _require_success(self, response: httpx.Response) -> None:
        if response.status_code in {404, 410}:
            raise ArtefactMissingError(f"{response.url} is not there.", "The peer does not publish it (any more).")
        if response.status_code in {429, 500, 502, 503, 504}:
            raise PeerUnreachableError(f"{response.url} answered {response.status_code}.", _PATIENCE)
        coding = response.headers.get("content-encoding", "identity")
        if response.status_code not in {200, 206} or coding != "identity":
            raise ArtefactRefusedError(
                f"{response.url} answered {response.status_code} ({coding}), which is not how artefacts are served.",
                "The peer does not follow the protocol.",
            )

    def _start(self, response: httpx.Response, entry: IndexEntry) -> int:
        if response.status_code == 200:
            return 0
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None or int(match[3]) != entry.size:
            raise ArtefactRefusedError(
                f"{response.url} sent a part without saying which.", "The peer does not follow the protocol."
            )
        return int(match[1])


class FolderSource(Source):
    """An artefact folder of this machine, for networks whose nodes share a disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def close(self) -> None:
        """Nothing is held open."""

    @contextmanager
    def index(self, number: int) -> Iterator[Body]:
        """See Source."""
        with self._open(round_folder(self._root, number) / INDEX_NAME, 0) as body:
            yield body

    @contextmanager
    def file(self, number: int, entry: IndexEntry, start: int) -> Iterator[Body]:
        """See Source."""
        with self._open(round_folder(self._root, number) / entry.name, start) as body:
            yield body

    @contextmanager
    def _open(self, path: Path, start: int) -> Iterator[Body]:
        try:
            file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ArtefactMissingError(f"{path} is not there.", "The peer does not publish it (any more).") from error
        except OSError as error:
            raise disk_error("read", path, error) from error
        with file:
            file.seek(start)
            yield Body(start, read_chunks(file))
