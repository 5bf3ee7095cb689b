"""The training text as a dispute opens it: one token against the data root."""

from __future__ import annotations

from collections.abc import Callable

from consensus.commitments.dataset import ShardEntry, TokenOpening, open_token
from node.data.dataset import Dataset
from node.data.manifest import shard_path
from node.storage.files import reporting


def text_opener(dataset: Dataset) -> Callable[[int], TokenOpening]:
    """Opens tokens of a dataset's training text.

    The function raises IndexError beyond the text and DiskError where a shard cannot be read.
    """
    train, heldout = ([shard.entry() for shard in dataset.manifest.part(split)] for split in ("train", "heldout"))

    def read(entry: ShardEntry) -> bytes:
        path = shard_path(dataset.folder, entry.name)
        with reporting("read", path):
            return path.read_bytes()

    return lambda at: open_token(train, heldout, at, read)
