"""Training with poisoned updates: what the documented rules leave of the damage. Writes bench/results/byzantine.json.

Ten workers train one model (preset tiny, or a micro one) on real text for several outer rounds from one state, as the
network does; some send a poisoned update instead of their own. The outer step is the protocol's own, weights and
momentum included. `loss` is on held-out text; `relative` compares with the same rounds and the same rule when nobody
attacks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from consensus.aggregation import Mixed, Rule, TrimmedMean
from consensus.arithmetic import choose_engine, set_threads
from consensus.model.config import PRESETS, ModelConfig
from consensus.training.outer import GlobalState, outer_step, update_of, update_weight
from consensus.training.step import TrainState
from economics.units import BasisPoints
from node.data.corpus import ensure_default
from node.training.work import Task, Workshop

RESULTS = Path(__file__).parent / "results" / "byzantine.json"
MODELS = {"tiny": PRESETS["tiny"], "micro": ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)}
WORKERS = 10
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


ATTACKS: dict[str, Attack] = {
    "sign_flip": sign_flip,
    "scaling": scaling,
    "inner_product": inner_product,
    "little_is_enough": little_is_enough,
}
DEFAULT: Rule = TrimmedMean()
STRONG: Rule = Mixed(3, TrimmedMean(BasisPoints(3_000)))
"""For up to 30%: mixing against three attackers, then a trimmed mean that leaves three off each end."""


def train(shop: Workshop, rule: Rule, attackers: int, attack: Attack | None, rounds: int, steps: int) -> float:
    """Held-out loss in nats after the rounds; the last ``attackers`` workers poison."""
    state = shop.genesis_state()
    for number in range(rounds):
        honest = [_update(shop, state, number, who, steps) for who in range(WORKERS - attackers)]
        poisoned = [attack(honest)] * attackers if attack else []
        state = outer_step(state, [(update_weight(steps), update) for update in [*honest, *poisoned]], rule)
    return shop.heldout_loss(state.weights)


def _update(shop: Workshop, state: GlobalState, number: int, who: int, steps: int) -> Update:
    own = TrainState.start(state.weights)
    task = Task(bytes([number]) * 32, bytes([who]) * 20)
    for step in range(steps):
        shop.trainer.step(own, shop.batch(task, step))
    return update_of(state.weights, own.weights)


def cases() -> list[tuple[str, Rule, int]]:
    """(name of the rule, rule, attackers)."""
    return [("trimmed_mean", DEFAULT, 1), ("nnm_trimmed_mean", STRONG, 3)]


def main() -> None:
    """Run every attack against the documented rules, and against the plain mean for comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="tiny")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30, help="inner steps of a round (default 30)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        shop = Workshop(MODELS[options.model], choose_engine(), ensure_default(Path(scratch) / "data"))
        results: dict[str, Any] = {
            "model": options.model,
            "workers": WORKERS,
            "rounds": options.rounds,
            "steps": options.steps,
            "cases": [],
        }
        size = (options.rounds, options.steps)
        results["start"] = shop.heldout_loss(shop.genesis_state().weights)
        clean = {name: train(shop, rule, 0, None, *size) for name, rule, _ in cases()}
        results["clean"] = clean
        print(f"start {results['start']:.4f}, clean {clean}", flush=True)
        runs = [(name, rule, f, attack) for name, rule, f in cases() for attack in ATTACKS]
        runs += [("mean", TrimmedMean(BasisPoints(0)), 1, "scaling")]
        for name, rule, f, attack in runs:
            loss = train(shop, rule, f, ATTACKS[attack], *size)
            base = clean.get(name, clean["trimmed_mean"])
            one = {"rule": name, "attackers": f, "attack": attack, "loss": loss, "relative": loss / base - 1}
            results["cases"].append(one)
            results["seconds"] = round(time.monotonic() - started)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            print(f"{name}, {f} of {WORKERS} {attack}: loss {loss:.4f} ({one['relative']:+.2%})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
