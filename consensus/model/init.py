"""Initial weights from a counter-based integer generator: the same bytes on every machine."""

import hashlib
from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consensus.model.config import ModelConfig

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform_bits(seed: bytes, name: str, count: int) -> NDArray[np.int32]:
    """``count`` integers, uniform on [-2**23, 2**23).

    SplitMix64 (Steele et al. 2014) over a counter, keyed by SHA-256.
    """
    key = np.frombuffer(hashlib.sha256(b"ponw/init/1\x00" + seed + b"\x00" + name.encode()).digest()[:8], "<u8")[0]
    with np.errstate(over="ignore"):
        z = key + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    bits: NDArray[np.int32] = (z >> np.uint64(40)).astype(np.int32) - np.int32(1 << 23)
    return bits


def _spread(name: str, shape: tuple[int, ...]) -> float:
    """Half-width of the uniform distribution: 0 for what writes into the residual stream and for the head."""
    if name.endswith(("attn_out", "mlp_out")) or name == "head":
        return 0.0
    if name in ("embed", "position"):
        return 1.0
    inverse_root = 1.0
    while inverse_root * inverse_root * shape[1] > 1.0:
        inverse_root /= 2.0
    return inverse_root * 1.5


def init_weights(config: ModelConfig, seed: bytes, names: Collection[str] | None = None) -> dict[str, Tensor]:
    """fp32 weights by name; every value is an integer of 24 bits times a constant, one rounding each.

    ``names``: only these, where a member holds a part of the model; their values do not depend on the others.
    """
    weights = {}
    for name, shape in config.shapes().items():
        if names is not None and name not in names:
            continue
        count = int(np.prod(shape))
        spread = _spread(name, shape)
        if spread == 0.0:
            weights[name] = torch.zeros(shape, dtype=torch.float32)
            continue
        scale = np.float32(spread * 2.0**-23)
        values = uniform_bits(seed, name, count).astype(np.float32) * scale
        weights[name] = torch.from_numpy(values.reshape(shape))
    return weights
