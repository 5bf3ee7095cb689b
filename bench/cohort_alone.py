"""A cohort's rounds in one process, for finding out what costs it against synchronous training. Writes
bench/results/cohort_alone.json.

The parts are the network's own: batches, exact steps, int8 with error feedback, the weighted trimmed mean, the Nesterov
step. Four contributors of equal weight take --steps inner steps a round from moments of zero. The synchronous run takes
as many, each over the batches of all four at once, and never resets its moments; of the inner rates that are tried, it
has the one that is best for it, round by round. Both start from the same weights. A setting names what differs from the
network's rules:

    rate=0.001 warmup=10 last=0.1    inner rate, its warm-up, its linear decay within a round to that share
    moments=carried                  each contributor keeps its moments
    rule=mean codec=none outer=mean  plain mean; fp32 updates; the mean instead of the Nesterov step
    codec=claimed                    updates as claims name them: int8 without memory
    batch=32                         sequences a step and contributor, on both sides
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bench.cohort import RATES, add_start, warm_up
from bench.cohort_node import MODELS, start_weights
from consensus.aggregation import Contributions, Mean, Rule, TrimmedMean
from consensus.aggregation.compression import ErrorFeedback, Int8
from consensus.arithmetic import choose_engine, set_threads
from consensus.arithmetic.engine import AdamWConstants
from consensus.model.config import ModelConfig
from consensus.training.claimed import claimed_update, update_bytes
from consensus.training.optimizer import AdamW
from consensus.training.outer import GlobalState, outer_step, update_of, update_weight
from consensus.training.step import Trainer, TrainState
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.training.batch import draw_batch
from node.training.work import Workshop

RESULTS: Final = Path(__file__).parent / "results" / "cohort_alone.json"
CONTRIBUTORS: Final = 4
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """What a run differs in from the network's rules."""

    rate: float = AdamW().lr
    warmup: int = AdamW().warmup
    last: float = 1.0
    moments: str = "reset"
    rule: str = "trimmed"
    codec: str = "int8"
    outer: str = "nesterov"
    batch: int = 0

    @classmethod
    def of(cls, text: str) -> Setting:
        """From ``name=value`` words. Raises ValueError on a name that there is not."""
        kinds = {f.name: type(getattr(cls(), f.name)) for f in dataclasses.fields(cls)}
        words = dict(word.split("=", 1) for word in text.split())
        if words.keys() - kinds.keys():
            raise ValueError(f"a setting has {', '.join(kinds)}")
        return cls(**{name: kinds[name](value) for name, value in words.items()})

    def config(self, config: ModelConfig) -> ModelConfig:
        """The model with this setting's batch."""
        return replace(config, batch=self.batch) if self.batch else config

    def inner(self, steps: int) -> AdamW:
        """The inner optimizer of rounds of so many steps."""
        return Inner(lr=self.rate, warmup=self.warmup, last=self.last, length=steps)


@dataclass(frozen=True, slots=True)
class Inner(AdamW):
    """AdamW whose rate falls linearly within each ``length`` steps, towards ``last`` of itself."""

    last: float = 1.0
    length: int = 1

    def constants(self, step: int, age: int | None = None) -> AdamWConstants:
        """As AdamW's."""
        share = 1.0 - (1.0 - self.last) * (step % self.length) / self.length
        plain = AdamW(self.lr * share, self.beta1, self.beta2, self.eps, self.weight_decay, self.warmup)
        return plain.constants(step, age)


class Side:
    """One model, the text, and the batches of one seed; what both sides of a comparison share."""

    def __init__(self, config: ModelConfig, dataset: Dataset, steps: int, seed: int) -> None:
        self.config, self.dataset, self.steps = config, dataset, steps
        self.engine = choose_engine(threads=1)
        self.accounts = [hashlib.sha256(b"seed %d, %d" % (seed, i)).digest()[:20] for i in range(CONTRIBUTORS)]
        self._shop = Workshop(config, self.engine, dataset)

    def tokens(self, number: int, at: int, step: int) -> Tensor:
        """A contributor's batch, int32 [batch, seq_len + 1]."""
        randomness = hashlib.sha256(b"alone %d" % number).digest()
        return draw_batch(self.config, self.dataset, randomness, self.accounts[at], step)

    def loss(self, weights: Weights) -> float:
        """Held-out, nats a token."""
        return self._shop.heldout_loss(weights)

    def synchronous(self, start: Weights, setting: Setting) -> Iterator[float]:
        """The loss after each round's worth of steps over everybody's batches."""
        config = replace(self.config, batch=self.config.batch * CONTRIBUTORS)
        trainer, state = Trainer(config, self.engine, setting.inner(self.steps)), TrainState.start(start)
        for number in range(1, 1 << 30):
            for step in range(self.steps):
                trainer.step(state, torch.cat([self.tokens(number, at, step) for at in range(CONTRIBUTORS)]))
            yield self.loss(state.weights)

    def cohort(self, start: Weights, setting: Setting) -> Iterator[float]:
        """The loss of the state after each round."""
        trainer = Trainer(self.config, self.engine, setting.inner(self.steps))
        state = GlobalState.start(start)
        kept = [TrainState.start(start) for _ in range(CONTRIBUTORS)]
        feedback = [ErrorFeedback.start(start) for _ in range(CONTRIBUTORS)]
        for number in range(1, 1 << 30):
            sent = []
            for at in range(CONTRIBUTORS):
                begun = TrainState.start(state.weights)
                if setting.moments == "carried":
                    begun = TrainState(begun.weights, kept[at].m, kept[at].v, kept[at].step)
                for step in range(self.steps):
                    trainer.step(begun, self.tokens(number, at, step))
                kept[at], update = begun, update_of(state.weights, begun.weights)
                if setting.codec == "int8":
                    done = feedback[at].send(Int8(), update)
                    update, feedback[at] = done.update, done.feedback
                if setting.codec == "claimed":
                    update = claimed_update(state.weights, begun.weights)
                sent.append((update_weight(self.steps), update))
            state = _joined(state, sent, setting)
            yield self.loss(state.weights)


