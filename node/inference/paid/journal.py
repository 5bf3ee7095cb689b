"""A payer's records of its paid requests, one file each, on disk before anything is done: a crash loses nothing."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consensus.model.config import ModelConfig
from node import paths
from node.chain.escrow import Quote
from node.inference.paid.errors import RequestFileError
from node.inference.paid.messages import ANSWER_TOKENS, Asked, Hash, Id, Offer, Signed, Tokens, unhex

FOLDER = "requests"
FILE_BYTES = 4 << 20
"""Most bytes of one record: an offer and the ids of a whole answer, with room to spare."""
_HINT = "The money behind it stands on chain; ask for help before removing the file."


class Step(StrEnum):
    """How far a request has come at its payer."""

    PREPARED = "prepared"
    OPEN = "open"
    OVER = "over"


class Record(BaseModel):
    """One request. `tokens` is the highest voucher that was ever signed; `ids` are the tokens received so far, `reason`
    is why the server says that no more come; `signed` is its signature of the answer, which was checked for a model of
    shape `config`. The text is not kept: a server could make it too long to be read again."""

    model_config = ConfigDict(extra="forbid")

    request: Hash
    server: Annotated[str, Field(max_length=512)]
    asked: Asked
    offer: Offer
    salt: Hash
    step: Step = Step.PREPARED
    block: Annotated[int, Field(ge=0)] = 0
    seed: Hash | None = None
    tokens: Tokens = 0
    ids: Annotated[list[Id], Field(max_length=ANSWER_TOKENS)] = []
    text: Annotated[str, Field(exclude=True)] = ""
    reason: str = ""
    outcome: str = ""
    signed: Signed | None = None
    config: ModelConfig | None = None

    @property
    def id(self) -> bytes:
        """The request's id, 32 bytes."""
        return unhex(self.request)

    @property
    def quote(self) -> Quote:
        """The quote."""
        return self.offer.quote.quote()


class Journal:
    """The records below a home folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def prepare(self, request: bytes, server: str, asked: Asked, offer: Offer) -> Record:
        """A new record with a salt of its own, on disk.

        Raises:
            RequestFileError: it is on record already. DiskError: it cannot be written; then nothing may be opened.
        """
        name, salt = "0x" + request.hex(), "0x" + secrets.token_hex(32)
        record = Record(request=name, server=server, asked=asked, offer=offer, salt=salt)
        if not paths.write_new(self._path(name), record.model_dump_json().encode()):
            raise RequestFileError(f"The server quoted request {name[:18]} before.", "Ask again in a second.")
        return record

    def save(self, record: Record) -> None:
        """Replace the record on disk, durably. Raises DiskError."""
        paths.write_atomic(self._path(record.request), record.model_dump_json().encode())

    def load(self, request: str) -> Record:
        """One record by its id, 0x-hex; the beginning of an id is enough where it names one only.

        Raises:
            RequestFileError: there is none, several, or it is damaged. DiskError.
        """
        found = [name for name in self._names() if name.startswith(request.lower())]
        if len(found) != 1:
            many = f"{len(found)} requests begin" if found else "no request of this wallet begins"
            raise RequestFileError(f"There {many} with {request[:66]}.", "`ponw escrow requests` lists them.")
        return self._read(found[0])

    def find(self, request: bytes) -> Record | None:
        """The record of a request, if there is one. Raises RequestFileError: it is damaged. DiskError."""
        name = "0x" + request.hex()
        return self._read(name) if self._path(name).exists() else None

    @contextmanager
    def hold(self, record: Record) -> Iterator[None]:
        """Keep other processes from ending the request while the block runs; a crash lets go of it too.

        Raises:
            RequestFileError: another process holds it. DiskError.
        """
        paths.private_folder(self._folder)
        handle = os.open(self._folder / f"{record.request}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            words = f"Request {record.request[:18]} is being answered in another process."
            raise RequestFileError(words, "Wait for that, or end it first.") from error
        finally:
            os.close(handle)

    def all(self) -> list[Record]:
        """Every record, by id. Raises RequestFileError, DiskError."""
        return [self._read(name) for name in self._names()]

    def open(self) -> list[Record]:
        """Those that may have money locked behind them."""
        return [record for record in self.all() if record.step is not Step.OVER]

    def _read(self, name: str) -> Record:
        path = self._path(name)
        try:
            record = Record.model_validate_json(paths.read_bounded(path, FILE_BYTES))
        except (ValidationError, FileNotFoundError) as error:
            raise RequestFileError(f"The record {path} is damaged.", _HINT) from error
        if record.request != name:
            raise RequestFileError(f"The record {path} is of another request.", _HINT)
        return record

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("0x*.json")) if self._folder.is_dir() else []

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
