"""Training with poisoned updates: what the documented rules leave of the damage. Writes bench/results/byzantine.json.

A cohort trains preset tiny (or a micro model) on real text for several outer rounds from one state, as the network
does; a share of it sends a poisoned update instead of its own. The outer step is the protocol's own, weights and
momentum included. 1% is one of a hundred workers; 10, 20 and 30% are two, four and six of twenty. `loss` is on held-out
text; `relative` compares it with the same rounds and the same rule when nobody attacks, and `within_bar` says whether
it is at most 2% above that.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from consensus.aggregation import Mixed, Rule, TrimmedMean
from consensus.arithmetic import choose_engine, set_threads
from consensus.errors import DivergedError
from consensus.model.config import PRESETS, ModelConfig
from consensus.training.outer import GlobalState, outer_step, update_of, update_weight
from consensus.training.step import TrainState
from economics.units import BasisPoints
from node.data.corpus import ensure_default
from node.training.work import Task, Workshop

RESULTS = Path(__file__).parent / "results" / "byzantine.json"
MODELS = {"tiny": PRESETS["tiny"], "micro": ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)}
BAR = 0.02
Update = dict[str, Tensor]
Attack = Callable[[list[Update]], Update]


def _mean(honest: list[Update]) -> Update:
    return {name: torch.stack([u[name] for u in honest]).mean(0) for name in honest[0]}


def sign_flip(honest: list[Update]) -> Update:
    """The honest mean, backwards."""
    return {name: -t for name, t in _mean(honest).items()}


def scaling(honest: list[Update]) -> Update:
    """The honest mean, a thousand times as large, backwards."""
    return {name: t * -1000.0 for name, t in _mean(honest).items()}


def inner_product(honest: list[Update]) -> Update:
    """Inner-product manipulation (Xie, Koyejo & Gupta 2020): minus half of the honest mean."""
    return {name: t * -0.5 for name, t in _mean(honest).items()}


def little_is_enough(honest: list[Update]) -> Update:
    """A little is enough (Baruch, Baruch & Goldberg 2019): the honest mean less 1.5 deviations of each coordinate."""
    mean = _mean(honest)
    return {name: m - 1.5 * torch.stack([u[name] for u in honest]).std(0) for name, m in mean.items()}


def lazy(honest: list[Update]) -> Update:
    """No work at all: nothing changed."""
    return {name: torch.zeros_like(t) for name, t in honest[0].items()}


def copying(honest: list[Update]) -> Update:
    """Somebody else's work, sent as one's own."""
    return honest[0]


POISONS: dict[str, Attack] = {
    "sign_flip": sign_flip,
    "scaling": scaling,
    "inner_product": inner_product,
    "little_is_enough": little_is_enough,
}
ATTACKS = POISONS | {"lazy": lazy, "copying": copying}


@dataclass(frozen=True)
class Cohort:
    """``workers`` with ``steps`` inner steps in each of ``rounds``."""

    workers: int
    rounds: int
    steps: int


@dataclass(frozen=True)
class Case:
    """One run: ``rule`` by name, how many of the cohort attack, and how ("": nobody)."""

    cohort: Cohort
    rule: str
    attackers: int
    attack: str

    def of(self) -> Rule:
        """The rule. Mixing and the trim after it are made for 30%; the default trims 20%; "mean" trims nothing."""
        if self.rule == "nnm_trimmed_mean":
            return Mixed(3 * self.cohort.workers // 10, TrimmedMean(BasisPoints(3_000)))
        return TrimmedMean(BasisPoints(0)) if self.rule == "mean" else TrimmedMean()


def cases(hundred: Cohort, twenty: Cohort) -> Iterator[Case]:
    """Every run, those without an attack first."""
    for cohort, rule in ((hundred, "trimmed_mean"), (twenty, "trimmed_mean"), (twenty, "nnm_trimmed_mean")):
        yield Case(cohort, rule, 0, "")
    for attack in POISONS:
        yield Case(hundred, "trimmed_mean", 1, attack)
    for attackers, rule in ((2, "trimmed_mean"), (4, "trimmed_mean"), (6, "nnm_trimmed_mean")):
        for attack in POISONS:
            yield Case(twenty, rule, attackers, attack)
    for attack in ("lazy", "copying"):
        yield Case(twenty, "trimmed_mean", 4, attack)
    yield Case(twenty, "mean", 2, "scaling")


def outcome(model: str, data: Path, case: Case) -> float:
    """As ``train``; infinite where a weight left the finite range."""
    try:
        return train(model, data, case)
    except DivergedError:
        return math.inf


def train(model: str, data: Path, case: Case) -> float:
    """Held-out loss in nats after the rounds; the last ``attackers`` workers poison. Raises DivergedError."""
    shop, cohort, rule = _shop(model, data), case.cohort, case.of()
    state = shop.genesis_state()
    for number in range(cohort.rounds):
        honest = _honest(shop, state, number, cohort, case.attackers)
        poisoned = [ATTACKS[case.attack](honest)] * case.attackers if case.attackers else []
        weight = update_weight(cohort.steps)
        state = outer_step(state, [(weight, update) for update in [*honest, *poisoned]], rule)
    return shop.heldout_loss(state.weights)


@cache
def _shop(model: str, data: Path) -> Workshop:
    set_threads(1)
    return Workshop(MODELS[model], choose_engine(threads=1), ensure_default(data))


_FIRST: dict[Cohort, list[Update]] = {}
"""Updates of the first round, which all runs of a cohort have in common."""


def _honest(shop: Workshop, state: GlobalState, number: int, cohort: Cohort, attackers: int) -> list[Update]:
    if number:
        return [_update(shop, state, number, who, cohort.steps) for who in range(cohort.workers - attackers)]
    if cohort not in _FIRST:
        _FIRST[cohort] = [_update(shop, state, 0, who, cohort.steps) for who in range(cohort.workers)]
    return _FIRST[cohort][: cohort.workers - attackers]


def _update(shop: Workshop, state: GlobalState, number: int, who: int, steps: int) -> Update:
    own = TrainState.start(state.weights)
    task = Task(bytes([number]) * 32, bytes([who]) * 20)
    for step in range(steps):
        shop.trainer.step(own, shop.batch(task, step))
    return update_of(state.weights, own.weights)


def start_loss(model: str, data: Path) -> float:
    """Held-out loss before the first round."""
    shop = _shop(model, data)
    return shop.heldout_loss(shop.genesis_state().weights)


def judged(runs: dict[Case, float]) -> list[dict[str, Any]]:
    """Every attack beside the run of its cohort and rule that nobody attacked."""
    rows = []
    for case, loss in runs.items():
        if not case.attackers:
            continue
        rule = "trimmed_mean" if case.rule == "mean" else case.rule
        clean = runs[Case(case.cohort, rule, 0, "")]
        row = {"rule": case.rule, "workers": case.cohort.workers, "attackers": case.attackers, "attack": case.attack}
        relative = loss / clean - 1
        found = {"loss": loss, "relative": relative} if math.isfinite(loss) else {"loss": None, "relative": None}
        rows.append(row | found | {"clean": clean, "within_bar": relative <= BAR})
    return rows


def main() -> int:
    """Run every attack against the documented rules, and one against the plain mean for comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="tiny")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8, help="inner steps of a round among twenty (default 8)")
    parser.add_argument("--few-steps", type=int, default=3, help="inner steps of a round among a hundred (default 3)")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    hundred = Cohort(100, options.rounds, options.few_steps)
    twenty = Cohort(20, options.rounds, options.steps)
    started, runs = time.monotonic(), dict[Case, float]()
    with (
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool,
    ):
        data = Path(scratch) / "data"
        start = pool.submit(start_loss, options.model, data).result()
        waiting: dict[Future[float], Case] = {
            pool.submit(outcome, options.model, data, case): case for case in cases(hundred, twenty)
        }
        for done in as_completed(waiting):
            case = waiting[done]
            runs[case] = done.result()
            print(
                f"{case.attackers} of {case.cohort.workers} {case.rule} {case.attack or 'clean'}: {runs[case]:.4f}",
                flush=True,
            )
    rows = judged(runs)
    results = {
        "model": options.model,
        "cohorts": [asdict(hundred), asdict(twenty)],
        "start": start,
        "bar": BAR,
        "cases": rows,
        "seconds": round(time.monotonic() - started),
        "load": os.getloadavg()[0],
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for row in rows:
        share = f"{row['attackers']} of {row['workers']}"
        found = "diverged" if row["relative"] is None else f"{row['relative']:+.2%}"
        print(f"{share} {row['rule']} {row['attack']}: {found}{'' if row['within_bar'] else '  MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
