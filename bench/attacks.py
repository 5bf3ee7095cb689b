"""Every lie that a prover can tell about a step, an update or an outer step, each played to its end on a real chain."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.arena import Arena, Outcome, Sets, Story, flip, openings
from consensus.commitments import tree
from consensus.commitments.levels import Levels
from consensus.commitments.tensors import tensor_set_root
from consensus.commitments.tree import HASH_BYTES
from consensus.dispute.game import Case, Stage, program_of
from consensus.dispute.rerun import Rerun, trace_leaves
from consensus.model.config import ModelConfig
from consensus.program.execute import Watch
from consensus.program.ops import WIDTHS, DType, Kind, Op, Program
from consensus.training.outer import update_of

STEPS = 3
STEP = 1
"""The step that is lied about: it has one before it and one after."""


@dataclass(frozen=True)
class Attack:
    """One lie. ``play`` posts it, challenges it and returns how it ended."""

    name: str
    play: Callable[[Arena], Outcome]


class Misread(Rerun):
    """An honest step whose trace says of one op that it read something else."""

    def __init__(self, honest: Rerun, op: int, slot: int, extra: bytes = b"") -> None:
        super().__init__(honest.program, honest.inputs)
        self._leaves = trace_leaves(honest.program, honest.roots)
        leaf, at = self._leaves[op], HASH_BYTES * (1 + slot)
        self._leaves[op] = leaf[:at] + b"\x07" * HASH_BYTES + leaf[at + HASH_BYTES :] + extra

    @property
    def leaves(self) -> list[bytes]:
        """The leaf data of the trace, the lie among them."""
        return self._leaves

    @property
    def trace(self) -> Levels:  # type: ignore[override]
        """The op trace, with the lie in it."""
        return Levels([tree.leaf_hash(leaf) for leaf in self._leaves])


class Forged(Rerun):
    """A step whose op trace is not what its ops wrote: ``forge`` changes the roots."""

    def __init__(self, honest: Rerun, forge: Callable[[list[bytes]], list[bytes]]) -> None:
        super().__init__(honest.program, honest.inputs)
        self._roots = forge(list(honest.roots))

    @property
    def roots(self) -> list[bytes]:  # type: ignore[override]
        """The forged roots."""
        return self._roots


def attacks(arena: Arena, draw: random.Random) -> Iterator[Attack]:
    """All of them, on an arena whose round is open."""
    program = program_of(arena.config, Stage.STEP)
    honest = arena.story(STEPS)
    for kind, ops in by_kind(program).items():
        chosen = ops if kind is Kind.INPUT else [draw.choice(ops)]
        for op in sample_inputs(program, chosen) if kind is Kind.INPUT else chosen:
            yield flipped(honest, program, op, draw)
    yield from starts(honest, program)
    yield from ulps(honest, program)
    yield from forged(honest)
    yield from states(honest)
    yield from updates(arena.config, honest, draw)


def by_kind(program: Program) -> dict[Kind, list[int]]:
    """The ops of each kind."""
    found: dict[Kind, list[int]] = {}
    for at, op in enumerate(program.ops):
        found.setdefault(op.kind, []).append(at)
    return found


def sample_inputs(program: Program, ops: list[int]) -> list[int]:
    """One input of each group: weights, both moments, tokens, schedule."""
    groups = {program.ops[at].name.partition("/")[0]: at for at in ops}
    return list(groups.values())


def flipped(honest: Story, program: Program, op: int, draw: random.Random, serves: bool = True) -> Attack:
    """One bit of one element of one op."""
    one = program.ops[op]
    element, bit = draw.randrange(one.size), some_bit(one, draw)
    label = one.name or one.kind.name
    how = "" if serves else ", data withheld"
    watch = flip(op, element, bit)
    return Attack(f"flip {label} op {op} element {element} bit {bit}{how}", lambda a: lie(a, honest, watch, serves))


def lie(
    arena: Arena, honest: Story, watch: Watch, serves: bool = True, reveals: bool = True, step: int = STEP
) -> Outcome:
    """A step whose ops are watched by a liar; all that follows is honest."""
    story = arena.story(STEPS, {step: watch})
    return contest(arena, story, honest, story.reruns[step], serves, reveals, step=step)


def starts(honest: Story, program: Program) -> Iterator[Attack]:
    """The first step from another start than the round's: other weights, moments that are not zero."""
    for name in ("weights/embed", "m/position", "v/head"):
        watch = flip(program.inputs[name], 5, 9)
        yield Attack(f"first step from other {name}", lambda arena, watch=watch: lie(arena, honest, watch, step=0))  # type: ignore[misc]
    op = by_kind(program)[Kind.DOT][-1]
    yield Attack("a lie in the first step", lambda arena: lie(arena, honest, flip(op, 0, 1), step=0))
    last = program.outputs["v/head"]
    yield Attack("a lie in the last step", lambda arena: lie(arena, honest, flip(last, 0, 1), step=STEPS - 1))


