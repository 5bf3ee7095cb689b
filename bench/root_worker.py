"""One configuration of the roots table, in a process of its own: prints kernel, state root and last loss as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from consensus.arithmetic import set_threads
from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import state_root
from consensus.model.config import PRESETS
from consensus.training.step import TrainState
from node.data.dataset import Dataset
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.training.work import Task, Workshop

TASK = Task(bytes(range(32)), bytes(20))


def engine_called(name: str) -> Engine:
    """The kernel of that name; it must run here."""
    made = dict(candidates())[name]()
    if made is None:
        raise SystemExit(f"{name} does not run on this machine")
    return made


def main() -> None:
    """Train from the start or from a checkpoint, saving checkpoints on the way if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--resume", type=int, default=0)
    options = parser.parse_args()
    set_threads(options.threads)
    shop = Workshop(PRESETS["tiny"], engine_called(options.kernel), Dataset.open(options.data))
    store = None
    if options.checkpoints is not None:
        store = CheckpointStore(options.checkpoints, shop.config.shapes(), state_root)
    state = TrainState.start(shop.genesis_state().weights)
    if options.resume and store is not None:
        groups = store.load(store.path(1, options.resume)).groups
        state = TrainState(dict(groups["weights"]), dict(groups["m"]), dict(groups["v"]), options.resume)
    leaf = None
    for leaf in shop.steps(state, TASK, options.steps):
        if options.every and store is not None and state.step % options.every == 0:
            groups = {"weights": state.weights, "m": state.m, "v": state.v}
            store.save(Checkpoint(1, state.step, leaf.state_root, groups))
    if leaf is None:
        raise SystemExit("there is no step left to run")
    root = state_root(state.weights, state.m, state.v)
    print(json.dumps({"kernel": shop.engine.name, "root": root.hex(), "loss": leaf.loss_bits}))


if __name__ == "__main__":
    main()
