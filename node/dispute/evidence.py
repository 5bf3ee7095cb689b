"""States kept for disputes, so that a prover which stops serving cannot take back what an auditor saw."""

from __future__ import annotations

from pathlib import Path

from consensus.commitments.tensors import state_root
from consensus.training.step import TrainState
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.storage.tensorfile import Shapes


class Evidence:
    """The state before each step that this node challenged, one folder a claim."""

    def __init__(self, folder: Path, shapes: Shapes) -> None:
        self._folder, self._shapes = folder, shapes

    def save(self, number: int, claim_hash: bytes, state: TrainState) -> None:
        """Keep a state of a claim of round ``number``.

        Raises:
            DiskError: no space or no permission.
        """
        root = state_root(state.weights, state.m, state.v)
        groups = {"weights": state.weights, "m": state.m, "v": state.v}
        self._store(claim_hash).save(Checkpoint(number, state.step, root, groups))

    def nearest(self, number: int, claim_hash: bytes, step: int) -> TrainState | None:
        """The latest state kept of a claim that is not after ``step``; None where there is none.

        Raises:
            TensorFileError: the file is damaged.
        """
        store = self._store(claim_hash)
        kept = [at for saved, at in store.saved() if saved == number and at <= step]
        return load_state(store, number, max(kept)) if kept else None

    def drop_before(self, number: int) -> None:
        """Remove what belongs to rounds before this one."""
        for folder in self._folder.glob("*") if self._folder.is_dir() else ():
            self._store(bytes.fromhex(folder.name)).drop_before(number)

    def _store(self, claim_hash: bytes) -> CheckpointStore:
        return CheckpointStore(self._folder / claim_hash.hex(), self._shapes, state_root)


def load_state(store: CheckpointStore, number: int, step: int) -> TrainState:
    """A checkpoint as a training state.

    Raises:
        TensorFileError: the file is damaged. FileNotFoundError: it is not there.
    """
    groups = store.load(store.path(number, step)).groups
    return TrainState(dict(groups["weights"]), dict(groups["m"]), dict(groups["v"]), step)
