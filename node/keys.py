"""Encrypted V3 keystores (Web3 Secret Storage Definition, version 3): one JSON file a key, mode 600.

Passwords come from a prompt or from a file that only its owner can read, never from the command line, where every
user of the machine could see them.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError as KeyValidationError
from pydantic_core import from_json

from node import paths
from node.errors import PasswordError, WalletError

KEY_FILE = re.compile(r"^(0x[0-9a-fA-F]{40})\.json$")
KEYSTORE_LIMIT = 1 << 16
"""Bytes; a V3 file is about 500."""
PASSWORD_LIMIT = 4096
"""Bytes a password file may hold."""
SCRYPT_N = 1 << 18
"""Scrypt cost of new keystores, geth's standard; unlocking takes about half a second."""


@dataclass(frozen=True)
class KeyFile:
    """One key in the keystore: its checksummed address and its file."""

    address: str
    path: Path


class PasswordSource(Protocol):
    """Gives a password when one is needed; `confirm` asks twice where a person types it."""

    def __call__(self, confirm: bool = False) -> str: ...


def password_source(password_file: Path | None) -> PasswordSource:
    """The password from `password_file` if given, else from a prompt on the terminal."""

    def read(confirm: bool = False) -> str:
        return read_password_file(password_file) if password_file else prompt_password(confirm)

    return read


def read_password_file(path: Path) -> str:
    """The first line of a password file.

    Raises:
        PasswordError: missing, not a plain file, readable by others (mode & 077), too large, not UTF-8, or empty.
    """
    return _not_empty(read_secret_file(path))


def read_secret_file(path: Path) -> str:
    """The first line of a file that only its owner may read; errors as for `read_password_file`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PasswordError(
            f"The password file {path} cannot be read: {error.strerror}.",
            "Check --password-file or PONW_PASSWORD_FILE.",
        ) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PasswordError(f"{path} is not a plain file.", "Name a file that holds only the secret.")
        if status.st_mode & 0o077:
            raise PasswordError(f"Other users may read the secret file {path}.", f"Run: chmod 600 {path}")
        data = file.read(PASSWORD_LIMIT + 1)
    if len(data) > PASSWORD_LIMIT:
        raise PasswordError(f"{path} is too large for a secret.", "Name a file that holds only the secret.")
    try:
        return data.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError as error:
        raise PasswordError(f"The secret file {path} is not UTF-8 text.", "Write the secret as plain text.") from error


def prompt_password(confirm: bool = False) -> str:
    """A password typed on the terminal, twice if `confirm`.

    Raises:
        PasswordError: there is no terminal, the two differ, or it is empty.
    """
    if not sys.stdin.isatty():
        raise PasswordError(
            "A keystore password is needed and there is no terminal to ask on.",
            "Give --password-file FILE (mode 600) or set PONW_PASSWORD_FILE.",
        )
    password = getpass.getpass("Keystore password: ")
    if confirm and getpass.getpass("Repeat it: ") != password:
        raise PasswordError("The two passwords differ.", "Try again; nothing was written.")
    return _not_empty(password)


def _not_empty(password: str) -> str:
    if not password:
        raise PasswordError("The password is empty.", "Choose a password; it protects the key on disk.")
    return password


def list_keys(folder: Path) -> list[KeyFile]:
    """All keys in the keystore folder, by address; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    found = [(KEY_FILE.match(path.name), path) for path in folder.iterdir()]
    keys = [KeyFile(to_checksum_address(match.group(1)), path) for match, path in found if match]
    return sorted(keys, key=lambda key: key.address.lower())


def create(folder: Path, password: str, *, scrypt_n: int = SCRYPT_N) -> KeyFile:
    """Make a new key from the system's randomness and store it encrypted.

    Raises:
        DiskError: it cannot be written.
    """
    return _store(folder, Account.create(), password, scrypt_n)


