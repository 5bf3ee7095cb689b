"""The tokens of a step: windows of the dataset at the offsets that randomness, node and step fix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from consensus.model.config import ModelConfig
from consensus.training.batches import draw_offsets
from node.data.dataset import Dataset


def draw_batch(config: ModelConfig, dataset: Dataset, randomness: bytes, node: bytes, step: int) -> Tensor:
    """Tokens of a step, int32 [batch, seq_len + 1]; `randomness` (32 bytes) of the round, `node` (20) of the claim."""
    offsets = draw_offsets(randomness, node, step, config.batch, dataset.limit(config.seq_len))
    windows = np.stack([dataset.window(offset, config.seq_len + 1) for offset in offsets])
    return torch.from_numpy(windows.astype(np.int32))
