"""What a browser computes is what every machine computes: the page's own code and kernels, run by Node, against the
engine that nodes train with."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from consensus.aggregation.compression import ErrorFeedback
from consensus.arithmetic import choose_engine
from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, Trace, loss_bits
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.training.outer import update_of
from consensus.training.step import Trainer, TrainState
from node.gateway.payload import CODECS, encode_payload, raw_bytes
from node.gateway.wire import read_zstd

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "dashboard"
MICRO = ModelConfig("micro", layers=2, width=64, heads=2, seq_len=64, batch=16)
CASES = {
    "tiny": PRESETS["tiny"],
    "micro batches": MICRO,
    "young layers": replace(MICRO, name="young", layers=3, young=1, age=7),
    "odd rows": ModelConfig("odd", layers=1, width=96, heads=3, seq_len=32, batch=16, vocab=1003),
}
STEPS = 3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's trainer as one file for Node."""
    bundler = DASHBOARD / "node_modules" / ".bin" / "rolldown"
    assert bundler.exists(), "Run `make setup`: the dashboard's packages are not installed."
    out = tmp_path_factory.mktemp("page") / "run.mjs"
    source = DASHBOARD / "src" / "exact" / "run.ts"
    done = subprocess.run(
        [bundler, source, "--format", "esm", "--platform", "node", "--file", out],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def in_a_page(program: Path, config: ModelConfig, tokens: Any, codec: str, folder: Path) -> dict[str, Any]:
    """Train in the page's code from the first weights."""
    weights = init_weights(config, b"page")
    shape = folder / "architecture.json"
    shape.write_text(json.dumps(asdict(config)))
    np.concatenate([weights[n].numpy().ravel() for n in sorted(weights)]).astype("<f4").tofile(folder / "weights")
    tokens.astype("<u2").tofile(folder / "tokens")
    wasm = DASHBOARD / "src" / "exact" / "exact.wasm"
    done = subprocess.run(
        ["node", program, wasm, shape, folder / "weights", folder / "tokens", codec],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("case", "codec"),
    [
        ("tiny", "topk"),
        ("micro batches", "int8"),
        ("young layers", "topk"),
        ("odd rows", "raw"),
        ("odd rows", "fourlevel"),
    ],
)
def test_a_page_trains_the_bits_that_every_machine_trains(program: Path, case: str, codec: str, tmp_path: Path) -> None:
    config = CASES[case]
    tokens = np.random.default_rng(1).integers(0, config.vocab, (STEPS, config.batch, config.seq_len + 1))
    page = in_a_page(program, config, tokens, codec, tmp_path)
    weights = init_weights(config, b"page")
    state, trainer, trace = TrainState.start(weights), Trainer(config, choose_engine()), Trace()
    for step, rows in enumerate(tokens):
        loss = trainer.step(state, torch.from_numpy(rows.astype(np.int32)))
        root = state_root(state.weights, state.m, state.v)
        leaf = StepLeaf(root, batch_root(rows), loss_bits(loss), step)
        trace.append(leaf)
        assert page["leaves"][step] == [root.hex(), leaf.batch_root.hex(), leaf.loss_bits]
    assert page["trace"] == trace.root().hex()
    update = update_of(weights, state.weights)
    payload = encode_payload(codec, update)
    assert page["payload_sha256"] == hashlib.sha256(payload).hexdigest()
    assert read_zstd(io.BytesIO(base64.b64decode(page["frame"])), len(payload)) == payload
    state_file = raw_bytes({
        f"{group}/{name}": tensor
        for group in ("weights", "m", "v")
        for name, tensor in getattr(state, group).items()
    })  # fmt: skip
    assert page["state_sha256"] == hashlib.sha256(state_file).hexdigest()
    if codec != "raw":
        left = ErrorFeedback.start(update)
        for sent in page["feedback"]:
            made = left.send(CODECS[codec], update)
            left = made.feedback
            assert sent["payload"] == hashlib.sha256(made.data).hexdigest()
            assert sent["left"] == hashlib.sha256(raw_bytes(left.left)).hexdigest()
        assert len(page["feedback"]) == 2


def test_the_committed_kernels_belong_to_their_sources() -> None:
    done = subprocess.run(
        ["python", ROOT / "tools" / "wasm.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    for name in ("tools/wasm.py", "dashboard/src/exact/exact.wasm", "dashboard/src/exact/exact.wasm.sources"):
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        (copied / name).write_bytes((ROOT / name).read_bytes())
    native = copied / "consensus/arithmetic/native"
    for path in (ROOT / "consensus/arithmetic/native").rglob("*"):
        if path.suffix in {".inc", ".c", ".h"}:
            target = native / path.relative_to(ROOT / "consensus/arithmetic/native")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = ["python", copied / "tools/wasm.py", "--check"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    with (native / "kernels.inc").open("a") as file:
        file.write("/* changed */\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