def import_private_key(folder: Path, private_key: str, password: str, *, scrypt_n: int = SCRYPT_N) -> KeyFile:
    """Store an existing secp256k1 key given as 64 hexadecimal digits, 0x optional.

    Raises:
        WalletError: not a valid key, or its address is in the keystore already (never overwritten).
        DiskError: it cannot be written.
    """
    text = private_key.strip().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise WalletError("That is not a private key: 64 hexadecimal digits are expected.", "Nothing was written.")
    try:
        account = Account.from_key(bytes.fromhex(text))
    except (ValueError, KeyValidationError) as error:
        # The text of the cause may repeat the key, so it is dropped from the chain.
        raise WalletError("That number is not a valid secp256k1 key.", "Nothing was written.") from type(error)()
    return _store(folder, account, password, scrypt_n)


def import_keystore(folder: Path, source: Path, password: str, *, scrypt_n: int = SCRYPT_N) -> KeyFile:
    """Store the key of another V3 file; `password` opens it and protects the copy.

    Raises:
        PasswordError: wrong password. WalletError: not a V3 file, or its address is in the keystore already.
        DiskError: it cannot be read or written.
    """
    return _store(folder, _decrypt(source, password), password, scrypt_n)


def select(folder: Path, address: str | None = None) -> KeyFile:
    """The key to sign with: the one of `address`, or the only one there is.

    Raises:
        WalletError: none, no such one, or several and none named.
    """
    keys = list_keys(folder)
    if address is not None:
        keys = [key for key in keys if key.address.lower() == address.lower()]
        if not keys:
            raise WalletError(f"The keystore {folder} has no key for {address}.", "`ponw wallet list` shows the keys.")
    if not keys:
        raise WalletError(f"There is no key in {folder}.", "Make one with `ponw wallet new`, or `ponw wallet import`.")
    if len(keys) > 1:
        raise WalletError(
            f"The keystore holds {len(keys)} keys and none is chosen.", "Set `account` in config.toml or PONW_ACCOUNT."
        )
    return keys[0]


def unlock(folder: Path, source: PasswordSource, address: str | None = None) -> LocalAccount:
    """Decrypt the selected key for signing in this process.

    Raises:
        WalletError: no such key, or its file is unusable. PasswordError: wrong or unreadable password.
    """
    key = select(folder, address)
    account = _decrypt(key.path, source())
    if account.address != key.address:
        raise WalletError(f"{key.path} holds the key of {account.address}.", "Rename the file to its own address.")
    return account


def _store(folder: Path, account: LocalAccount, password: str, scrypt_n: int) -> KeyFile:
    key = KeyFile(account.address, folder / f"{account.address}.json")
    if any(known.address == key.address for known in list_keys(folder)):
        raise _exists(key)
    sealed = account.encrypt(_not_empty(password), kdf="scrypt", iterations=scrypt_n)
    if not paths.write_new(key.path, json.dumps(sealed).encode("ascii")):
        raise _exists(key)
    return key


def _exists(key: KeyFile) -> WalletError:
    return WalletError(
        f"The keystore has a key for {key.address} already.", f"Nothing was overwritten; see {key.path}."
    )


def _decrypt(path: Path, password: str) -> LocalAccount:
    sealed = _read_sealed(path)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(sealed, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise PasswordError(
                f"The password does not open {path.name}.", "Try again; nothing was changed."
            ) from error
        raise _unusable(path) from error
    except (KeyError, TypeError, AttributeError, NotImplementedError, KeyValidationError) as error:
        raise _unusable(path) from error
    return account


def _read_sealed(path: Path) -> dict[str, Any]:
    try:
        sealed = from_json(paths.read_bounded(path, KEYSTORE_LIMIT))
    except FileNotFoundError as error:
        raise WalletError(f"There is no file {path}.", "`ponw wallet list` shows the keys.") from error
    except ValueError as error:
        raise _unusable(path) from error
    if not isinstance(sealed, dict) or sealed.get("version") != 3:
        raise _unusable(path)
    return sealed


def _unusable(path: Path) -> WalletError:
    return WalletError(f"{path} is not a usable V3 keystore.", "Restore it from a backup or import the key again.")
