"""The batch under way, on disk: what was leased, every leaf, the newest states, and the finished upload.

Nothing here is ever half there: each file appears whole, `job.json` first and gone first.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from consensus.commitments.tensors import state_root
from consensus.commitments.trace import STEP_LEAF_BYTES, StepLeaf
from consensus.model.config import ModelConfig
from consensus.training.step import TrainState
from node import paths
from node.gateway.schemas import LEAVES_MAX, BatchOffer, Model
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.storage.errors import NoCheckpointError
from node.storage.files import reporting
from node.volunteer.errors import AnswerError

_NEVER = 1 << 40
_ELEMENTS_MAX = 1 << 34


class JobRecord(BaseModel):
    """A lease and the version it is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    offer: BatchOffer
    model: Model

    def config(self) -> ModelConfig:
        """The architecture.

        Raises:
            AnswerError: there is no such model, or the offer does not go with it.
        """
        shape = self.model.architecture
        try:
            config = ModelConfig(**shape.model_dump())
        except (ValueError, ZeroDivisionError) as error:
            raise AnswerError(f"The gateway's model makes no sense: {error}.", "Tell its operator.") from error
        least = min(shape.layers, shape.width, shape.heads, shape.seq_len, shape.batch, shape.vocab)
        if least < 1 or shape.layers * shape.width**2 + shape.vocab * shape.width > _ELEMENTS_MAX:
            raise AnswerError("The gateway's model has sizes that no machine trains.", "Tell its operator.")
        steps, batch = self.offer.steps, config.batch
        if not 1 <= steps <= LEAVES_MAX or self.offer.num_samples != steps * batch:
            raise AnswerError(
                f"The gateway offers {self.offer.num_samples} samples in {steps} steps of {batch}.",
                "Tell its operator.",
            )
        return config

    @property
    def data_bytes(self) -> int:
        """Size of the tokens: u16 [steps, batch, seq_len + 1]."""
        shape = self.model.architecture
        return 2 * self.offer.steps * shape.batch * (shape.seq_len + 1)


class JobFolder:
    """One batch at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def upload(self) -> Path:
        """The whole body, once the batch is trained."""
        return self.folder / "upload.pvu"

    @property
    def states(self) -> Path:
        """Whole states that a claim needs, by step, until the gateway has them."""
        return self.folder / "states"

    def load(self) -> JobRecord | None:
        """The batch that was under way. Raises DiskError."""
        try:
            return JobRecord.model_validate_json(paths.read_bounded(self.folder / "job.json"))
        except (FileNotFoundError, ValidationError):
            return None

    def begin(self, record: JobRecord) -> None:
        """Start with a new batch; what was there is dropped. Raises DiskError."""
        self.clear()
        paths.write_atomic(self.folder / "job.json", record.model_dump_json().encode())

    def clear(self) -> None:
        """Forget the batch. Raises DiskError."""
        with reporting("clean up", self.folder):
            (self.folder / "job.json").unlink(missing_ok=True)
            if self.folder.is_dir():
                shutil.rmtree(self.folder)

    def save(self, config: ModelConfig, state: TrainState, leaves: list[StepLeaf]) -> None:
        """Make a state and the leaves up to it durable. Raises DiskError; what was saved before stands."""
        paths.write_atomic(self.folder / "leaves.bin", b"".join(leaf.encode() for leaf in leaves))
        store = self._store(config)
        groups = {"weights": state.weights, "m": state.m, "v": state.v}
        store.save(Checkpoint(0, state.step, state_root(state.weights, state.m, state.v), groups))
        store.prune(every=_NEVER, last=2)

    def resume(self, config: ModelConfig) -> tuple[TrainState, list[StepLeaf]] | None:
        """The newest state whose leaves are there too, or None. Raises DiskError."""
        try:
            found = self._store(config).load_latest()
        except NoCheckpointError:
            return None
        leaves = self._leaves()
        if found is None or found.checkpoint.step > len(leaves):
            return None
        at, groups = found.checkpoint.step, found.checkpoint.groups
        return TrainState(dict(groups["weights"]), dict(groups["m"]), dict(groups["v"]), at), leaves[:at]

    def _leaves(self) -> list[StepLeaf]:
        try:
            data = paths.read_bounded(self.folder / "leaves.bin")
        except FileNotFoundError:
            return []
        whole = len(data) - len(data) % STEP_LEAF_BYTES
        return [StepLeaf.decode(data[at : at + STEP_LEAF_BYTES]) for at in range(0, whole, STEP_LEAF_BYTES)]

    def _store(self, config: ModelConfig) -> CheckpointStore:
        return CheckpointStore(self.folder / "checkpoints", config.shapes(), state_root)
