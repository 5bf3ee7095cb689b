"""Exact training on this machine's NVIDIA GPU: roots against the processor's, and speed against native PyTorch there.

Writes bench/results/gpu.json. Fails where PyTorch finds no GPU. Native is the model of bench/native.py in plain fp32
with the micro-batch that is fastest for it; TF32 and bf16 (autocast) are beside it for information: they compute less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.native import Native
from consensus.arithmetic import choose_engine, gpu, survey
from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import state_root
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.training.step import Trainer, TrainState
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.training.batch import draw_batch

RESULTS = Path(__file__).parent / "results" / "gpu.json"
SEED = b"ponw genesis"
RANDOMNESS, NODE = bytes(range(32)), bytes(20)
"""Weights and batches of the roots table of bench/exact.py, so that its root is the one to reach."""
NATIVE_MODES = ("fp32", "tf32", "bf16")


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


def main() -> None:
    """Run every part and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50, help="tiny steps behind each root (default 50)")
    parser.add_argument("--timed", type=int, default=7, help="timed steps of each side (default 7)")
    parser.add_argument("--presets", nargs="*", default=list(PRESETS), help="presets whose speed is measured")
    options = parser.parse_args()
    device = gpu.device()
    if device is None:
        raise SystemExit(f"no GPU: torch {torch.__version__} finds no CUDA device here, so there is nothing to measure")
    results: dict[str, Any] = {"machine": _machine(device)}
    say(f"{results['machine']}")
    results["kernels"] = _kernels()
    with tempfile.TemporaryDirectory() as scratch:
        data = ensure_default(Path(scratch) / "data")
        results["roots"], results["one_root"] = _roots(data, options.steps, Path(scratch))
        say(f"one root: {results['one_root']}")
        results["presets"] = {name: _speed(name, data, options.timed, device) for name in options.presets}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    say(f"written to {RESULTS}")
    if not results["one_root"]:
        sys.exit("the roots differ")


def _machine(device: torch.device) -> dict[str, Any]:
    card = torch.cuda.get_device_properties(device)
    return {
        "gpu": card.name,
        "memory_gib": round(card.total_memory / 2**30, 1),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
    }


def _makers() -> dict[str, gpu.Maker]:
    """The GPU's kernels first: PyTorch's products there must have run before others load their libraries."""
    return dict([*gpu.plain(), ("cuda-fused", dict(gpu.candidates()).get("cuda-fused", lambda: None)), *candidates()])


def _kernels() -> dict[str, str]:
    found = {}
    for maker in _makers().items():
        (verdict,) = survey(clock=time.perf_counter, makers=[maker])
        found[verdict.name] = f"passed, {verdict.seconds:.5f} s" if verdict.passed else f"refused: {verdict.reason}"
        say(f"  {verdict.name:20} {found[verdict.name]}")
    return found


# --- roots ---


@dataclass(frozen=True)
class Run:
    """One line of the table. ``alone``: one micro-batch at a time, whatever the room."""

    engine: Engine
    graphs: bool = True
    alone: bool = False

    def __str__(self) -> str:
        parts = [self.engine.name]
        if self.engine.device.type == "cuda":
            parts += ["graph" if self.graphs else "eager"] + ["alone"] * self.alone
        return "/".join(parts)

    def trainer(self) -> Trainer:
        """Of preset tiny."""
        engine = self.engine
        if self.alone:
            engine.room = lambda: 0  # type: ignore[method-assign]
        trainer = Trainer(PRESETS["tiny"], engine)
        trainer.queue.graphs = self.graphs
        return trainer


