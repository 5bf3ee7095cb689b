"""Two quorums of two and two async nodes train one model over the real peer network, and one process trains it
synchronously on the same tokens. Writes bench/results/cohort.json.

- Roots: every member's root after every round.
- Loss: held-out, of the state after the last round, against one process that takes as many steps as one contributor,
  each over the four contributors' batches of that step at once: the same windows of text, moments never reset. It runs
  once for each of --rates, and after each round the lowest of its losses is what the cohort is compared with. Both
  start from the same weights, trained by one process for --warm steps; over the last --cooling the rate falls to zero.
- Bytes: what the members wrote to their streams but for the pipelines, and announcements times followers, against a
  naive all-reduce of fp32 gradients each step among the holders of each layer: 2 (n - 1) / n * 4 bytes a parameter,
  node that holds it, and step, with n = 4. `tcp` is the kernel's count of an async node's TCP connections, heartbeats
  and all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch

from bench.accounts import NumberedAccount
from bench.cohort_fleet import NodeProcess, start
from bench.cohort_node import MODELS, randomness, start_weights
from consensus.arithmetic import choose_engine, set_threads
from consensus.model.config import ModelConfig
from consensus.training.optimizer import AdamW
from consensus.training.step import Trainer, TrainState
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.storage.tensorfile import save_tensors
from node.training.batch import draw_batch
from node.training.work import Workshop

RESULTS: Final = Path(__file__).parent / "results" / "cohort.json"
CONTRIBUTORS: Final = 4
ASYNC: Final = (5, 6)
RATE: Final = 0.001
RATES: Final = (0.0005, 0.001, 0.002, 0.003)
PIPELINE: Final = ("/ponw/pipeline/1", "/ponw/stages/1", "/ponw/quorum/1")


def held(config: ModelConfig) -> list[str]:
    """Parts of the six nodes: each quorum's members hold half of the layers each."""
    half, parts = 1 + config.layers // 2, config.layers + 2
    return 2 * [f"0:{half}", f"{half}:{parts}"] + 2 * [f"async 0:{parts}"]


def cohort(folder: Path, data: Path, options: argparse.Namespace, steps: int, rounds: int) -> dict[str, Any]:
    """Run the six processes; what they said of each round, and the accounts whose batches were trained."""
    more = ["--model", options.model, "--rounds", str(rounds), "--steps", str(steps), "--codec", options.codec]
    more += ["--collect", "900", "--view", "30", "--ask", "20", "--give-up", "1800", "--heartbeat", "10"]
    more += ["--warm", str(options.weights), "--rate", str(options.rate)]
    with ExitStack() as stack:
        nodes = start(folder, stack, data, held(MODELS[options.model]), more)
        leaders = {node.until("quorum", seconds=900)["leader"] for node in nodes if node.number not in ASYNC}
        said = [_round(nodes, number) for number in range(1, rounds + 1)]
    accounts = sorted(leaders) + [NumberedAccount(number).account.hex() for number in ASYNC]
    return {"rounds": said, "accounts": accounts}


def _round(nodes: list[NodeProcess], number: int) -> dict[str, Any]:
    found = {node.number: node.until("round", number, 3600) for node in nodes}
    roots = {said["root"] for said in found.values()}
    losses = {found[number]["loss"] for number in ASYNC}
    first = found[ASYNC[0]]
    told = {
        "round": number,
        "roots": len(roots),
        "root": min(roots),
        "counted": len(first["counted"]),
        "loss": losses.pop(),
        "settled_s": max(said["settled"] for said in found.values()),
        "sent": {node: said["sent"] for node, said in found.items()},
        "tcp": {node: found[node]["tcp"] for node in ASYNC},
    }
    print(f"round {number}: {len(roots)} root(s) of {len(nodes)} members, loss {told['loss']:.4f}", flush=True)
    return told


def synchronous(data: Path, options: argparse.Namespace, accounts: list[str], rate: float) -> list[float]:
    """Held-out loss of one process after each round's worth of steps over all contributors' batches at once."""
    config = MODELS[options.model]
    shop = Workshop(config, choose_engine(threads=1), Dataset.open(data))
    wide = dataclasses.replace(config, batch=config.batch * len(accounts))
    trainer = Trainer(wide, shop.engine, AdamW(lr=rate))
    state, losses = TrainState.start(start_weights(config, options.weights)), []
    for number in range(1, options.rounds + 1):
        for step in range(options.steps):
            parts = [
                draw_batch(config, shop.dataset, randomness(number), bytes.fromhex(account), step)
                for account in accounts
            ]
            trainer.step(state, torch.cat(parts))
        losses.append(shop.heldout_loss(state.weights))
        print(f"synchronous at {rate:g}, {number * options.steps} steps: loss {losses[-1]:.4f}", flush=True)
    return losses


def add_start(parser: argparse.ArgumentParser) -> None:
    """The options of `warm_up`."""
    parser.add_argument("--warm", type=int, default=5000, help="steps before it (default 5000; 0: from scratch)")
    parser.add_argument("--warm-rate", type=float, default=AdamW().lr, help="inner rate of these steps")
    parser.add_argument("--cooling", type=int, default=1000, help="of them, how many go down to rate zero")


