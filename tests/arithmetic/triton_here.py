"""The fused engine wherever tests run: on the GPU, or without one in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are first imported

MISSING = importlib.util.find_spec("triton") is None
WHY = "Triton is not installed: `make test-fused` brings it"
DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
