"""Loss at equal steps: exact against native from the same weights over the same batches."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bench.native import Native
from consensus.model.evaluate import mean_loss
from consensus.model.init import init_weights
from consensus.training.step import TrainState
from node.training.work import Task, Workshop

TAIL = 100
HELDOUT = 256
Say = Callable[[str], None]


@dataclass(frozen=True)
class Losses:
    """Nats a token for one seed: on held-out text, and the mean of the last training steps."""

    seed: int
    exact: float
    native: float
    exact_tail: float
    native_tail: float


def measure(shop: Workshop, steps: int, seed: int, say: Say) -> Losses:
    """Train both for `steps` from one seed, and evaluate each with its own forward pass."""
    weights = init_weights(shop.config, b"bench" + bytes([seed]))
    task = Task(bytes([seed]) * 32, bytes(20))
    state, native = TrainState.start(weights), Native(shop.config, weights)
    tails: tuple[list[float], list[float]] = ([], [])
    for step in range(steps):
        tokens = shop.batch(task, step)
        pair = shop.trainer.step(state, tokens), native.step(tokens)
        if step >= steps - TAIL:
            tails[0].append(pair[0])
            tails[1].append(pair[1])
        if (step + 1) % 200 == 0:
            say(f"  seed {seed} step {step + 1}/{steps}: exact {pair[0]:.4f}, native {pair[1]:.4f}")
    windows = torch.from_numpy(shop.dataset.heldout_windows(shop.config.seq_len, HELDOUT).astype(np.int32))
    return Losses(
        seed,
        mean_loss(shop.engine, shop.config, state.weights, windows),
        native.mean_loss(windows),
        statistics.fmean(tails[0]),
        statistics.fmean(tails[1]),
    )