def _joined(state: GlobalState, sent: list[tuple[int, Weights]], setting: Setting) -> GlobalState:
    rules: dict[str, Rule] = {"trimmed": TrimmedMean(), "mean": Mean()}
    rule = rules[setting.rule]
    if setting.outer == "nesterov":
        return outer_step(state, sent, rule)
    mean = rule(Contributions.of(sent))
    return GlobalState({name: w - mean[name] for name, w in state.weights.items()}, state.velocity)


def first(losses: Iterator[float], rounds: int) -> list[float]:
    """As many as there are rounds."""
    return [next(losses) for _ in range(rounds)]


class Comparison:
    """Runs settings over seeds from one start, and remembers what the synchronous side came to."""

    def __init__(self, options: argparse.Namespace, dataset: Dataset, start: Weights) -> None:
        self.options, self.dataset, self.start = options, dataset, start
        self.best = cache(self._best)

    def side(self, setting: Setting, seed: int) -> Side:
        """Both sides' parts."""
        return Side(setting.config(MODELS[self.options.model]), self.dataset, self.options.steps, seed)

    def _best(self, setting: Setting, seed: int) -> list[float]:
        """The synchronous side's lowest loss after each round, of all rates with this batch and decay."""
        side = self.side(setting, seed)
        runs = {
            rate: first(side.synchronous(self.start, replace(setting, rate=rate)), self.options.rounds)
            for rate in self.options.rates
        }
        for rate, losses in runs.items():
            print(f"  seed {seed}, synchronous, rate {rate:g}: {_row(losses)}", flush=True)
        return [min(column) for column in zip(*runs.values(), strict=True)]

    def run(self, text: str) -> dict[str, Any]:
        """One setting over all seeds."""
        setting, found = Setting.of(text), []
        plain = Setting(batch=setting.batch, last=setting.last)
        for seed in self.options.seeds:
            losses = first(self.side(setting, seed).cohort(self.start, setting), self.options.rounds)
            best = self.best(plain, seed)
            relative = [loss / other - 1 for loss, other in zip(losses, best, strict=True)]
            found.append({"seed": seed, "cohort": losses, "synchronous": best, "relative": relative})
            print(f"  seed {seed}, cohort, {text or 'the rules'}: {_row(losses)}", flush=True)
        columns = list(zip(*(one["relative"] for one in found), strict=True))
        mean = [statistics.fmean(column) for column in columns]
        print(f"{text or 'the rules'}: mean {_shares(mean)}, worst {_shares(map(max, columns))}", flush=True)
        return {"setting": text, "seeds": found, "mean": mean, "worst": [max(column) for column in columns]}


def _row(losses: list[float]) -> str:
    return " ".join(f"{loss:.4f}" for loss in losses)


def _shares(values: Any) -> str:
    return " ".join(f"{value:+.2%}" for value in values)


def main() -> int:
    """Run every setting; print and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", default=[""], help='"name=value name=value" each; default: the rules')
    parser.add_argument("--model", choices=sorted(MODELS), default="mini")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=100, help="H")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="each has other batches")
    add_start(parser)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of the synchronous run")
    parser.add_argument("--keep", type=Path, default=None, help="folder for text and first weights, used again")
    options = parser.parse_args()
    set_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        ensure_default(folder / "data")
        start = start_weights(MODELS[options.model], warm_up(folder, folder / "data", options))
        compare = Comparison(options, Dataset.open(folder / "data"), start)
        results: dict[str, Any] = {"model": options.model, "steps": options.steps}
        shapes = MODELS[options.model].shapes()
        results["bytes"] = {"fp32": 4 * sum(map(prod, shapes.values())), "int8": update_bytes(shapes)}
        print(f"bytes of a contribution a round: {results['bytes']['int8']:,}, fp32 {results['bytes']['fp32']:,}")
        results |= {"warm": {"steps": options.warm, "rate": options.warm_rate, "cooling": options.cooling}}
        results |= {"rates": options.rates, "start_loss": compare.side(Setting(), 0).loss(start), "runs": []}
        for text in options.settings:
            results["runs"].append(compare.run(text))
            results["seconds"] = round(time.monotonic() - began)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
