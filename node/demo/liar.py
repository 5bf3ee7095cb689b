"""A cheat for the demonstration: an honest node but for one bit of one weight, which it defends to the end."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from torch import Tensor

from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.dispute.rerun import Rerun
from consensus.training.step import TrainState
from node import config
from node.chain.deployment import Deployment
from node.config import Settings
from node.genesis import workshop
from node.training.start import assembled
from node.training.work import Task, Workshop

LIE_OUTPUT = "weights/head"


@dataclass(frozen=True)
class LyingWorkshop(Workshop):
    """Turns the lowest bit of one weight in every so many steps of the claims of `liar` (20 bytes), and trains on."""

    liar: bytes = b""
    every: int = 3

    def lies(self, state: TrainState, task: Task) -> bool:
        """Whether the next step is one with a lie in it."""
        return task.node == self.liar and state.step % self.every == self.every - 1

    def step(self, state: TrainState, task: Task) -> StepLeaf:
        """As an honest step, but for the lie."""
        if not self.lies(state, task):
            return super().step(state, task)
        results = self.rerun(state, task).results()
        for part, tensors in (("weights", state.weights), ("m", state.m), ("v", state.v)):
            for name, tensor in tensors.items():
                tensor.copy_(results[f"{part}/{name}"])
        tokens = self.batch(task, state.step)
        bits = int(results["loss"].view(torch.int32)) & 0xFFFFFFFF
        root = state_root(state.weights, state.m, state.v)
        leaf = StepLeaf(root, batch_root(tokens.numpy()), bits, state.step)
        state.step += 1
        return leaf

    def rerun(self, state: TrainState, task: Task) -> Rerun:
        """The step op by op, with the lie in it."""
        honest = super().rerun(state, task)
        if not self.lies(state, task):
            return honest
        op = honest.program.outputs[LIE_OUTPUT]
        return Rerun(honest.program, honest.inputs, lambda at, out: turned(out) if at == op else out)


def turned(out: Tensor) -> Tensor:
    """A copy with the lowest bit of the first element turned."""
    copy = out.clone().contiguous()
    copy.reshape(-1).view(torch.int32)[0] ^= 1
    return copy


def lying(settings: Settings, liar: str, every: int = 3) -> LyingWorkshop:
    """The settings' workshop, in the hands of `liar` (an address)."""
    honest = workshop(settings)
    return LyingWorkshop(honest.config, honest.engine, honest.dataset, bytes.fromhex(liar[2:]), every)


def main(home: Path, rounds: int) -> None:
    """Take part from `home`, lie in every round, and answer every move of every dispute."""
    from node.cli.session import signing_contracts  # noqa: PLC0415 - the command line's own imports

    settings = config.load(home)
    contracts = signing_contracts(settings, settings.password_file, yes=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    address = contracts.client.address
    first = Deployment.load(settings.contracts_file).block
    with assembled(settings, contracts, first, stop, make_workshop=lambda s: lying(s, address)) as loop:
        loop.run(rounds)


if __name__ == "__main__":
    typer.run(main)
