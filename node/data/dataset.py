"""Reading a dataset: memory-mapped shards as one sequence of tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from node.data.errors import DatasetTooSmallError, ManifestError, ShardError, ShardProblem
from node.data.manifest import Manifest, Shard, load_manifest, shard_path
from node.data.tokens import TOKEN_DTYPE, Tokens
from node.storage.files import Progress, reporting, tensor_root_of

_OPEN_MAPS = 256  # a map holds a file descriptor; the usual limit of a process is 1,024


class TokenSequence:
    """Shards end to end as one sequence; maps files on first use and keeps the most recently used ones."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self._folder, self._shards = folder, shards
        self._ends = list(accumulate(shard.tokens for shard in shards))
        self._maps: OrderedDict[int, Tokens] = OrderedDict()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def window(self, offset: int, length: int) -> Tokens:
        """A copy of tokens [offset, offset + length), shape (length,), across shard borders.

        Raises:
            IndexError: the window leaves the sequence.
            DiskError: a shard cannot be read.
        """
        if offset < 0 or length < 0 or offset + length > len(self):
            raise IndexError(f"window [{offset}, {offset + length}) leaves a sequence of {len(self)} tokens")
        result = np.empty(length, dtype=np.uint16)
        filled, index = 0, bisect_right(self._ends, offset)
        while filled < length:
            start = self._ends[index] - self._shards[index].tokens
            piece = self._map(index)[offset + filled - start :][: length - filled]
            result[filled : filled + len(piece)] = piece
            filled, index = filled + len(piece), index + 1
        return result

    def _map(self, index: int) -> Tokens:
        if index in self._maps:
            self._maps.move_to_end(index)
            return self._maps[index]
        shard = self._shards[index]
        path = shard_path(self._folder, shard.name)
        with reporting("read", path):
            tokens = np.memmap(path, dtype=TOKEN_DTYPE, mode="r")
        if len(tokens) != shard.tokens:
            raise ShardError([_size_problem(shard, tokens.nbytes)])
        self._maps[index] = tokens
        if len(self._maps) > _OPEN_MAPS:
            self._maps.popitem(last=False)
        return tokens


class Dataset:
    """The dataset in a folder: training draws from `train` only, loss is measured on `heldout` only."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.train = TokenSequence(folder, manifest.part("train"))
        self.heldout = TokenSequence(folder, manifest.part("heldout"))

    @classmethod
    def open(cls, folder: Path, *, full: bool = False, progress: Progress | None = None) -> Dataset:
        """Open the dataset after checking the size of every shard, and with `full` its hash.

        Raises:
            ManifestError: there is no dataset or its manifest is unusable.
            ShardError: a shard is missing, truncated or changed; names each.
        """
        manifest = load_manifest(folder)
        if manifest is None:
            raise ManifestError(f"There is no dataset in {folder}.", "Create one with `ponw init` or `ponw data add`.")
        problems = find_problems(folder, manifest.shards, full=full, progress=progress)
        if problems:
            raise ShardError(problems)
        return cls(folder, manifest)

    @property
    def root(self) -> bytes:
        """The 32-byte `dataRoot` of a claim."""
        return self.manifest.root

    def limit(self, seq_len: int) -> int:
        """Number of offsets at which a training window of `seq_len + 1` tokens can start: offsets are [0, limit).

        Raises:
            DatasetTooSmallError: not one window fits.
        """
        return _limit(self.train, seq_len, "training")

    def window(self, offset: int, length: int) -> Tokens:
        """Training tokens [offset, offset + length), shape (length,), uint16; see TokenSequence.window."""
        return self.train.window(offset, length)

    def heldout_windows(self, seq_len: int, count: int) -> Tokens:
        """Evenly spaced held-out windows, shape (min(count, available), seq_len + 1); the same for every caller.

        Raises:
            DatasetTooSmallError: not one window fits.
        """
        limit = _limit(self.heldout, seq_len, "held-out")
        count = min(count, limit)
        return np.stack([self.heldout.window(i * limit // count, seq_len + 1) for i in range(count)])

    def verify(self, progress: Progress | None = None) -> list[ShardProblem]:
        """Hash every shard; the ones that are not what the manifest says."""
        return find_problems(self.folder, self.manifest.shards, full=True, progress=progress)


def find_problems(
    folder: Path, shards: Sequence[Shard], *, full: bool, progress: Progress | None = None
) -> list[ShardProblem]:
    """Shards that are missing or of the wrong size, and with `full` those whose bytes changed; in name order."""
    found = (_check(folder, shard, full, progress) for shard in shards)
    return [problem for problem in found if problem is not None]


def _check(folder: Path, shard: Shard, full: bool, progress: Progress | None) -> ShardProblem | None:
    path = shard_path(folder, shard.name)
    try:
        size = path.stat().st_size
        if size != shard.size:
            return _size_problem(shard, size)
        if full and tensor_root_of(path, progress).hex() != shard.root:
            return ShardProblem(shard.name, shard.source, "changed", "has changed: its hash is not the manifest's")
    except FileNotFoundError:
        return ShardProblem(shard.name, shard.source, "missing", "is missing")
    except OSError as error:
        return ShardProblem(shard.name, shard.source, "unreadable", f"cannot be read ({error.strerror})")
    return None


def _size_problem(shard: Shard, size: int) -> ShardProblem:
    if size < shard.size:
        return ShardProblem(shard.name, shard.source, "truncated", f"is truncated to {size} of {shard.size} bytes")
    return ShardProblem(shard.name, shard.source, "changed", f"has changed: {size} bytes instead of {shard.size}")


def _limit(tokens: TokenSequence, seq_len: int, part: str) -> int:
    limit = len(tokens) - seq_len
    if limit < 1:
        raise DatasetTooSmallError(
            f"The {part} text has {len(tokens)} tokens, fewer than one sequence of {seq_len + 1}.",
            "Add more text with `ponw data add`.",
        )
    return limit
