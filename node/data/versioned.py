"""The dataset in tokens of a later version: the same texts and borders, encoded anew in a folder below the dataset's.

Train and held-out part of a text are encoded apart, each between BOS and EOS, so no token crosses the border.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from governance.tokenizer import Encoder
from node.data.dataset import Dataset
from node.data.manifest import Manifest, Shard, Split, load_manifest, shard_path
from node.data.text import SourceText
from node.data.tokens import BOS, EOS, TOKEN_DTYPE, Tokens, decode
from node.data.writer import DatasetWriter
from node.storage.files import Progress, reporting

VERSIONS_NAME = "versions"
_NAME_BYTES = 8
_CHUNK = 1 << 20
"""Tokens read at a time."""


def version_folder(dataset: Dataset, root: bytes) -> Path:
    """Where the dataset of the version with this vocabulary root stands; another text has another folder."""
    return dataset.folder / VERSIONS_NAME / f"{dataset.root[:_NAME_BYTES].hex()}-{root[:_NAME_BYTES].hex()}"


def versioned(dataset: Dataset, encoder: Encoder, root: bytes, progress: Progress | None = None) -> Dataset:
    """The byte dataset in tokens of the version with vocabulary `root`; built on first use, a text at a time, and taken
    up again where an interrupted build stopped. `progress` counts bytes of text.

    Raises:
        ManifestError, ShardError: what was built before is damaged. DiskError: it cannot be built.
    """
    folder = version_folder(dataset, root)
    if not _is_whole(load_manifest(folder), dataset):
        with DatasetWriter(folder, wait=True) as writer:
            done = load_manifest(folder)
            known = {shard.source_sha256 for shard in done.shards} if done is not None else set()
            for source in _sources(dataset):
                if source.sha256 not in known:
                    parts = (_encoded(dataset, source, split, encoder, progress) for split in _SPLITS)
                    writer.add_tokens(source, *parts)
                    writer.commit()
    return Dataset.open(folder)


def training_documents(dataset: Dataset) -> Iterator[Iterator[bytes]]:
    """The training text of a byte dataset: one sequence of pieces a text."""
    for source in _sources(dataset):
        yield _pieces(dataset, source, "train")


_SPLITS: tuple[Split, Split] = ("train", "heldout")


def _is_whole(manifest: Manifest | None, dataset: Dataset) -> bool:
    def parts(shards: Iterable[Shard]) -> set[tuple[str, str]]:
        return {(shard.source_sha256, shard.split) for shard in shards}

    return manifest is not None and parts(manifest.shards) == parts(dataset.manifest.shards)


def _sources(dataset: Dataset) -> list[SourceText]:
    """The texts by name of their shards; their files are not needed any more."""
    named = {shard.source_sha256: shard.source for shard in dataset.manifest.shards}
    return [SourceText(Path(name), name, 0, sha256, 0) for sha256, name in sorted(named.items())]


def _shards(dataset: Dataset, source: SourceText, split: Split) -> Sequence[Shard]:
    return [shard for shard in dataset.manifest.part(split) if shard.source_sha256 == source.sha256]


def _pieces(dataset: Dataset, source: SourceText, split: Split) -> Iterator[bytes]:
    for shard in _shards(dataset, source, split):
        path = shard_path(dataset.folder, shard.name)
        with reporting("read", path):
            tokens = np.memmap(path, dtype=TOKEN_DTYPE, mode="r")
            for at in range(0, len(tokens), _CHUNK):
                yield decode(np.asarray(tokens[at : at + _CHUNK]))


def _encoded(
    dataset: Dataset, source: SourceText, split: Split, encoder: Encoder, progress: Progress | None
) -> Iterator[Tokens]:
    if not _shards(dataset, source, split):
        return
    yield np.array([BOS], dtype=TOKEN_DTYPE)
    yield from encoder.stream(_counted(_pieces(dataset, source, split), progress))
    yield np.array([EOS], dtype=TOKEN_DTYPE)


def _counted(pieces: Iterator[bytes], progress: Progress | None) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        if progress is not None:
            progress(len(piece))
