"""The whole run of lies, and many games of honest provers: `make attack-dispute`."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bench.arena import Arena, arena
from bench.attacks import STEPS, attacks
from bench.honest import game_of_grief
from bench.outer_attacks import outer_attacks
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.training.outer import GlobalState
from node import logs
from node.data.corpus import ensure_default

RESULTS = Path("bench/results/attack-dispute.json")
MOVES = 20


def main(
    preset: Annotated[str, typer.Option(help="architecture whose steps are disputed")] = "tiny",
    honest: Annotated[int, typer.Option(help="games of honest provers, two challengers each")] = 50,
    seed: Annotated[str, typer.Option(help="what chance depends on")] = "1",
) -> None:
    """Tell every lie there is about steps, updates and outer steps of a preset, on a chain of its own."""
    logs.configure("warning")
    draw = random.Random(f"ponw/attack-dispute/{seed}")  # noqa: S311
    with _field(PRESETS[preset]) as field:
        names: list[str] = []
        unpunished: list[str] = []
        for number, attack in enumerate((*attacks(field, draw), *outer_attacks(field, draw))):
            with field.undone():
                outcome = attack.play(field)
            names.append(attack.name)
            if outcome.prover_won:
                unpunished.append(attack.name)
            print(f"{number + 1:3d}  {'WON' if outcome.prover_won else 'slashed'}  {attack.name}: {outcome.words}")
        lost = 0
        story = field.story(STEPS)
        for number in range(honest):
            with field.undone():
                wrong = game_of_grief(field, story, draw, MOVES)
            lost += bool(wrong)
            print(f"honest game {number + 1} of {honest}: {'; '.join(wrong) or 'won by the prover'}")
    report = {
        "preset": preset,
        "cases": len(names),
        "liar_slashed": len(names) - len(unpunished),
        "honest_games": 2 * honest,
        "honest_won": 2 * (honest - lost),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    raise typer.Exit(1 if unpunished or lost else 0)


@contextmanager
def _field(config: ModelConfig) -> Iterator[Arena]:
    with tempfile.TemporaryDirectory() as folder:
        dataset = ensure_default(Path(folder) / "data")
        start = GlobalState.start(init_weights(config, b"attack"))
        with arena(Path(folder) / "chain", config, dataset, start) as field:
            yield field


if __name__ == "__main__":
    typer.run(main)
