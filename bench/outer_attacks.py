"""Lies about an outer step: every op kind of its program, and every kind of input."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.arena import Arena, GlobalSets, Outcome, Story, flip
from bench.attacks import Attack, by_kind, some_bit
from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.trace import StepLeaf
from consensus.dispute.game import Case, Dispute, Stage, program_of
from consensus.dispute.moves import Facts
from consensus.dispute.rerun import Rerun
from consensus.program.execute import Watch
from consensus.program.ops import Kind, Program
from consensus.program.outer import update_name
from consensus.training.outer import update_weight
from node.chain.types import Opening, Phase

FINALS = 2
Alter = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Finals:
    """The final claims of a round with their hashes, and the updates behind them."""

    claims: tuple[tuple[Claim, bytes], ...]
    updates: list[dict[str, Tensor]]


def close_round(arena: Arena, story: Story) -> Finals:
    """Make two claims of the round final: of the prover, and of a third account over the same work."""
    posted = []
    for contracts in (arena.prover, arena.contracts[3]):
        claim = arena.claim(story, node=bytes.fromhex(contracts.client.address[2:]))
        contracts.registry.post(claim)
        posted.append(claim)
    parameters = arena.prover.registry.parameters()
    arena.advance(parameters.train_time + parameters.window + 2)
    for claim in posted:
        arena.prover.registry.finalise(claim)
    digests = [arena.prover.registry.hash_claim(claim) for claim in posted]
    return Finals(tuple(zip(posted, digests, strict=True)), [story.update] * FINALS)


def inputs(arena: Arena, finals: Finals) -> dict[str, Tensor]:
    """What the outer step's program reads."""
    given = {f"weights/{name}": t for name, t in arena.start.weights.items()}
    given |= {f"velocity/{name}": t for name, t in arena.start.velocity.items()}
    for number, update in enumerate(finals.updates):
        given |= {update_name(number, name): t for name, t in update.items()}
    counts = [update_weight(claim.steps) for claim, _ in finals.claims]
    return given | {"counts": torch.tensor(counts, dtype=torch.int64)}


_INDEX_OPERAND = {Kind.GATHER: 1, Kind.SUM_AT: 0}
"""Which operand of an op says where to look."""


def outer_attacks(arena: Arena, draw: random.Random) -> Iterator[Attack]:
    """One flipped bit in every kind of op, and in every kind of input."""
    program = program_of(arena.config, Stage.OUTER, FINALS, arena.change)
    story = arena.story(1)
    chosen = [draw.choice(ops) for kind, ops in by_kind(program).items() if kind is not Kind.INPUT]
    groups = {name.partition("/")[0]: at for name, at in program.inputs.items()}
    for op in (*groups.values(), *chosen):
        yield flipped(story, program, op, draw)


def apart_from_indices(program: Program, first: int) -> list[int]:
    """Ops from ``first`` on whose value no op reads as an index, not even through others. A wrong index may point
    nowhere, and then a liar has no numbers to go on with."""
    indices: set[int | None] = set()
    for at in reversed(range(len(program.ops))):
        op = program.ops[at]
        if at in indices:
            indices.update(op.sources)
        elif op.kind in _INDEX_OPERAND:
            indices.add(op.operands[_INDEX_OPERAND[op.kind]].source)
    return [at for at in range(first, len(program.ops)) if at not in indices]


def flipped(story: Story, program: Program, op: int, draw: random.Random) -> Attack:
    """One bit of one element of one op."""
    one = program.ops[op]
    element, bit = draw.randrange(one.size), some_bit(one, draw)
    watch = flip(op, element, bit)
    name = f"outer: flip {one.name or one.kind.name} op {op} element {element} bit {bit}"
    return Attack(name, lambda arena: lie(arena, story, watch))


def another_state(story: Story, name: str) -> Attack:
    """A true trace under a state in which one element of one tensor is another."""

    def alter(results: dict[str, Tensor]) -> dict[str, Tensor]:
        tensor = results[name].clone()
        tensor.reshape(-1)[-1] += 1.0
        return results | {name: tensor}

    return Attack(f"outer: another {name} after", lambda arena: lie(arena, story, None, alter))


def lie(arena: Arena, story: Story, watch: Watch | None, alter: Alter | None = None) -> Outcome:
    """Close a round, post an outer step that is watched by a liar, or whose results are altered, and play."""
    finals = close_round(arena, story)
    registry = arena.prover.registry
    number = registry.current_round()
    if registry.phase_of(number) is not Phase.OUTER:
        raise ValueError("the round does not wait for its outer step")
    program, given = program_of(arena.config, Stage.OUTER, FINALS, arena.change), inputs(arena, finals)
    lying, right = Rerun(program, given, watch), Rerun(program, given)
    results = lying.results()
    after = GlobalSets.of(results if alter is None else alter(results))
    root, final_set = after.root(), registry.round_of(number).final_set
    leaf = StepLeaf(root, final_set, 0, 0)
    claim = arena.claim(
        story, kind=ClaimKind.OUTER, end_root=root, update_root=final_set, trace_root=leaf.hash(), steps=1, tokens=0
    )
    who = bytes.fromhex(arena.challenger.client.address[2:])
    dispute = Dispute(claim, who, 0, claim.start_root, root, final_set, 0, lying.trace.root)
    openings = (Opening.empty(), Opening(root, final_set, 0, ()))
    case, facts = Case(arena.config, dispute, FINALS, arena.change), Facts(right, finals=finals.claims)
    return arena.play(case, openings, facts, lying, after=after)
