"""Checkpoints: groups of tensors (weights and moments, or weights and velocity) with the root they must have."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.paths import private_folder
from node.storage.errors import NoCheckpointError, TensorFileError
from node.storage.files import reporting, sweep_temporaries
from node.storage.tensorfile import Shapes, Tensors, load_tensors, save_tensors

TRAIN_GROUPS = ("weights", "m", "v")
GLOBAL_GROUPS = ("weights", "velocity")
FORMAT = "ponw-checkpoint-1"
_NAME = re.compile(r"round-(\d{10})-step-(\d{10})\.safetensors")

RootOf = Callable[..., bytes]
"""Root over the groups, given in order: `state_root(weights, m, v)` or `global_root(weights, velocity)`."""


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps of `round`; `root` (32 bytes) is its commitment."""

    round: int
    step: int
    root: bytes
    groups: Mapping[str, Tensors]


@dataclass(frozen=True)
class Loaded:
    """The newest usable checkpoint, and what was wrong with newer ones."""

    checkpoint: Checkpoint
    rejected: tuple[TensorFileError, ...] = field(default=())


class CheckpointStore:
    """The checkpoints in one folder, all of the same shapes; one process writes there at a time."""

    def __init__(self, folder: Path, shapes: Shapes, root_of: RootOf, groups: Sequence[str] = TRAIN_GROUPS) -> None:
        self.folder, self._root_of, self._groups = folder, root_of, tuple(groups)
        self._shapes = {f"{group}/{name}": shape for group in groups for name, shape in shapes.items()}

    @staticmethod
    def name(round_number: int, step: int) -> str:
        """What the file of one checkpoint is called."""
        return f"round-{round_number:010d}-step-{step:010d}.safetensors"

    def path(self, round_number: int, step: int) -> Path:
        """The file of one checkpoint."""
        return self.folder / self.name(round_number, step)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint durably; the root is taken as given.

        Raises:
            DiskError: no space or no permission; every earlier checkpoint stands.
        """
        private_folder(self.folder)
        sweep_temporaries(self.folder)
        tensors = {
            f"{group}/{name}": tensor for group in self._groups for name, tensor in checkpoint.groups[group].items()
        }
        path = self.path(checkpoint.round, checkpoint.step)
        save_tensors(path, tensors, _metadata(checkpoint))
        return path

    def load(self, path: Path) -> Checkpoint:
        """Read and check one checkpoint, its root included.

        Raises:
            TensorFileError: truncated, malformed, of other shapes, or its tensors do not have its root; names the file.
            FileNotFoundError: there is no such file.
            DiskError: it cannot be read.
        """
        content = load_tensors(path, self._shapes)
        groups = {
            group: {
                name.removeprefix(f"{group}/"): tensor
                for name, tensor in content.tensors.items()
                if name.startswith(f"{group}/")
            }
            for group in self._groups
        }
        checkpoint = _from_metadata(path, content.metadata, groups)
        if self._root_of(*(groups[group] for group in self._groups)) != checkpoint.root:
            raise TensorFileError(f"{path} does not have the root it names.", "It was altered; remove it.")
        return checkpoint

    def saved(self) -> list[tuple[int, int]]:
        """(round, step) of every checkpoint file, oldest first; says nothing about what is in them."""
        if not self.folder.is_dir():
            return []
        with reporting("read", self.folder):
            found = [_NAME.fullmatch(path.name) for path in self.folder.iterdir()]
        return sorted((int(match[1]), int(match[2])) for match in found if match)

    def load_latest(self) -> Loaded | None:
        """The newest checkpoint that is usable, falling back past damaged ones; None if there are none at all.

        Raises:
            NoCheckpointError: there are checkpoints and all are damaged; names the newest.
        """
        rejected: list[TensorFileError] = []
        for position in reversed(self.saved()):
            try:
                return Loaded(self.load(self.path(*position)), tuple(rejected))
            except TensorFileError as error:
                rejected.append(error)
        if rejected:
            raise NoCheckpointError(
                f"None of {len(rejected)} checkpoints in {self.folder} is usable; the newest: {rejected[0].message}",
                "Move that folder away: the node then starts from the round's global state.",
            )
        return None

    def prune(self, *, every: int, last: int) -> list[Path]:
        """Remove all but the `last` newest and those whose step is a multiple of `every`; returns what was removed."""
        positions = self.saved()
        old = positions[: max(len(positions) - last, 0)]
        removed = [self.path(number, step) for number, step in old if step % every]
        with reporting("remove an old checkpoint in", self.folder):
            for path in removed:
                path.unlink(missing_ok=True)
        return removed

    def drop_before(self, round_number: int, kept: Collection[int] = ()) -> None:
        """Remove the checkpoints of every round before this one, but those of the rounds in `kept`."""
        with reporting("remove an old checkpoint in", self.folder):
            for position in self.saved():
                if position[0] < round_number and position[0] not in kept:
                    self.path(*position).unlink(missing_ok=True)


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "format": FORMAT,
        "round": str(checkpoint.round),
        "step": str(checkpoint.step),
        "root": checkpoint.root.hex(),
    }


def _from_metadata(path: Path, metadata: dict[str, str], groups: Mapping[str, Tensors]) -> Checkpoint:
    try:
        checkpoint = Checkpoint(int(metadata["round"]), int(metadata["step"]), bytes.fromhex(metadata["root"]), groups)
    except (KeyError, ValueError) as error:
        raise TensorFileError(f"{path} does not say which state it is.", "Remove it.") from error
    named = _NAME.fullmatch(path.name)
    misnamed = named is not None and (int(named[1]), int(named[2])) != (checkpoint.round, checkpoint.step)
    if _metadata(checkpoint) != metadata or misnamed:
        raise TensorFileError(f"{path} contradicts its own name or format.", "Remove it.")
    return checkpoint
