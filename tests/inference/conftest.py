"""Small models with drawn weights, and what decodes them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from consensus.arithmetic import library
from consensus.inference.compiled import CompiledDecoder
from consensus.inference.decoding import Decoder, Definition
from consensus.model.config import ModelConfig

DECODERS = ("definition", *library.VARIANTS)
CONFIGS = (
    ModelConfig("even", layers=2, width=32, heads=2, seq_len=32, batch=4),
    ModelConfig("odd", layers=1, width=30, heads=2, seq_len=64, batch=4),
    ModelConfig("blocks", layers=1, width=144, heads=3, seq_len=128, batch=4, vocab=300),
)


@functools.cache
def weights_of(config: ModelConfig) -> dict[str, Tensor]:
    """Normal weights, a few rows of them all zero, constant or tiny."""
    random = np.random.default_rng(len(config.name))
    weights = {}
    for name, shape in config.shapes().items():
        values = random.standard_normal(shape) * (1.0 if name == "embed" else 0.2)
        values[::7], values[1::11], values[2::13] = 0.0, 0.25, 2.0**-120
        weights[name] = torch.from_numpy(values.astype(np.float32))
    return weights


def make(kind: str, config: ModelConfig, slots: int, threads: int = 1) -> Decoder:
    """A decoder of one kind; skips the test where this machine has none."""
    if kind == "definition":
        return Definition(config, weights_of(config), slots)
    loaded = library.load(kind)
    if loaded is None:
        pytest.skip(f"{kind} is not built or does not run on this processor")
    return CompiledDecoder(loaded, config, weights_of(config), slots, threads)


@pytest.fixture(params=DECODERS, scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    """Every way of decoding."""
    return str(request.param)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tensors this small gain nothing from a second one."""
    torch.set_num_threads(1)
