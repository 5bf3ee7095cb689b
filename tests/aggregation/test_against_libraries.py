"""Our rules and those of ByzFL 0.0.11 and Flower 1.42 on the same random numbers (`make test-oracles`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.aggregate_worker import aggregate, rule_of

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".stamps" / "oracles" / "bin" / "python"
CASES = [
    *(("byzfl", rule) for rule in ("trimmed_mean", "median", "krum", "multi_krum", "nnm_trimmed_mean", "nnm_median")),
    *(("flower", rule) for rule in ("trimmed_mean", "median", "krum", "multi_krum")),
]


@pytest.mark.oracles
@pytest.mark.parametrize(("library", "rule"), CASES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("n", "f"), [(10, 2), (25, 5)])
def test_equal_weights_give_the_librarys_values(
    library: str, rule: str, scale: float, n: int, f: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(n)
    x = (draw.standard_normal((n, 5003)) * scale).astype(np.float32)
    x[:f] += np.float32(2 * scale)  # attackers that stand apart, yet within the box that clamps what is huge
    np.save(tmp_path / "in.npy", x)
    command = [PYTHON, ROOT / "bench" / "oracle_worker.py", library, rule, str(f), tmp_path / "in.npy"]
    subprocess.run([*command, tmp_path / "out.npy"], cwd=ROOT, check=True, capture_output=True, timeout=300)
    theirs = np.load(tmp_path / "out.npy")
    ours = aggregate(rule_of(rule, f, n, library), x).astype(np.float64)
    difference = float(np.abs(ours - theirs).max())
    print(
        f"{library} {rule} {n} x {x.shape[1]} at scale {scale:g}: largest difference {difference / scale:.2e} of scale"
    )
    assert difference <= 4e-6 * scale
