"""An honest prover among challengers who do anything: true proofs, altered proofs, demands, stalling, many at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.arena import Arena, Story, openings
from consensus.commitments import tree
from consensus.commitments.claim import Claim
from consensus.commitments.levels import width_of
from consensus.dispute import evidence
from consensus.dispute.abi import NO_OUTPUT, NO_PATH, output_root
from consensus.dispute.elements import Element, element_bytes
from consensus.dispute.game import SETS_AFTER, Case, Dispute, Stage, program_of
from consensus.dispute.knowledge import Foreign, Knowledge
from consensus.dispute.moves import Facts, Move, Tree
from consensus.dispute.prover import Prover
from consensus.dispute.rerun import Rerun, pieces, tensor_levels, trace_leaves
from consensus.dispute.states import group_leaves, output_ports, path
from consensus.program.ops import Kind
from economics.constants import LEAF_BYTES
from node.chain import events
from node.chain.contracts import Contracts
from node.chain.types import ClaimState
from node.errors import RevertError

STEPS = 3
Draw = random.Random


@dataclass
class Griefer:
    """One challenger of one game; it knows everything and is right about nothing."""

    contracts: Contracts
    case: Case
    facts: Facts
    draw: Draw

    def __post_init__(self) -> None:
        self.trace = Foreign(self.case.dispute.trace, self.facts.rerun.trace, Knowledge())

    def true_proof(self) -> Move:
        """A proof of something that is as it should be."""
        kind = self.draw.choice(("element", "element", "input", "output", "token", "source"))
        stage = self.case.dispute.stage
        if kind == "token" and stage is Stage.STEP:
            return evidence.token(self.case, self.facts, self._element(self.case.program.inputs["tokens"]))
        if kind == "source":
            return self._source()
        if kind == "input":
            op = self.draw.choice(list(self.case.program.inputs.values()))
            return evidence.given(self.case, self.facts, self.trace, op, self.facts.rerun.roots[op])
        if kind == "output":
            return self._output()
        ops = [at for at, op in enumerate(self.case.program.ops) if op.kind is not Kind.INPUT]
        return evidence.element(self.case, self.facts, self.trace, self._element(self.draw.choice(ops)))

    def altered_proof(self) -> Move:
        """A proof of which something is not as it was."""
        move = self.true_proof()
        return Move(move.function, altered(move.argument, self.draw), "altered: " + move.words)

    def demand(self) -> Move:
        """A demand for any node that is there."""
        program, rerun = self.case.program, self.facts.rerun
        sets = SETS_AFTER[self.case.dispute.stage]
        which = self.draw.choice((Tree.TRACE, Tree.TENSOR, Tree.SETS) if sets else (Tree.TRACE, Tree.TENSOR))
        op, descriptor, proof, output = 0, b"", list[bytes](), NO_OUTPUT
        if which is Tree.TENSOR:
            op = self.draw.randrange(len(program.ops))
            descriptor, proof = program.descriptor(op), program.levels.prove(0, op)
            sources = evidence.sources_of(self.case, self.facts, op)
            output = output_root(rerun.roots[op], sources, rerun.trace.prove(0, op))
        nodes = Prover(self.case, rerun).levels(which, op)
        level = self.draw.randrange(nodes.top + 1)
        index = self.draw.randrange(width_of(nodes.size, level))
        if which is Tree.TRACE and level == 0:
            descriptor, proof = program.descriptor(index), program.levels.prove(0, index)
        where = (which, level, index, nodes.node(level, index), nodes.prove(level, index))
        return Move("demand", (*where, op, descriptor, proof, output, 0, NO_PATH), "demand")

    def altered_demand(self) -> Move:
        """A demand for something that is not there."""
        return Move("demand", altered(self.demand().argument, self.draw), "altered demand")

    def _element(self, op: int) -> Element:
        out = self.facts.rerun.outputs([op])[op]
        index = self.draw.randrange(out.numel())
        leaf = index * out.element_size() // LEAF_BYTES
        proof = tensor_levels(out).prove(0, leaf)
        root = self.facts.rerun.roots[op]
        return Element(op, index, element_bytes(out, index), root, leaf, pieces(out)[leaf], proof)

    def _source(self) -> Move:
        ops = [at for at, op in enumerate(self.case.program.ops) if op.sources]
        op = self.draw.choice(ops)
        data = trace_leaves(self.case.program, self.facts.rerun.roots)[op]
        slot = self.draw.randrange(len(self.case.program.ops[op].sources))
        return evidence.source(self.case, self.facts, self.trace, op, data, slot)

    def _output(self) -> Move:
        ports, roots, tensors = output_ports(self.case.program), self.facts.rerun.roots, len(self.case.tensors)
        port = self.draw.choice(ports)
        group, tensor = divmod(port.number, tensors)
        sets = SETS_AFTER[self.case.dispute.stage]
        if group >= max(sets, 1):
            return evidence.output(self.case, self.facts, self.trace, port.number, NO_PATH)
        leaves = [group_leaves(ports, roots, number, tensors) for number in range(max(sets, 1))]
        found = path(leaves[group], tensor, [tree.root(one) for one in leaves] if sets else (), group)
        return evidence.output(self.case, self.facts, self.trace, port.number, found)


def altered(value: Any, draw: Draw) -> Any:
    """The same nested tuple with one thing changed somewhere in it."""
    spots = _spots(value, ())
    if not spots:
        return value
    spot = draw.choice(spots)
    return _replaced(value, spot, lambda old: _other(old, draw))


def _spots(value: Any, at: tuple[int, ...]) -> list[tuple[int, ...]]:
    if isinstance(value, tuple | list):
        inner = [spot for number, one in enumerate(value) for spot in _spots(one, (*at, number))]
        return [*inner, at] if isinstance(value, list) and value else inner
    return [at] if isinstance(value, int | bytes) else []


def _replaced(value: Any, spot: tuple[int, ...], change: Callable[[Any], Any]) -> Any:
    if not spot:
        return change(value)
    parts = list(value)
    parts[spot[0]] = _replaced(parts[spot[0]], spot[1:], change)
    return tuple(parts) if isinstance(value, tuple) else parts


def _other(old: Any, draw: Draw) -> Any:
    if isinstance(old, list):
        return draw.choice((old[:-1], [*old, old[-1]], old[::-1] if len(old) > 1 else []))
    if isinstance(old, int):
        return max(0, old + draw.choice((1, -1, 2))) if draw.random() < 0.8 else draw.randrange(200)
    if not old:
        return b"\x01"
    at = draw.randrange(len(old))
    return old[:at] + bytes([old[at] ^ (1 << draw.randrange(8))]) + old[at + 1 :]


def game_of_grief(arena: Arena, honest: Story, draw: Draw, moves: int) -> list[str]:
    """Post an honest claim, let two challengers do anything to it, and end every game. What went wrong, if anything."""
    claim = arena.claim(honest)
    arena.prover.registry.post(claim)
    games = [_challenged(arena, honest, claim, contracts, draw) for contracts in arena.contracts[2:4]]
    wrong: list[str] = []
    for _ in range(moves):
        griefer, prover = draw.choice(games)
        wrong += _one_move(arena, griefer, prover, draw)
    for griefer, _ in games:
        _run_out(arena, griefer.case.dispute)
    slot = arena.prover.registry.claim_of(arena.prover.client.address)
    if slot.state is not ClaimState.POSTED or slot.open_challenges:
        wrong.append(f"the claim is {slot.state.name} with {slot.open_challenges} open challenges")
    return wrong


def _challenged(arena: Arena, honest: Story, claim: Claim, contracts: Contracts, draw: Draw) -> tuple[Griefer, Prover]:
    step = draw.randrange(STEPS + 1)
    rerun = update_rerun(arena, honest) if step == STEPS else honest.reruns[step]
    contracts.registry.challenge(claim, step)
    who = contracts.client.address
    arena.prover.registry.answer(claim, who, *openings(honest, step), rerun.trace.root)
    base = arena.dispute(claim, step, honest, rerun.trace.root)
    roots = (base.before, base.after, base.batch, base.loss_bits, base.trace)
    dispute = Dispute(claim, bytes.fromhex(who[2:]), step, *roots)
    case = Case(arena.config, dispute)
    end = honest.states[-1] if step == STEPS else None
    facts = arena.facts(min(step, STEPS - 1), rerun, end)
    return Griefer(contracts, case, facts, draw), Prover(case, rerun)


def update_rerun(arena: Arena, story: Story) -> Rerun:
    """The update of a story as its program."""
    given = {f"start/{name}": t for name, t in story.states[0].weights.items()}
    given |= {f"end/{name}": t for name, t in story.states[-1].weights.items()}
    return Rerun(program_of(arena.config, Stage.UPDATE), given)


def _one_move(arena: Arena, griefer: Griefer, prover: Prover, draw: Draw) -> list[str]:
    choices: dict[str, Callable[[], Move]] = {
        "true": griefer.true_proof,
        "altered": griefer.altered_proof,
        "demand": griefer.demand,
        "altered demand": griefer.altered_demand,
    }
    what = draw.choice((*choices, "altered", "altered", "stall"))
    if what == "stall":
        arena.advance(draw.randrange(1, 60))
        return []
    move = choices[what]()
    try:
        receipt = griefer.contracts.judge.move(griefer.case, move)
    except RevertError as error:
        # Stalling may have run out the griefer's own clock, and a third of the demands may be used up.
        late = error.name in ("TooLate", "TooManyDemands")
        expected = {"true": ("NothingWrong",), "demand": ()}.get(what)
        refused = expected is None or late or error.name in expected
        return [] if refused else [f"{what} {move.function} was refused with {error.name}: {move.words}"]
    except (ValueError, OverflowError, TypeError):
        return []  # an altered number that its ABI type does not hold never reaches the chain
    if move.function != "demand":
        return [f"{move.function} won against an honest prover: {move.words}"]
    return _reveal(arena, griefer, prover, int(receipt["blockNumber"]))


def _reveal(arena: Arena, griefer: Griefer, prover: Prover, block: int) -> list[str]:
    asked = next(e for e in arena.prover.judge.events(block, block) if isinstance(e, events.Demanded))
    which, dispute = Tree(asked.tree), griefer.case.dispute
    number = asked.set if which is Tree.SET else asked.op
    try:
        if asked.count:
            children = prover.children(which, number, asked.level, asked.index)
            arena.prover.judge.reveal(dispute, asked.node, children)
        else:
            arena.prover.judge.reveal_data(dispute, asked.node, prover.data(which, number, asked.index))
    except (RevertError, IndexError) as error:
        return [f"an honest prover could not reveal node {asked.index} of level {asked.level}: {error}"]
    return []


def _run_out(arena: Arena, dispute: Dispute) -> None:
    judge = arena.prover.judge
    clock = judge.clock_of(judge.game_of(dispute))
    now = arena.prover.client.block().timestamp
    if clock.deadline >= now:
        arena.advance(clock.deadline - now + 1)
    judge.timeout(dispute)
