"""One training node of a network that grows, as a process of its own: lines of JSON in, lines of JSON out.

It shares with its peers what a network would tell it (observations, updates as files) and nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from consensus.arithmetic import choose_engine
from consensus.commitments.tensors import global_root, tensor_set_root
from consensus.commitments.trace import loss_value
from consensus.model.config import ModelConfig
from consensus.training.outer import GlobalState, outer_step, update_of, update_weight
from consensus.training.step import TrainState
from economics.units import Seconds, Steps
from governance.activation import Deeper, Era, History
from governance.growth import Course, Member, Observation, Turn, advance
from node.data.dataset import Dataset
from node.storage.tensorfile import load_tensors, save_tensors
from node.training.work import Task, Workshop

CONFIG = ModelConfig("deep", layers=6, width=32, heads=2, seq_len=32, batch=8)
ROUND_STEPS = 25


class Node:
    """Follows the growth, trains rounds, takes outer steps. `me`: 0, 1 or 2."""

    def __init__(self, me: int, dataset: Dataset, folder: Path) -> None:
        self._me, self._folder = me, folder
        self._base = Workshop(CONFIG, choose_engine(threads=1), dataset)
        self.begin()

    def begin(self) -> dict[str, Any]:
        """A new network, from its first round."""
        self.course, self.history = Course(CONFIG.layers), History()
        self.current = self.target = self.young = 0
        self.state = self._base.genesis_state()
        return {}

    @property
    def era(self) -> Era:
        """What the round at hand runs."""
        return self.history.era(CONFIG, self.current, self.target, self.young)

    @property
    def shop(self) -> Workshop:
        """The same on this machine."""
        return replace(self._base, config=self.era.config, change=self.era.change)

    def observe(self, time: int, steps: int, members: list[dict[str, Any]]) -> dict[str, Any]:
        """What the network looks like: the course, and the event it led to."""
        told = tuple(Member(m["tier"], m["memory"], frozenset(m["layers"])) for m in members)
        self.course, event = advance(self.course, Observation(Seconds(time), Steps(steps), told, 100, 100))
        if event is not None and event.turn is Turn.ACTIVATED:
            self.target = len(self.history)
            self.history.deepen(self.target, self.current, Deeper(event.growth, Steps(ROUND_STEPS)))
        turn, reason = (event.turn.value, event.reason) if event is not None else (None, "")
        return {"course": self.course.digest().hex(), "turn": turn, "reason": reason}

    def train(self, number: int) -> dict[str, Any]:
        """One round's inner steps; the update goes to a file."""
        shop, task = self.shop, Task(number.to_bytes(32, "big"), bytes([self._me]) * 20)
        state = TrainState.start(self.state.weights)
        losses = [loss_value(leaf.loss_bits) for leaf in shop.steps(state, task, ROUND_STEPS)]
        update, path = update_of(self.state.weights, state.weights), self._folder / f"{number}-{self._me}.safetensors"
        save_tensors(path, update, {})
        root = tensor_set_root(update).hex()
        return {"update": [str(path), root, state.step], "losses": losses, "age": shop.config.age}

    def outer(self, updates: list[list[Any]], stepped: bool = True) -> dict[str, Any]:
        """The outer step over everybody's updates, checked against their roots; `stepped` False: there is none."""
        shop, before = self.shop, self.state
        if stepped:
            parts = [(update_weight(steps), self._update(path, root)) for path, root, steps in updates]
            before = outer_step(self.state, parts)
            self.state = shop.change.state(before) if shop.change is not None else before
        self.young = self.history.youth(self.current, self.target, self.young, stepped)
        self.current = self.target if stepped else self.current
        root = global_root(self.state.weights, self.state.velocity)
        old = {name: t for name, t in self.state.weights.items() if name in before.weights}
        return {
            "root": root.hex(),
            "layers": self.era.config.layers,
            "trained_root": _root(before.weights, before.velocity),
            "old_root": _root(old, {name: self.state.velocity[name] for name in old}),
            "heldout_trained": shop.heldout_loss(before.weights),
            "heldout": self.shop.heldout_loss(self.state.weights),
        }

    def _update(self, path: str, root: str) -> dict[str, torch.Tensor]:
        update = dict(load_tensors(Path(path), self.shop.config.shapes()).tensors)
        if tensor_set_root(update).hex() != root:
            raise ValueError(f"{path} is not the update that was claimed")
        return update


def _root(weights: dict[str, torch.Tensor], velocity: dict[str, torch.Tensor]) -> str:
    state = GlobalState(weights, velocity)
    return global_root(state.weights, state.velocity).hex()


def main(me: int, dataset: Path, folder: Path) -> None:
    """Answer each line of input until there is none."""
    torch.set_num_threads(1)
    node = Node(me, Dataset.open(dataset), folder)
    verbs: dict[str, Callable[..., dict[str, Any]]] = {
        "begin": node.begin,
        "observe": node.observe,
        "train": node.train,
        "outer": node.outer,
    }
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(verbs[asked.pop("verb")](**asked)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
