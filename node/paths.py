"""Where the node's files stand, and the only ways it reads and replaces small ones: bounded and atomic."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

from node.errors import DiskError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
SMALL_FILE_LIMIT = 1 << 20
"""Bytes; configuration, keystore and deployment files are all far below."""

CONFIG_NAME = "config.toml"
CONTRACTS_NAME = "contracts.json"
KEYSTORE_NAME = "keystore"
DATA_NAME = "data"
DEVNET_NAME = "devnet"


def default_home() -> Path:
    """The home folder when neither `--home` nor PONW_HOME names one (XDG data folder on Linux)."""
    return Path(platformdirs.user_data_dir("ponw"))


def resolve_home(given: Path | None = None) -> Path:
    """The absolute home folder: `given`, else PONW_HOME, else the platform's default."""
    chosen = given or Path(os.environ.get("PONW_HOME") or default_home())
    return chosen.expanduser().absolute()


def disk_error(action: str, path: Path, error: OSError) -> DiskError:
    """One sentence for an operating-system error on a file, with the usual remedy."""
    reason = error.strerror or type(error).__name__
    hint = "Check the free space and the permissions of that folder, then try again."
    if isinstance(error, FileNotFoundError):
        hint = "Check the path."
    return DiskError(f"Cannot {action} {path}: {reason}.", hint)


def private_folder(path: Path) -> Path:
    """Create `path` (and its parents) with mode 700 if it is missing.

    Raises:
        DiskError: the folder cannot be created.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error("create the folder", path, error) from error
    return path


def sync_folder(folder: Path) -> None:
    """Make a rename or creation inside `folder` durable (fsync of the directory, POSIX)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace `path` by `data` so that a reader or a crash sees the old or the new bytes, never a part.

    Raises:
        DiskError: no space, no permission; the old file stands and no temporary file is left.
    """
    private_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise disk_error("write", path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error("write", path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_new(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> bool:
    """Create `path` durably with `data`; False, and nothing changed, if it exists already (O_EXCL).

    Raises:
        DiskError: no space, no permission; no partial file is left.
    """
    private_folder(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    except OSError as error:
        raise disk_error("create", path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise disk_error("write", path, error) from error
    return True


def read_bounded(path: Path, limit: int = SMALL_FILE_LIMIT) -> bytes:
    """The whole of `path`, refused above `limit` bytes.

    Raises:
        DiskError: the file cannot be read or is too large.
        FileNotFoundError: there is no such file; each caller has its own sentence for that.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise disk_error("read", path, error) from error
    if len(data) > limit:
        raise DiskError(
            f"{path} is larger than {limit} bytes.", "This is not a file that the node wrote; move it away."
        )
    return data
