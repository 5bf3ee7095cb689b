"""Roots hashed by the GPU's kernels are those of ``hashlib``."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
import torch

from consensus.commitments import device, hashing
from consensus.commitments.tensors import state_root, tensor_bytes

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are first imported
DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def test_the_constants_are_those_of_the_standard() -> None:
    """FIPS 180-4, 4.2.2."""
    words = device.round_constants().view(np.uint32)
    assert [hex(w) for w in (*words[:3], words[63])] == ["0x428a2f98", "0x71374491", "0xb5c0fbcf", "0xc67178f2"]
    assert len(words) == 64


@needs_triton
def test_trees_of_every_shape() -> None:
    """Part of a leaf, a whole one, and trees with an odd leaf, side by side; on a GPU again and again, as a graph."""
    random = np.random.default_rng(7)
    tensors = [
        torch.from_numpy(random.integers(-(2**31), 2**31, n, dtype=np.int64).astype(np.int32)).to(DEVICE)
        for n in ((1, 13, 256, 513) if DEVICE.type == "cpu" else (1, 13, 14, 256, 257, 769, 1280, 100_000))
    ]
    made = device.DeviceHasher(DEVICE)
    expected = hashing.portable_roots([tensor_bytes(t) for t in tensors])
    assert made.roots(tensors) == expected
    for _ in range(0 if DEVICE.type == "cpu" else 3):
        tensors[0].add_(1)
        assert made.roots(tensors) == hashing.portable_roots([tensor_bytes(t) for t in tensors])


def test_only_whole_words_of_one_gpu_are_hashed_there() -> None:
    assert not device.hashable([])
    assert not device.hashable([torch.zeros(4)])
    assert not device.hashable([np.zeros(4, dtype=np.float32)])
    assert device.hasher(torch.device("cpu")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_state_on_a_gpu_has_the_root_of_its_copy() -> None:
    parts = [{"a": torch.randn(300, 700), "b": torch.randn(1, 3)} for _ in range(3)]
    there = [{name: t.to(DEVICE) for name, t in part.items()} for part in parts]
    roots = {state_root(*there) for _ in range(4)} | {state_root(*parts)}
    assert len(roots) == 1
