"""The shipped public-domain books; see corpus/PROVENANCE.md."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from node.data.dataset import Dataset
from node.data.manifest import load_manifest
from node.data.text import select
from node.data.writer import DatasetWriter
from node.storage.files import Progress


def ensure_default(folder: Path, progress: Progress | None = None) -> Dataset:
    """The dataset in `folder`; if there is none yet, it is built from the shipped books in one atomic step.

    Raises:
        ManifestError, ShardError: there is a dataset and it is damaged.
        DatasetBusyError, DiskError: it cannot be built; nothing is left half-made.
    """
    if load_manifest(folder) is None:
        _build(folder, progress)
    return Dataset.open(folder)


def _build(folder: Path, progress: Progress | None) -> None:
    with as_file(files("node.data") / "corpus") as corpus, DatasetWriter(folder) as writer:
        for text in select(sorted(corpus.glob("*.txt"))).texts:
            writer.add(text, progress)
        writer.commit()
