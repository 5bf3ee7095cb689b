"""Where a volunteer's files stand: one folder a gateway, so that no gateway ever sees another's key."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from node import paths
from node.errors import WalletError
from node.gateway.schemas import ApiKey
from node.storage.files import reporting
from node.volunteer.errors import BusyHomeError, GatewayUrlError

FOLDER = "volunteer"
_LAST = "last-gateway"
_KEY = TypeAdapter(ApiKey)
_KEY_BYTES = 32


def normal_url(url: str) -> str:
    """The address of a gateway without a slash at its end.

    Raises:
        GatewayUrlError: not http(s), no host, or with credentials, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = None
    if not usable or parts.query or parts.fragment or parts.username or parts.password:
        raise GatewayUrlError(
            f"{url!r} is not the address of a gateway.", "Give it as https://HOST or http://HOST:PORT."
        )
    return url.rstrip("/")


@dataclass(frozen=True)
class VolunteerHome:
    """The files for one gateway."""

    root: Path
    url: str

    @classmethod
    def of(cls, home: Path, url: str) -> VolunteerHome:
        """The folder for a gateway in a node's home; nothing is created."""
        name = re.sub(r"[^a-z0-9.]+", "-", urlsplit(url).netloc.lower())
        digest = hashlib.sha256(url.encode()).hexdigest()[:8]
        return cls(home / FOLDER / f"{name[:80]}-{digest}", url)

    @property
    def models(self) -> Path:
        """Weights by sha256."""
        return self.root / "models"

    @property
    def data(self) -> Path:
        """Tokens of batches by sha256."""
        return self.root / "data"

    @property
    def work(self) -> Path:
        """The batch under way."""
        return self.root / "work"

    @property
    def residuals(self) -> Path:
        """What encodings left out."""
        return self.root / "residuals"

    @property
    def state_file(self) -> Path:
        """What the running process last said (PanelState)."""
        return self.root / "state.json"

    @property
    def speed_file(self) -> Path:
        """Measured tokens a second."""
        return self.root / "speed.json"

    def key(self) -> str:
        """The volunteer's API key for this gateway; made when there is none, mode 600.

        Raises:
            WalletError: the file holds something else. DiskError.
        """
        path = self.root / "api-key"
        paths.write_new(path, b"pv1_" + secrets.token_urlsafe(_KEY_BYTES).encode() + b"\n")
        try:
            return _KEY.validate_python(paths.read_bounded(path, 1 << 10).decode("ascii").strip())
        except (UnicodeDecodeError, ValidationError) as error:
            raise WalletError(
                f"{path} is not a volunteer's key.", "Put the right file back, or move it away to register anew."
            ) from error

    def remember(self) -> None:
        """Make this gateway the one that `ponw volunteer status` and its like are about. Raises DiskError."""
        paths.write_atomic(self.root.parent / _LAST, self.url.encode())

    def busy(self) -> bool:
        """Whether a process volunteers from this folder. Raises DiskError."""
        if not self.root.is_dir():
            return False
        try:
            with self.locked():
                return False
        except BusyHomeError:
            return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of this folder.

        Raises:
            BusyHomeError: one is in. DiskError.
        """
        paths.private_folder(self.root)
        with reporting("lock", self.root):
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, paths.PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise BusyHomeError(
                f"Another process volunteers from {self.root}.", "Finish it first, or give this one another --home."
            ) from error
        try:
            yield
        finally:
            os.close(handle)


def which_gateway(home: Path) -> str:
    """The gateway that was volunteered for last.

    Raises:
        GatewayUrlError: none was. DiskError.
    """
    try:
        return normal_url(paths.read_bounded(home / FOLDER / _LAST, 1 << 12).decode("utf-8", "replace").strip())
    except FileNotFoundError as error:
        raise GatewayUrlError(f"Nobody has volunteered from {home} yet.", "Give the gateway's address.") from error
