"""What this machine's NVIDIA GPU lacks for the exact kernels, in words."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from consensus.arithmetic.gpu import has_triton

_DRIVER = Path("/proc/driver/nvidia/version")


def present() -> bool:
    """Whether an NVIDIA driver is loaded here."""
    return _DRIVER.exists() or shutil.which("nvidia-smi") is not None


def note() -> str:
    """Why the GPU, or its fastest kernels, are left out; empty where nothing is missing or there is no GPU."""
    if torch.cuda.is_available():
        if not has_triton():
            return "Triton is not installed, so the fused GPU kernels are left out: pip install triton."
        return ""
    if not present():
        return ""
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None:
        return f"An NVIDIA GPU is here, but {build} is built for processors only: install its CUDA build to use it."
    return f"An NVIDIA GPU is here, but {build} (CUDA {torch.version.cuda}) cannot use it: check the driver."