def contest(
    arena: Arena,
    story: Story,
    honest: Story,
    lying: Rerun,
    serves: bool = True,
    reveals: bool = True,
    after: Sets | None = None,
    step: int = STEP,
) -> Outcome:
    """Post a story, challenge one of its steps, and play."""
    claim = arena.claim(story)
    case = Case(arena.config, arena.dispute(claim, step, story, lying.trace.root))
    facts = arena.facts(step, honest.reruns[step])
    return arena.play(case, openings(story, step), facts, lying, serves=serves, reveals=reveals, after=after)


def ulps(honest: Story, program: Program) -> Iterator[Attack]:
    """One unit in the last place, up and down, of a float in the middle of the step."""
    op = next(at for at, one in enumerate(program.ops) if at > len(program.ops) // 2 and one.kind is Kind.MUL)
    for direction in (1, -1):
        watch = nudge(op, program.ops[op].size // 2, direction)
        yield Attack(f"{direction:+d} ulp", lambda arena, watch=watch: lie(arena, honest, watch))  # type: ignore[misc]


def nudge(op: int, element: int, by: int) -> Watch:
    """A lie by some units in the last place, of a float or of a 32-bit integer."""

    def watch(at: int, out: Tensor) -> Tensor:
        if at != op:
            return out
        lying = out.clone().contiguous()
        lying.reshape(-1).view(torch.int32)[element] += by
        return lying

    return watch


def forged(honest: Story) -> Iterator[Attack]:
    """Traces that are none: ops dropped, added, swapped; and data that nobody gets to see."""
    program = honest.reruns[STEP].program
    roots = honest.reruns[STEP].roots
    near = next(i for i in range(len(roots) // 2, len(roots)) if roots[i] != roots[i + 1])

    def drop(given: list[bytes]) -> list[bytes]:
        return [*given[:near], *given[near + 1 :], given[-1]]

    def add(given: list[bytes]) -> list[bytes]:
        return [*given[:near], given[near - 1], *given[near:-1]]

    def swap(given: list[bytes]) -> list[bytes]:
        return [*given[:near], given[near + 1], given[near], *given[near + 2 :]]

    for name, change in (("dropped op", drop), ("added op", add), ("swapped ops", swap)):
        yield Attack(name, lambda arena, change=change: _trace(arena, honest, change))  # type: ignore[misc]
    yield Attack("a trace of nothing", lambda arena: _trace(arena, honest, lambda given: [bytes(32) for _ in given]))
    reading = next(at for at, op in enumerate(program.ops) if len(op.sources) > 1)
    step = honest.reruns[STEP]
    for slot in (0, 1):
        lying = Misread(step, reading, slot)
        name = f"op {reading} says that it read something else as its source {slot}"
        yield Attack(name, lambda arena, lying=lying: contest(arena, honest, honest, lying))  # type: ignore[misc]
    longer = Misread(step, reading, 0, extra=b"\x01")
    yield Attack("a leaf of the trace that is too long", lambda arena: contest(arena, honest, honest, longer))
    middle = next(at for at, op in enumerate(program.ops) if op.kind is Kind.ADD)
    watch = flip(middle, 0, 3)
    yield Attack("withheld children", lambda arena: lie(arena, honest, watch, serves=False, reveals=False))
    yield Attack("data only on demand", lambda arena: lie(arena, honest, watch, serves=False))


def _trace(arena: Arena, honest: Story, change: Callable[[list[bytes]], list[bytes]]) -> Outcome:
    return contest(arena, honest, honest, Forged(honest.reruns[STEP], change))


def states(honest: Story) -> Iterator[Attack]:
    """A true trace under a leaf that says something else."""
    name = next(iter(honest.states[STEP + 1].weights))

    def altered() -> Sets:
        true = honest.states[STEP + 1]
        tensor = true.weights[name].clone()
        tensor.reshape(-1)[0] += 1.0
        return replace(true, weights=true.weights | {name: tensor})

    yield Attack("another state after", lambda arena: _leaf(arena, honest, altered(), state_root=altered().root()))
    yield Attack("a state root of nothing", lambda arena: _leaf(arena, honest, state_root=b"\x05" * 32))
    yield Attack("another loss", lambda arena: _leaf(arena, honest, loss_bits=honest.leaves[STEP].loss_bits ^ 1))
    yield Attack("a batch root of nothing", lambda arena: _leaf(arena, honest, batch_root=b"\x06" * 32))
    yield Attack("another step's batch", lambda arena: _batch(arena, honest))


def _leaf(arena: Arena, honest: Story, after: Sets | None = None, **fields: object) -> Outcome:
    leaves = list(honest.leaves)
    leaves[STEP] = replace(leaves[STEP], **fields)  # type: ignore[arg-type]
    story = replace(honest, leaves=leaves)
    return contest(arena, story, honest, honest.reruns[STEP], after=after)


def _batch(arena: Arena, honest: Story) -> Outcome:
    story = arena.story(STEPS, batch=STEP)
    return contest(arena, story, honest, story.reruns[STEP])


def updates(config: ModelConfig, honest: Story, draw: random.Random) -> Iterator[Attack]:
    """Lies about what the claim adds to the outer step."""
    program = program_of(config, Stage.UPDATE)
    numbers = made_of_inputs(program)
    kinds = {kind: [at for at in ops if at in numbers] for kind, ops in by_kind(program).items()}
    inputs = sample_inputs(program, kinds.pop(Kind.INPUT))
    for op in (*inputs, *(draw.choice(ops) for ops in kinds.values() if ops)):
        one = program.ops[op]
        element, bit = draw.randrange(one.size), some_bit(one, draw)
        watch = flip(op, element, bit)
        name = f"update: flip {one.name or one.kind.name} element {element} bit {bit}"
        yield Attack(name, lambda arena, watch=watch: _update_lie(arena, honest, watch))  # type: ignore[misc]
    for by in (1, -1):
        # The number of steps that an element is rounded to: its neighbour is as good a value, but not the nearest.
        watch = nudge(draw.choice(kinds[Kind.TO_INT]), 0, by)
        yield Attack(f"update: rounded {by:+d}", lambda arena, watch=watch: _update_lie(arena, honest, watch))  # type: ignore[misc]
    plain = update_of(honest.states[0].weights, honest.states[-1].weights)
    yield Attack("update: not rounded", lambda arena: _update_lie(arena, honest, None, plain))
    turned = {name: -tensor for name, tensor in honest.update.items()}
    yield Attack("update: sign turned", lambda arena: _update_lie(arena, honest, None, turned))


def made_of_inputs(program: Program) -> set[int]:
    """The ops that follow from an input. The others are places in a list: beyond its end there is nothing to read."""
    found: set[int] = set()
    for at, op in enumerate(program.ops):
        if op.kind is Kind.INPUT or found.intersection(op.sources):
            found.add(at)
    return found


def _update_lie(arena: Arena, honest: Story, watch: Watch | None, update: dict[str, Tensor] | None = None) -> Outcome:
    given = {f"start/{name}": t for name, t in honest.states[0].weights.items()}
    given |= {f"end/{name}": t for name, t in honest.states[-1].weights.items()}
    program = program_of(arena.config, Stage.UPDATE)
    lying, right = Rerun(program, given, watch), Rerun(program, given)
    claimed = update or {name.partition("/")[2]: t for name, t in lying.results().items()}
    claim = arena.claim(honest, update_root=tensor_set_root(claimed))
    case = Case(arena.config, arena.dispute(claim, STEPS, honest, lying.trace.root))
    return arena.play(case, openings(honest, STEPS), arena.facts(0, right, honest.states[-1]), lying)


def some_bit(op: Op, draw: random.Random) -> int:
    """A bit whose flip leaves every later index within its table."""
    if op.dtype is DType.FLOAT32:
        return draw.randrange(23)
    return 0 if op.dtype is DType.BOOL else draw.randrange(min(3, 8 * WIDTHS[op.dtype]))
