"""What this machine is, and what of the limits has an effect on it."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil
import torch

from consensus.arithmetic import Engine, set_threads
from consensus.arithmetic.gpu import device_room
from consensus.model.config import ModelConfig
from node import gpu
from node.gateway.schemas import Hardware
from node.volunteer.errors import TooLargeError
from node.volunteer.limits import all_threads, on_battery
from node.volunteer.panel_schemas import Limits

_GIB = float(1 << 30)
_COPIES = 7
"""fp32 copies of the weights while a batch is trained: start, weights, two moments, gradients, packed twice."""
_ACTIVATIONS = 40
"""fp32 numbers kept a token, layer and unit of width, about."""


def hardware(kernel: str, threads: int, tokens_per_s: float) -> Hardware:
    """As the gateway is told."""
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if _cuda() else []
    return Hardware(
        cpu=_cpu_name()[:120],
        threads=threads,
        gpu=", ".join(card.name for card in cards)[:120],
        vram_gb=round(sum(card.total_memory for card in cards) / _GIB, 1),
        memory_gb=round(psutil.virtual_memory().total / _GIB, 1),
        tokens_per_s=round(tokens_per_s, 1),
        kernel=kernel[:64],
    )


def apply(limits: Limits) -> int:
    """Put the limits in force in this process; the compute threads that it uses now."""
    threads = min(limits.cpu_threads or all_threads(), all_threads())
    set_threads(threads)
    if _cuda():
        for card in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(limits.gpu_memory_share, card)
    return threads


def notes(engine: Engine) -> list[str]:
    """What of the limits has no effect here, and why."""
    found = []
    if engine.device.type == "cuda":
        found.append("Training runs on the GPU; its memory share bounds what is taken of it.")
    elif _cuda():
        found.append("Training runs on the processor, whose kernel is the first to prove itself; the GPU stays idle.")
    else:
        found.append("The share of GPU memory has no effect: PyTorch finds no CUDA device here.")
    if missing := gpu.note():
        found.append(missing)
    if on_battery() is None:
        found.append("Pausing on battery has no effect: the system reports no battery.")
    return found


def require_memory(config: ModelConfig, engine: Engine) -> None:
    """Raises TooLargeError where training this model takes more memory than there is to be had: the machine's, or for
    an engine of a GPU what the share of it leaves."""
    tokens = config.micro_batch * config.seq_len
    activations = tokens * (config.layers * config.width * _ACTIVATIONS + 3 * config.vocab)
    need = 4 * (_COPIES * config.parameters + activations)
    on_gpu = engine.device.type == "cuda"
    have = device_room(engine.device) if on_gpu else psutil.virtual_memory().available
    if need > have:
        raise TooLargeError(
            f"The model takes about {need / _GIB:.1f} GiB to train; {have / _GIB:.1f} GiB are available"
            f"{' on the GPU' if on_gpu else ''}.",
            "Raise the share of the GPU's memory (`--gpu-memory`), or hide the GPU: CUDA_VISIBLE_DEVICES=''."
            if on_gpu
            else "Close other programs, or volunteer from a larger machine.",
        )


def _cuda() -> bool:
    return bool(torch.cuda.is_available())


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