def _roots(data: Dataset, steps: int, scratch: Path) -> tuple[dict[str, str], bool]:
    """Roots and last losses after ``steps`` tiny steps: each engine of this machine, and from the processor's
    checkpoints on, by the GPU."""
    config, found = PRESETS["tiny"], dict[str, str]()
    makers = _makers()
    batches = [draw_batch(config, data, RANDOMNESS, NODE, step) for step in range(steps)]
    store = CheckpointStore(scratch / "states", config.shapes(), state_root)

    def note(name: str, run: Run, state: TrainState, every: int = 0) -> None:
        trainer, loss = run.trainer(), 0.0
        while state.step < steps:
            loss = trainer.step(state, batches[state.step])
            if every and state.step % every == 0:
                groups = {"weights": state.weights, "m": state.m, "v": state.v}
                store.save(Checkpoint(1, state.step, state_root(state.weights, state.m, state.v), groups))
        found[name] = f"0x{state_root(state.weights, state.m, state.v).hex()} loss {loss.hex()}"
        say(f"  {name:40} {found[name]}")

    def start() -> TrainState:
        return TrainState.start(init_weights(config, SEED))

    processor = choose_engine(clock=time.perf_counter)
    note(f"{processor.name} (saving)", Run(processor), start(), 10)
    for name, make in makers.items():
        engine = make() if name.startswith("cuda-") else None
        if engine is not None:
            note(str(Run(engine)), Run(engine), start())
    fused, other = makers["cuda-fused"](), makers["cuda-fused"]()
    if fused is not None and other is not None:
        for run in (Run(fused, graphs=False), Run(other, alone=True), Run(other, graphs=False, alone=True)):
            note(str(run), run, start())
        for at in range(10, steps, 10):
            groups = store.load(store.path(1, at)).groups
            state = TrainState(dict(groups["weights"]), dict(groups["m"]), dict(groups["v"]), at)
            note(f"cuda-fused (from the processor's step {at})", Run(fused), state)
    return found, len(set(found.values())) == 1


# --- speed ---


def _speed(name: str, data: Dataset, timed: int, device: torch.device) -> dict[str, Any]:
    config = PRESETS[name]
    say(f"speed at {name}:")
    weights = init_weights(config, SEED)
    batches = [draw_batch(config, data, RANDOMNESS, NODE, step) for step in range(timed)]
    engine = choose_engine(clock=time.perf_counter, devices=True)
    exact, commit, peak = _exact(config, engine, weights, batches)
    say(f"  {engine.name}: {exact * 1e3:.3f} ms a step, commitment {commit * 1e3:.3f} ms, peak {peak:.1f} GiB")
    native = {}
    for mode in NATIVE_MODES:
        sizes = [config.batch >> shift for shift in range(3 if mode == "fp32" else 1)]
        native[mode] = _native(config, weights, batches, mode, sizes, device)
        took, micro = native[mode]
        say(f"  native {mode}: {took * 1e3:.3f} ms, {micro} sequences at a time; ratio {took / exact:.2f}")
    best = native["fp32"][0]
    tokens = config.tokens_per_step
    return {
        "kernel": engine.name,
        "tokens_per_s": {"exact": tokens / exact, "native": tokens / best},
        "ratio": best / exact,
        "ratios": {mode: took / exact for mode, (took, _) in native.items()},
        "commit_share": commit / exact,
        "step_s": {"exact": exact, "commit": commit} | {mode: took for mode, (took, _) in native.items()},
        "native_micro_batch": {mode: micro for mode, (_, micro) in native.items()},
        "peak_gib": peak,
    }


def _exact(
    config: ModelConfig, engine: Engine, weights: dict[str, Tensor], batches: list[Tensor]
) -> tuple[float, float, float]:
    trainer, state = Trainer(config, engine), TrainState.start(weights)
    torch.cuda.reset_peak_memory_stats()
    for tokens in batches[:3]:  # the first compiles, the second records the graph
        trainer.step(state, tokens)
        state_root(state.weights, state.m, state.v)
    steps, commits = [], []
    for tokens in batches:
        steps.append(_timed(lambda tokens=tokens: trainer.step(state, tokens), engine.device))  # type: ignore[misc]
        commits.append(_timed(lambda: state_root(state.weights, state.m, state.v), engine.device))
    peak = torch.cuda.max_memory_allocated() / 2**30
    return statistics.median(steps), statistics.median(commits), peak


def _native(
    config: ModelConfig,
    weights: dict[str, Tensor],
    batches: list[Tensor],
    mode: str,
    sizes: list[int],
    device: torch.device,
) -> tuple[float, int]:
    """Seconds a step and the micro-batch with which it is fastest."""
    held, there = [t.to(device) for t in batches], {name: w.to(device) for name, w in weights.items()}
    times = {}
    with _mode(mode):
        for size in sizes:
            native = Native(config, there, size)
            for tokens in held[:2]:
                native.step(tokens)
            times[size] = statistics.median(
                _timed(lambda tokens=tokens, native=native: native.step(tokens), device)  # type: ignore[misc]
                for tokens in held
            )
            del native
            torch.cuda.empty_cache()
    best = min(times, key=lambda size: times[size])
    return times[best], best


@contextmanager
def _mode(mode: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if mode == "tf32" else "highest")
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=mode == "bf16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    gpu.wait(device)
    started = time.perf_counter()
    work()
    gpu.wait(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
