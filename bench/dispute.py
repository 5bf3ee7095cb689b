"""What a dispute costs on chain, and how that grows with the model: `make bench-dispute`."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.arena import Arena, Outcome, Story, arena, flip, openings
from bench.attacks import by_kind
from consensus.commitments.trace import StepLeaf
from consensus.dispute.game import Case, Stage, program_of
from consensus.dispute.onestep import JUDGED
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.program.known import KNOWN
from consensus.program.ops import Kind, Program
from consensus.training.outer import GlobalState
from economics.constants import LEAF_BYTES
from node import logs
from node.data.corpus import ensure_default

RESULTS = Path("bench/results/dispute.json")
CLAIM_STEPS = 100
LEVEL_GAS = 900
"""Most that one more level of one proof costs: 32 bytes of calldata, one hash and the loop around it."""
SEVEN_B = ModelConfig("7B", layers=32, width=4096, heads=32, seq_len=512, batch=1024, vocab=32_000)


def seasoned(field: Arena) -> None:
    """Give both parties a past, and open the next round: the challenger has won a dispute before, the prover has a
    final claim. Storage that is written for the first time costs more."""
    with_past = _play(field, serves=True)
    if with_past.prover_won:
        raise RuntimeError("a lie was not punished")
    parameters = field.prover.registry.parameters()
    field.advance(parameters.train_time + parameters.window + 2)
    field.open_round()
    claim = field.claim(field.story(1))
    field.prover.registry.post(claim)
    field.advance(parameters.train_time + parameters.window + 2)
    field.prover.registry.finalise(claim)
    field.advance(parameters.train_time + 2)
    field.open_round()


def measure(field: Arena, serves: bool = True) -> Outcome:
    """A dispute about one element of the widest dot product of a step; what it did is undone."""
    with field.undone():
        return _play(field, serves)


def _play(field: Arena, serves: bool) -> Outcome:
    program = program_of(field.config, Stage.STEP)
    op = max(by_kind(program)[Kind.DOT], key=lambda at: (program.ops[at].extent, at))
    honest, lie = field.story(2), padded(field.story(2, {1: flip(op, 3, 2)}))
    claim = field.claim(lie)
    case = Case(field.config, field.dispute(claim, 1, lie, lie.reruns[1].trace.root))
    return field.play(case, openings(lie, 1), field.facts(1, honest.reruns[1]), lie.reruns[1], serves=serves)


def padded(story: Story) -> Story:
    """The story with leaves of nothing up to a round's usual length, so that proofs of steps are as deep as usual."""
    more = [StepLeaf(bytes([step]) * 32, bytes(32), 0, step) for step in range(len(story.leaves), CLAIM_STEPS)]
    return replace(story, leaves=[*story.leaves, *more])


def figures(field: Arena) -> dict[str, Any]:
    """The report: gas of each move in order, between parties with a past; the same between newcomers, and where every
    datum has to be demanded."""
    newcomers = measure(field)
    seasoned(field)
    served, withheld = measure(field), measure(field, serves=False)
    program = program_of(field.config, Stage.STEP)
    kinds = set(program.kinds()) - {Kind.INPUT}
    gas = {name: sum(served.gas.get(name, [])) for name in ("commit", "challenge", "trace", "point", "settle")}
    return {
        "gas": gas | {"total": served.total},
        "transactions": sum(map(len, served.gas.values())),
        "newcomers": {"total": newcomers.total},
        "withheld": {"total": withheld.total, "transactions": sum(map(len, withheld.gas.values()))},
        "op_kinds": len(kinds),
        "evm_judged_percent": judged_percent(program),
        "by_model": growth(field.config, served.total),
    }


def judged_percent(program: Program) -> float:
    """Share of the ops that compute something of which the contract can recompute any element."""
    computed = {kind: count for kind, count in program.kinds().items() if kind is not Kind.INPUT}
    return 100 * sum(count for kind, count in computed.items() if kind in JUDGED) / sum(computed.values())


def growth(measured: ModelConfig, total: int) -> dict[str, dict[str, Any]]:
    """Ops, depth and gas by model. Gas is the measured total and what the deeper proofs add; `counted` says whether
    the program was captured, or its ops estimated from the largest one that was: ops a layer, micro-batch and block of
    512."""
    rows: dict[str, dict[str, Any]] = {}
    sizes = {config: (suite.step_ops, True) for config, suite in KNOWN.items()}
    base = PRESETS["base"]
    unit = KNOWN[base].step_ops / _blocks(base)
    sizes[SEVEN_B] = (round(unit * _blocks(SEVEN_B)), False)
    here = _levels(measured, sizes[measured][0])
    for config, (ops, counted) in sizes.items():
        more = _levels(config, ops) - here
        rows[config.name] = {
            "parameters": config.parameters,
            "ops": ops,
            "counted": counted,
            "depth": math.ceil(math.log2(ops)),
            "gas_total": total + LEVEL_GAS * more,
        }
    return rows


def _blocks(config: ModelConfig) -> float:
    return config.layers * (config.batch / config.micro_batch) * max(1.0, config.width / 512)


def _levels(config: ModelConfig, ops: int) -> int:
    """Levels of all proofs of the last move: the descriptor, the op's leaf in the trace, a leaf of three tensors. The
    proofs of the two steps in the answer do not depend on the model."""
    widest = max(math.prod(shape) for shape in config.shapes().values())
    activations = config.micro_batch * config.seq_len * 4 * config.width
    tensor = math.ceil(math.log2(max(1, 4 * max(widest, activations) // LEAF_BYTES)))
    return 2 * math.ceil(math.log2(ops)) + 3 * tensor


def main() -> None:
    """Play the disputes on a chain of their own and write the results."""
    logs.configure("warning")
    config = PRESETS["tiny"]
    with tempfile.TemporaryDirectory() as folder:
        dataset = ensure_default(Path(folder) / "data")
        start = GlobalState.start(init_weights(config, b"bench"))
        with arena(Path(folder) / "chain", config, dataset, start) as field:
            report = figures(field)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
