"""Training one batch: steps one after the other, on disk now and then, and stopped at any moment without loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, loss_value
from consensus.model.config import ModelConfig
from consensus.training.step import Trainer, TrainState
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.storage.tensorfile import Tensors, load_tensors
from node.training.step import committed_step
from node.volunteer.errors import AnswerError, StoppedError
from node.volunteer.job import JobFolder, JobRecord

_SAVE_SHARE = 20
"""Saving takes at most one part in so many of the time."""


@dataclass(frozen=True)
class StepDone:
    """What a step gave: steps done so far, its loss in nats, and its seconds."""

    step: int
    loss: float
    seconds: float


class BatchTrainer:
    """One batch on one engine."""

    def __init__(self, engine: Engine, folder: JobFolder, record: JobRecord, model: Path, data: Path) -> None:
        self.config: ModelConfig = record.config()
        self._folder, self._record = folder, record
        self._model, self._trainer = model, Trainer(self.config, engine)
        shape = (record.offer.steps, self.config.batch, self.config.seq_len + 1)
        self._tokens = np.memmap(data, dtype="<u2", mode="r", shape=shape)
        if int(self._tokens.max()) >= self.config.vocab:
            raise AnswerError("The batch holds a token that the model does not know.", "Tell the gateway's operator.")
        self.state, self.leaves = self._taken_up()
        self._saved_at, self._saved_step, self._save_s = time.monotonic(), self.state.step, 0.0

    @property
    def done(self) -> bool:
        """Whether every step is taken."""
        return self.state.step >= self._record.offer.steps

    def start_weights(self) -> Tensors:
        """The version's weights, read anew."""
        return load_tensors(self._model, self.config.shapes()).tensors

    def run(self, every: int, between: Callable[[StepDone | None], None]) -> None:
        """Train to the end of the batch. `between` is called before the first step and after each; what it raises
        ends the run with the state on disk. At least `every` steps lie between two saves.

        Raises:
            DivergedError (consensus): a weight left the finite range. DiskError. What `between` raises.
        """
        try:
            between(None)
            self._keep_for_claim()
            while not self.done:
                started = time.monotonic()
                leaf = committed_step(self._trainer, self.state, self._batch())
                self.leaves.append(leaf)
                self._keep_for_claim()
                self._save_sometimes(every)
                between(StepDone(self.state.step, loss_value(leaf.loss_bits), time.monotonic() - started))
        except StoppedError:
            self.save()
            raise
        self.save()

    def save(self) -> None:
        """Make what there is durable. Raises DiskError."""
        if self.state.step == self._saved_step:
            return
        started = time.monotonic()
        self._folder.save(self.config, self.state, self.leaves)
        self._saved_at, self._saved_step = time.monotonic(), self.state.step
        self._save_s = self._saved_at - started

    def _save_sometimes(self, every: int) -> None:
        due = time.monotonic() - self._saved_at >= _SAVE_SHARE * self._save_s
        if due and self.state.step - self._saved_step >= every:
            self.save()

    def _batch(self) -> Tensor:
        return torch.from_numpy(self._tokens[self.state.step].astype(np.int32))

    def _taken_up(self) -> tuple[TrainState, list[StepLeaf]]:
        found = self._folder.resume(self.config)
        if found is not None and found[0].step <= self._record.offer.steps:
            return found
        return TrainState.start(self.start_weights()), []

    def _keep_for_claim(self) -> None:
        step = self.state.step
        if step not in self._record.offer.checkpoints:
            return
        store = CheckpointStore(self._folder.states, self.config.shapes(), state_root)
        if not store.path(0, step).exists():
            now = self.state
            groups = {"weights": now.weights, "m": now.m, "v": now.v}
            store.save(Checkpoint(0, step, state_root(now.weights, now.m, now.v), groups))
