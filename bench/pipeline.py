"""Pipelines of 2, 3 and 4 stages in processes of their own against one process, and a quorum under a memory limit.

Writes bench/results/pipeline.json. Root and losses of one process come from `Trainer`; its speed is that of the same
session code with the whole model as its one stage, the better of one thread and all cores, before and after the
pipelines. A stage has cores / stages threads, at least one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from bench.pipeline_group import Group, run
from bench.pipeline_worker import HELDOUT_WINDOWS, NODE, RANDOMNESS, SEED
from consensus.arithmetic import choose_engine, set_threads
from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, Trace, loss_bits
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.evaluate import mean_loss
from consensus.model.init import init_weights
from consensus.pipeline.capacity import boundary_bytes, capacity
from consensus.pipeline.stages import split
from consensus.training.step import Trainer, TrainState
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.training.batch import draw_batch

RESULTS = Path(__file__).parent / "results" / "pipeline.json"
WARM = 10
"""Steps at the start that no time is taken of."""


def say(line: str) -> None:
    """One line at once: the whole takes minutes."""
    print(line, flush=True)


def main() -> None:
    """Run every part and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="steps of each run (default 200)")
    parser.add_argument("--one-steps", type=int, default=60, help="steps behind the speed of one process (default 60)")
    parser.add_argument("--preset", default="tiny", choices=sorted(PRESETS))
    parser.add_argument("--limit", type=int, default=60_000_000, help="bytes a member of the limited quorum may use")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    set_threads(1)  # any number gives the same trace; where others use the machine, one is fastest
    engine, config = choose_engine(), PRESETS[options.preset]
    kernel = _candidate(engine)
    say(f"kernel: {engine.name}, cores: {cores}, load: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        dataset = ensure_default(folder / "data")
        trace, heldout = one_process(config, engine, dataset, options.steps, options.steps // 4)
        say(f"one process: trace 0x{trace.root().hex()}, held-out {[round(loss, 4) for _, loss in heldout]}")
        base = Group((config.layers,), options.steps, kernel, dataset.folder, folder / "one", cores, config.name)
        counts = sorted({1, cores})
        runs = {n: [one_speed(config, base, n, options.one_steps)] for n in counts}
        found = {str(n): pipeline(config, base, folder / str(n), n, trace) for n in (2, 3, 4)}
        one = {n: max([*speeds, one_speed(config, base, n, options.one_steps)]) for n, speeds in runs.items()}
        say(f"one process, tokens/s by threads: { {n: round(rate) for n, rate in one.items()} }")
        for stages, figures in found.items():
            figures["ratio_to_one"] = figures["tokens_per_s"] / max(one.values())
            say(f"{stages} stages: {_line(figures)}")
        results: dict[str, Any] = {
            "preset": config.name,
            "steps": options.steps,
            "kernel": engine.name,
            "cores": cores,
            "load": list(os.getloadavg()),
            "boundary_bytes": boundary_bytes(config),
            "one_tokens_per_s": {str(n): rate for n, rate in one.items()},
            "stages": found,
        }
        save(results)
        save(results | {"memory": limited(config, base, folder, options.limit, (trace, heldout))})


def save(results: dict[str, Any]) -> None:
    """Write what is known so far."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    say(f"written to {RESULTS}")


def one_process(
    config: ModelConfig, engine: Engine, dataset: Dataset, steps: int, every: int
) -> tuple[Trace, list[tuple[int, float]]]:
    """Trace and held-out losses of plain training."""
    trainer, state, trace = Trainer(config, engine), TrainState.start(init_weights(config, SEED)), Trace()
    windows = torch.from_numpy(dataset.heldout_windows(config.seq_len, HELDOUT_WINDOWS)).to(torch.int32)
    heldout = []
    for step in range(steps):
        tokens = draw_batch(config, dataset, RANDOMNESS, NODE, step)
        loss = trainer.step(state, tokens)
        root = state_root(state.weights, state.m, state.v)
        trace.append(StepLeaf(root, batch_root(tokens.numpy()), loss_bits(loss), step))
        if state.step % every == 0:
            heldout.append((state.step, mean_loss(engine, config, state.weights, windows)))
    return trace, heldout


def pipeline(config: ModelConfig, base: Group, folder: Path, stages: int, trace: Trace) -> dict[str, Any]:
    """One pipeline of ``stages`` processes: root, speed, waiting, bytes sent a step."""
    layers = tuple(stage.count for stage in split(config, stages))
    threads = max(1, base.threads // stages)
    reports = run(Group(layers, base.steps, base.kernel, base.data, folder, threads, base.preset))
    found = {
        "layers": layers,
        "threads": threads,
        "root_equal": all(traces_equal(report, trace) for report in reports),
        **rates(config, reports),
        "sent_bytes_a_step": [round(report["sent"] / base.steps) for report in reports],
    }
    say(f"{stages} stages: root equal: {found['root_equal']}, {found['tokens_per_s']:,.0f} tokens/s")
    return found


def one_speed(config: ModelConfig, base: Group, threads: int, steps: int) -> float:
    """Tokens a second of one process with ``threads`` threads."""
    group = replace(base, threads=threads, steps=max(steps, WARM + 1), folder=base.folder / uuid.uuid4().hex)
    return float(rates(config, run(group))["tokens_per_s"])


def limited(
    config: ModelConfig, base: Group, folder: Path, limit: int, right: tuple[Trace, list[tuple[int, float]]]
) -> dict[str, Any]:
    """A quorum of two whose members may use ``limit`` bytes each, where one member cannot hold the model."""
    trace, heldout = right
    bound = ("--limit", str(limit), "--heldout", str(base.steps // 4))
    (alone,) = run(replace(base, folder=folder / "alone", options=bound))
    layers = tuple(stage.count for stage in split(config, 2))
    reports = run(replace(base, layers=layers, folder=folder / "limited", threads=1, options=bound))
    losses = [(step, loss) for step, loss in reports[-1]["heldout"]]
    found = {
        "limit_bytes": limit,
        "whole_model_bytes": capacity(config, split(config, 1), 0).total,
        "one_member": alone.get("error", "trained"),
        "stage_bytes": [report["stage_bytes"] for report in reports],
        "rss_growth_bytes": [report["rss_bytes"] for report in reports],
        "root_equal": all(traces_equal(report, trace) for report in reports),
        "heldout": losses,
        "heldout_equal": losses == heldout,
    }
    say(f"limit {limit:,}: one member {found['one_member']}; two: {found['stage_bytes']}, held-out {losses}")
    return found


def rates(config: ModelConfig, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Tokens a second by the last stage's clock, and each member's share of time spent waiting for a neighbour."""
    shares = []
    for report in reports:
        stamps, waited = report["stamps"], report["waited"]
        shares.append((waited[-1] - waited[WARM - 1]) / (stamps[-1] - stamps[WARM - 1]))
    stamps = reports[-1]["stamps"]
    seconds = (stamps[-1] - stamps[WARM - 1]) / (len(stamps) - WARM)
    return {
        "tokens_per_s": config.tokens_per_step / seconds,
        "waiting_share": statistics.fmean(shares),
        "waiting_shares": shares,
    }


def traces_equal(report: dict[str, Any], trace: Trace) -> bool:
    """Whether a member ended with the same root and loss at every step."""
    return [bytes.fromhex(leaf) for leaf in report["leaves"]] == [leaf.encode() for leaf in trace]


def _candidate(engine: Engine) -> str:
    """The name by which a member asks for this engine."""
    return next(name for name, make in candidates() if (made := make()) is not None and made.name == engine.name)


def _line(found: dict[str, Any]) -> str:
    return (
        f"root equal: {found['root_equal']}, {found['tokens_per_s']:,.0f} tokens/s, {found['ratio_to_one']:.2f} of one "
        f"process, waiting {found['waiting_share']:.0%}"
    )


if __name__ == "__main__":
    main()
