"""API keys of a server that others reach: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from pathlib import Path

from node.errors import ConfigError
from node.paths import read_bounded

KEY_LENGTH_MIN = 16


class ApiKeys:
    """The keys of a file: one a line, either as it is or as `sha256:HEX`; empty lines and `#` lines are passed over."""

    def __init__(self, hashes: list[bytes]) -> None:
        self._hashes = hashes

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Raises ConfigError: no such file, no key in it, or one too short to be secret. DiskError: unreadable."""
        try:
            lines = read_bounded(path).decode("utf-8", "replace").splitlines()
        except FileNotFoundError as error:
            raise ConfigError(f"There is no file {path}.", "Write API keys into it, one a line.") from error
        keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not keys:
            raise ConfigError(f"{path} holds no API key.", "Write API keys into it, one a line.")
        return cls([_hash_of(key, path) for key in keys])

    def accepts(self, given: str) -> bool:
        """Whether this is one of the keys. Looks at all of them, whichever matches."""
        digest = hashlib.sha256(given.encode()).digest()
        return sum(hmac.compare_digest(digest, known) for known in self._hashes) > 0


def keys_for(host: str, path: Path | None) -> ApiKeys | None:
    """The keys that a server at `host` asks for; None (no key) only on loopback and when no file is named.

    Raises:
        ConfigError: others reach the address and there is no file of keys; or as `ApiKeys.read`.
    """
    if path is not None:
        return ApiKeys.read(path)
    if is_loopback(host):
        return None
    raise ConfigError(
        f"Others can reach {host}, and no API keys are set.",
        "Name a file of keys with --api-key-file, or listen at 127.0.0.1.",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hash_of(key: str, path: Path) -> bytes:
    kind, _, rest = key.partition(":")
    if kind == "sha256":
        try:
            digest = bytes.fromhex(rest)
        except ValueError as error:
            raise ConfigError(f"{path} holds a malformed sha256 of a key.", "Write 64 hex digits.") from error
        if len(digest) != hashlib.sha256().digest_size:
            raise ConfigError(f"{path} holds a malformed sha256 of a key.", "Write 64 hex digits.")
        return digest
    if len(key) < KEY_LENGTH_MIN:
        raise ConfigError(f"{path} holds a key of {len(key)} characters.", f"Use at least {KEY_LENGTH_MIN}.")
    return hashlib.sha256(key.encode()).digest()
