"""Exact against native training: roots, speed, loss, and the cost of commitment and audit.

Writes bench/results/exact.json. Speed at the top level is preset small's, loss is tiny's; `presets` has both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import loss, roots, speed
from consensus.arithmetic import choose_engine, set_threads, survey
from consensus.model.config import PRESETS
from node.data.corpus import ensure_default
from node.training.work import Workshop

RESULTS = Path(__file__).parent / "results" / "exact.json"


def say(line: str) -> None:
    """One line at once: the whole takes minutes."""
    print(line, flush=True)


def main() -> None:
    """Run every part and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50, help="tiny steps behind each root (default 50)")
    parser.add_argument("--loss-steps", type=int, default=2000, help="tiny steps behind each loss (default 2000)")
    parser.add_argument("--seeds", type=int, default=8, help="seeds of the loss comparison (default 8)")
    parser.add_argument("--pairs", type=int, default=7, help="timed steps of each side (default 7)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="compute threads (default all)")
    options = parser.parse_args()
    started = time.monotonic()
    set_threads(options.threads)
    say("kernels on this machine:")
    for verdict in survey(clock=time.perf_counter):
        outcome = f"passed, {verdict.seconds:.5f} s" if verdict.passed else f"refused: {verdict.reason}"
        say(f"  {verdict.name:20} {outcome}")
    engine = choose_engine(clock=time.perf_counter)
    say(f"kernel: {engine.name}, threads: {speed.threads()}, load: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as scratch:
        dataset = ensure_default(Path(scratch) / "data")
        results: dict[str, Any] = {"kernel": engine.name}
        say(f"roots after {options.steps} tiny steps:")
        results["roots"], results["one_root"] = roots.table(options.steps, dataset.folder, Path(scratch), say)
        say(f"one root: {results['one_root']}")
        presets = {}
        for name in ("tiny", "small"):
            say(f"speed at {name}:")
            presets[name] = _speed(Workshop(PRESETS[name], engine, dataset), options.pairs)
        losses = [
            loss.measure(Workshop(PRESETS["tiny"], engine, dataset), options.loss_steps, seed, say)
            for seed in range(options.seeds)
        ]
    results |= {key: presets["small"][key] for key in ("tokens_per_s", "ratio", "commit_share", "audit_share")}
    exact, native = (statistics.fmean(getattr(one, side) for one in losses) for side in ("exact", "native"))
    results["loss"] = {"exact": exact, "native": native, "relative": exact / native - 1, "steps": options.loss_steps}
    results["seeds"] = [asdict(one) for one in losses]
    results["presets"] = presets
    results["machine"] = {"cpu": platform.processor() or platform.machine(), "threads": speed.threads()}
    results["seconds"] = round(time.monotonic() - started)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _summary(results)


def _speed(shop: Workshop, pairs: int) -> dict[str, Any]:
    found = speed.measure(shop, pairs, say)
    tokens = shop.config.tokens_per_step
    return {
        "tokens_per_s": {"exact": tokens / found.exact, "native": tokens / found.native},
        "ratio": found.native / found.exact,
        "commit_share": found.commit / found.exact,
        "audit_share": found.audit_share,
        "native_micro_batch": found.micro,
        "step_s": {"exact": found.exact, "native": found.native, "commit": found.commit},
    }


def _summary(results: dict[str, Any]) -> None:
    for name, one in results["presets"].items():
        rates = one["tokens_per_s"]
        say(
            f"{name}: exact {rates['exact']:,.0f} tokens/s, native {rates['native']:,.0f}, ratio {one['ratio']:.2f}, "
            f"commitment {one['commit_share']:.2%}, audit {one['audit_share']:.1%} of a claim"
        )
    found = results["loss"]
    say(
        f"tiny, held-out loss after {found['steps']} steps, mean of {len(results['seeds'])} seeds: "
        f"exact {found['exact']:.4f}, native {found['native']:.4f} ({found['relative']:+.2%})"
    )
    say(f"written to {RESULTS} after {results['seconds']} s")


if __name__ == "__main__":
    main()
