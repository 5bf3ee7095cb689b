"""One step and what it commits to: the part of the work that needs no dataset."""

from __future__ import annotations

from torch import Tensor

from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, loss_bits
from consensus.training.step import Trainer, TrainState


def committed_step(trainer: Trainer, state: TrainState, tokens: Tensor) -> StepLeaf:
    """Run the next step in place on `tokens` (int32 [batch, seq_len + 1]) and commit to it.

    Raises:
        DivergedError (consensus): a weight left the finite range.
    """
    step = state.step
    loss = trainer.step(state, tokens)
    root = state_root(state.weights, state.m, state.v)
    return StepLeaf(root, batch_root(tokens.numpy()), loss_bits(loss), step)
