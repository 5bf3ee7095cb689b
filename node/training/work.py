"""The work itself: what training and audit both run, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import global_root
from consensus.commitments.trace import StepLeaf
from consensus.dispute.rerun import Rerun
from consensus.model.config import ModelConfig
from consensus.model.evaluate import mean_loss
from consensus.model.init import init_weights
from consensus.program.known import suite_of
from consensus.program.step import schedule_row, step_program
from consensus.training.growth import Transition
from consensus.training.outer import GlobalState
from consensus.training.step import Trainer, TrainState
from node.chain.deploy import Genesis
from node.chain.types import Parameters
from node.data.dataset import Dataset
from node.training.batch import draw_batch
from node.training.errors import OtherProgramError
from node.training.step import committed_step

GENESIS_SEED = b"ponw genesis"
HELDOUT_WINDOWS = 64


@dataclass(frozen=True)
class Task:
    """Whose work of which round: it fixes every batch. `node` is the 20-byte address of the claim."""

    randomness: bytes
    node: bytes


@dataclass(frozen=True)
class Workshop:
    """One model on one engine over one dataset. Used by one thread: the engine keeps buffers.

    `change`: of the vocabulary or the layers, where rounds of this work end with one.
    """

    config: ModelConfig
    engine: Engine
    dataset: Dataset
    change: Transition | None = field(default=None, kw_only=True)
    trainer: Trainer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trainer", Trainer(self.config, self.engine))

    def genesis_state(self) -> GlobalState:
        """The state that a new network starts from."""
        return GlobalState.start(init_weights(self.config, GENESIS_SEED))

    def batch(self, task: Task, step: int) -> Tensor:
        """Tokens of a step, int32 [batch, seq_len + 1]."""
        return draw_batch(self.config, self.dataset, task.randomness, task.node, step)

    def step(self, state: TrainState, task: Task) -> StepLeaf:
        """Run the next step in place and commit to it.

        Raises:
            DivergedError (consensus): a weight left the finite range.
        """
        return committed_step(self.trainer, state, self.batch(task, state.step))

    def rerun(self, state: TrainState, task: Task) -> Rerun:
        """The next step as a program, to be run op by op for a dispute."""
        parts = {"weights": state.weights, "m": state.m, "v": state.v}
        given = {f"{part}/{name}": t.cpu() for part, tensors in parts.items() for name, t in tensors.items()}
        given["tokens"] = self.batch(task, state.step)
        given["schedule"] = schedule_row(self.trainer.optimizer, state.step, self.config)
        return Rerun(step_program(self.config), given)

    def steps(self, state: TrainState, task: Task, stop: int) -> Iterator[StepLeaf]:
        """Run from where `state` stands up to step `stop`, a leaf at a time."""
        while state.step < stop:
            yield self.step(state, task)

    def heldout_loss(self, weights: dict[str, Tensor]) -> float:
        """Mean loss in nats a token on text that nobody trains on."""
        windows = self.dataset.heldout_windows(self.config.seq_len, HELDOUT_WINDOWS)
        return mean_loss(self.engine, self.config, weights, torch.from_numpy(windows.astype(np.int32)))

    def genesis(self) -> Genesis:
        """What a network of this work is deployed with."""
        state = self.genesis_state()
        return Genesis(
            program_hash=suite_of(self.config).hash(),
            data_root=self.dataset.root,
            start_root=global_root(state.weights, state.velocity),
            tokens_per_step=self.config.tokens_per_step,
            layers=self.config.layers,
        )

    def require_network(self, parameters: Parameters) -> None:
        """Check that a network trains exactly this program on exactly this text.

        Raises:
            OtherProgramError: names what differs and how to correct it.
        """
        ours = self.genesis()
        for what, here, there, remedy in (
            ("program", ours.program_hash, parameters.program_hash, "Set `preset` to the network's, or update ponw."),
            ("text", ours.data_root, parameters.data_root, "Build the network's dataset with `ponw data add`."),
            ("genesis state", ours.start_root, parameters.genesis_root, "Update ponw to the network's version."),
        ):
            if here != there:
                raise OtherProgramError(
                    f"This node's {what} 0x{here.hex()} is not the network's, which is 0x{there.hex()}.", remedy
                )
