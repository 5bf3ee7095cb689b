"""Rounds of our FedAvg and FedAdam and of Flower 1.42's on the same random updates (`make test-oracles`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from consensus.aggregation import Contributions, Mean
from consensus.arithmetic import choose_engine
from consensus.training.federated import FedAdam, FedAvg, ServerState, ServerStep

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".stamps" / "oracles" / "bin" / "python"
SAMPLES = [256, 512, 1024, 256, 512, 777, 1]


@pytest.mark.oracles
@pytest.mark.parametrize("kind", ["fedavg", "fedadam"])
@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0])
def test_the_weights_are_flowers(kind: str, scale: float, tmp_path: Path) -> None:
    rounds, parameters = 6, 2003
    draw = np.random.default_rng(7)
    start = draw.standard_normal(parameters).astype(np.float32)
    updates = (draw.standard_normal((rounds, len(SAMPLES), parameters)) * scale).astype(np.float32)
    rule = FedAdam()
    settings = np.array([rule.eta, rule.beta1, rule.beta2, rule.tau])
    np.savez(tmp_path / "in.npz", start=start, updates=updates, samples=np.array(SAMPLES), settings=settings)
    command = [PYTHON, ROOT / "bench" / "federated_worker.py", kind, tmp_path / "in.npz", tmp_path / "out.npy"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    theirs = np.load(tmp_path / "out.npy")
    step: ServerStep = FedAvg() if kind == "fedavg" else rule
    state, engine = ServerState.start({"w": torch.from_numpy(start)}), choose_engine()
    for number in range(rounds):
        parts = [(n, {"w": torch.from_numpy(u)}) for n, u in zip(SAMPLES, updates[number], strict=True)]
        state = step(engine, state, Mean()(Contributions.of(parts)))
        difference = float(np.abs(state.weights["w"].double().numpy() - theirs[number]).max())
        print(f"{kind} at scale {scale:g}, round {number}: largest difference {difference:.2e}")
        assert difference <= 3e-6 * max(1.0, scale)