def warm_up(folder: Path, data: Path, options: argparse.Namespace) -> Path:
    """The weights that both begin with, in a file: one process over batches of its own. Its rate falls to zero in the
    end: weights that still hold the noise of a higher rate lose it at once in a mean of four, and the outer velocity
    would repeat that step."""
    name = f"warm-{options.model}-{options.warm}-{options.warm_rate:g}-{options.cooling}.safetensors"
    path: Path = folder / name
    if path.exists():
        return path
    config = MODELS[options.model]
    shop = Workshop(config, choose_engine(threads=1), Dataset.open(data))
    trainer, state = Trainer(config, shop.engine), TrainState.start(start_weights(config, None))
    for step in range(options.warm):
        trainer.optimizer = AdamW(lr=options.warm_rate * min(1.0, (options.warm - step) / max(options.cooling, 1)))
        trainer.step(state, draw_batch(config, shop.dataset, b"w" * 32, b"w" * 20, step))
    save_tensors(path, state.weights, {})
    return path


def traffic(config: ModelConfig, said: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Bytes of all members and rounds against the naive all-reduce."""
    rounds = len(said)
    last = said[-1]["sent"]
    by_kind: dict[str, int] = {}
    for counts in last.values():
        for what, count in counts.items():
            by_kind[what] = by_kind.get(what, 0) + count
    ours = sum(count for what, count in by_kind.items() if what not in PIPELINE)
    each = 2 * (CONTRIBUTORS - 1) * 4 * config.parameters // CONTRIBUTORS
    naive = CONTRIBUTORS * each * steps * rounds
    tcp = sum(said[-1]["tcp"].values())
    return {
        "rounds": rounds,
        "steps": steps,
        "sent": ours,
        "naive": naive,
        "ratio": round(naive / ours, 1),
        "by_kind": by_kind,
        "async_tcp": tcp,
        "async_tcp_ratio": round(len(ASYNC) * each * steps * rounds / tcp, 1),
    }


def main() -> int:
    """Run it all; exit 1 where members disagree on a root."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="mini")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=100, help="H of the comparison (default 100)")
    add_start(parser)
    parser.add_argument("--rate", type=float, default=RATE, help="inner rate of the cohort")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of the synchronous run")
    parser.add_argument("--rare", type=int, default=500, help="H of the second count of bytes (0: none)")
    parser.add_argument("--rare-rounds", type=int, default=2)
    parser.add_argument("--codec", choices=["int8", "topk", "twobit"], default="int8")
    parser.add_argument("--keep", type=Path, default=None, help="folder for text and first weights, used again")
    options = parser.parse_args()
    set_threads(1)  # more would wait for each other wherever the machine does anything else
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        data = folder / "data"
        ensure_default(data)
        options.weights = warm_up(folder, data, options)
        config = MODELS[options.model]
        shop = Workshop(config, choose_engine(threads=1), Dataset.open(data))
        begin = shop.heldout_loss(start_weights(config, options.weights))
        results: dict[str, Any] = {"model": options.model, "parameters": config.parameters, "codec": options.codec}
        results |= {
            "warm": {"steps": options.warm, "rate": options.warm_rate, "cooling": options.cooling},
            "rate": options.rate,
            "start_loss": begin,
            "load_at_start": round(load, 1),
        }
        found = cohort(_made(Path(scratch) / "often"), data, options, options.steps, options.rounds)
        results |= {"rounds": found["rounds"], "accounts": found["accounts"]}
        results |= {"bytes": [traffic(config, found["rounds"], options.steps)]}
        _write(results, began)
        runs = {rate: synchronous(data, options, found["accounts"], rate) for rate in options.rates}
        results["synchronous"] = {f"{rate:g}": losses for rate, losses in runs.items()}
        best = [min(column) for column in zip(*runs.values(), strict=True)]
        results["relative"] = [one["loss"] / loss - 1 for one, loss in zip(found["rounds"], best, strict=True)]
        _write(results, began)
        if options.rare:
            rare = cohort(_made(Path(scratch) / "rare"), data, options, options.rare, options.rare_rounds)
            results |= {"rare_rounds": rare["rounds"]}
            results["bytes"].append(traffic(config, rare["rounds"], options.rare))
            _write(results, began)
    same = all(one["roots"] == 1 for one in [*results["rounds"], *results.get("rare_rounds", [])])
    relative = " ".join(f"{value:+.2%}" for value in results["relative"])
    print(f"loss against synchronous training, by round: {relative}; one root after each round: {same}")
    for one in results["bytes"]:
        print(f"H = {one['steps']}: {one['ratio']} times fewer bytes (by the kernel, async: {one['async_tcp_ratio']})")
    return 0 if same else 1


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _write(results: dict[str, Any], began: float) -> None:
    results["seconds"] = round(time.monotonic() - began)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
