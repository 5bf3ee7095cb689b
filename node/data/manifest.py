"""manifest.json: which shards make the dataset, their hashes, and the root that claims commit to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from consensus.commitments.dataset import DataHead, ShardEntry, data_head
from node.data.errors import ManifestError
from node.data.tokens import TOKEN_BYTES
from node.paths import read_bounded, write_atomic

SCHEMA: Final = 1
MANIFEST_NAME = "manifest.json"
SHARDS_NAME = "shards"
MANIFEST_LIMIT = 64 << 20
"""Bytes; about 200,000 shards."""

Split = Literal["train", "heldout"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Shard(BaseModel):
    """One file of tokens; `root` is its tensor root. The name derives from the source's hash, so equal text gives an
    equal dataset everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[0-9a-f]{16}-(train|heldout)-[0-9]{5}\.bin$")]
    tokens: Annotated[int, Field(ge=1, lt=1 << 63)]
    root: Sha256
    source: Annotated[str, Field(max_length=255)]
    source_sha256: Sha256
    split: Split

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.tokens * TOKEN_BYTES

    def entry(self) -> ShardEntry:
        """What the dataset's root commits to."""
        return ShardEntry(self.name, self.tokens, bytes.fromhex(self.root))


class Manifest(BaseModel):
    """The shards in name order and the root over them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA
    dataset_root: Sha256
    shards: tuple[Shard, ...]

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> Manifest:
        """A manifest of `shards` in any order."""
        ordered = tuple(sorted(shards, key=lambda shard: shard.name))
        return cls(dataset_root=dataset_root(ordered).hex(), shards=ordered)

    @property
    def root(self) -> bytes:
        """The 32-byte `dataRoot` of a claim."""
        return bytes.fromhex(self.dataset_root)

    def part(self, split: Split) -> tuple[Shard, ...]:
        """The shards of one split, in name order."""
        return tuple(shard for shard in self.shards if shard.split == split)


def dataset_root(shards: Iterable[Shard]) -> bytes:
    """The 32-byte `dataRoot` of these shards, given in name order: see `consensus.commitments.dataset`."""
    return head_of(shards).hash()


def head_of(shards: Iterable[Shard]) -> DataHead:
    """What `dataRoot` binds."""
    listed = list(shards)
    parts = ([shard.entry() for shard in listed if shard.split == split] for split in ("train", "heldout"))
    return data_head(*parts)


def shard_path(folder: Path, name: str) -> Path:
    """Where a shard of the dataset in `folder` stands."""
    return folder / SHARDS_NAME / name


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of the dataset in `folder`; None if there is no dataset.

    Raises:
        ManifestError: malformed, of another version, out of order, or its root is not that of its shards.
        DiskError: it cannot be read.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate(from_json(read_bounded(path, MANIFEST_LIMIT)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "its top level"
        raise _malformed(path, f"{place}: {first['msg']}") from error
    except ValueError as error:
        raise _malformed(path, "it is not JSON") from error
    _require_consistent(path, manifest)
    return manifest


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically.

    Raises:
        DiskError: no space or no permission; the old manifest stands.
    """
    write_atomic(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1).encode() + b"\n")


def _require_consistent(path: Path, manifest: Manifest) -> None:
    names = [shard.name for shard in manifest.shards]
    if names != sorted(set(names)):
        raise _malformed(path, "shards are repeated or out of order")
    if any(f"-{shard.split}-" not in shard.name for shard in manifest.shards):
        raise _malformed(path, "a shard's name contradicts its split")
    if dataset_root(manifest.shards) != manifest.root:
        raise _malformed(path, "dataset_root is not the root of the shards listed")


def _malformed(path: Path, reason: str) -> ManifestError:
    return ManifestError(
        f"{path} is not usable: {reason}.", "Restore it, or remove its folder and add the texts again."
    )
