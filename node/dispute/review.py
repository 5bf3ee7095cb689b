"""Recomputes a whole claim and says in words where it is first wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consensus.commitments.claim import ClaimKind
from consensus.commitments.tensors import tensor_set_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.dispute.audit import first_difference
from consensus.dispute.challenger import Challenger
from consensus.dispute.rerun import trace_leaves
from consensus.errors import DivergedError
from consensus.training.claimed import claimed_update
from consensus.training.step import TrainState
from node.artefacts.client import ArtefactClient
from node.dispute.desk import Desk
from node.dispute.games import Game
from node.dispute.served import fetch_ops
from node.errors import PeerError
from node.training.ledger import ClaimView, RoundView
from node.training.work import Task


@dataclass(frozen=True)
class Review:
    """What a recomputation found; `step` is the first wrong step, None where everything agrees."""

    right: bool
    step: int | None
    words: str


def review(desk: Desk, view: RoundView, claim: ClaimView, games: list[Game], progress: Callable[[int], None]) -> Review:
    """Recompute a claim from where its work began. `games` over it, if any, tell what its prover has revealed.

    Raises:
        StateUnavailableError: the state that its work began from is served by nobody. DiskError.
    """
    desk.require_start(view, claim)
    if claim.claim.kind is ClaimKind.OUTER:
        return _outer(desk, view, claim)
    start = desk.start(view, claim)
    state, leaves = TrainState.start(start.weights), list[StepLeaf]()
    task = Task(view.start_of(claim.claim).randomness, claim.claim.node)
    try:
        for leaf in desk.cases.workshop(view).steps(state, task, claim.claim.steps):
            leaves.append(leaf)
            progress(leaf.step + 1)
    except DivergedError as error:
        return Review(False, state.step, f"step {state.step}: {error.message}")
    if Trace(leaves).root() != claim.claim.trace_root:
        return _wrong_step(desk, view, claim, leaves, games)
    last = claim.claim.steps - 1
    if leaves[last].state_root != claim.claim.end_root:
        return Review(False, last, f"step {last}: the trace does not end in the claim's end root")
    update = tensor_set_root(claimed_update(start.weights, state.weights))
    if update != claim.claim.update_root:
        words = f"the update: committed {_hex(claim.claim.update_root)}, recomputed {_hex(update)}"
        return Review(False, claim.claim.steps, words)
    return Review(True, None, f"all {claim.claim.steps} steps and the update agree")


def _outer(desk: Desk, view: RoundView, claim: ClaimView) -> Review:
    start = desk.start(view, claim)
    computed = desk.cases.tools(view).outer.next_state(view, start)
    if computed.root == claim.claim.end_root:
        return Review(True, None, f"the outer step over {len(view.finals)} claims agrees")
    words = f"the outer step: committed {_hex(claim.claim.end_root)}, recomputed {_hex(computed.root)}"
    return Review(False, 0, words)


def _wrong_step(desk: Desk, view: RoundView, claim: ClaimView, leaves: list[StepLeaf], games: list[Game]) -> Review:
    """The first step that differs, and in it as much as the prover has let anyone see."""
    shown = _proved(desk, view, claim, games)
    roots = f"the trace: committed {_hex(claim.claim.trace_root)}, recomputed {_hex(Trace(leaves).root())}"
    uri = view.uris.get(claim.node)
    if uri is None:
        return Review(False, None, f"{roots}; the prover serves nothing, so the step is not known")
    with tempfile.TemporaryDirectory() as folder, ArtefactClient(uri, attempts=2) as client:
        try:
            index = client.index(claim.claim.round)
            served = [StepLeaf.decode(leaf) for leaf in client.fetch_trace(index, len(leaves), Path(folder) / "trace")]
        except PeerError as error:
            return Review(False, None, f"{roots}; the step is not known: {error.message}")
        difference = first_difference(served, leaves)
        if difference is None or Trace(served).root() != claim.claim.trace_root:
            return Review(False, None, f"{roots}; the prover serves another trace than it committed to")
        detail = shown or _op(desk, view, claim, difference.step)
        return Review(False, difference.step, f"{difference}; {detail}")


def _op(desk: Desk, view: RoundView, claim: ClaimView, step: int) -> str:
    """The first op that differs, where the prover serves the op trace of that step."""
    own = desk.cases.rerun(view, claim, step)
    served = fetch_ops(view.uris.get(claim.node), claim.claim.round, step, len(own.program.ops))
    if not served:
        return "its op trace is not served: a dispute demands it"
    at = next((i for i, (theirs, ours) in enumerate(zip(served, own.roots, strict=True)) if theirs != ours), None)
    if at is None:
        return "every op served agrees, so the state is not what the ops wrote"
    what = own.program.ops[at].kind.name.lower()
    return f"op {at} {what}: committed {_hex(served[at])}, recomputed {_hex(own.roots[at])}"


def _proved(desk: Desk, view: RoundView, claim: ClaimView, games: list[Game]) -> str:
    """The element that differs, where a dispute has brought it to light; empty where none has."""
    for game in games:
        if game.claim.hash != claim.hash:
            continue
        case = desk.cases.case(view, game.dispute)
        facts = desk.cases.facts(view, claim, game.dispute.step)
        served = fetch_ops(view.uris.get(claim.node), claim.claim.round, game.dispute.step, len(case.program.ops))
        if served:
            game.knowledge.learn_tree(trace_leaves(case.program, served))
        move = Challenger(case, facts, game.knowledge).next_move()
        if move.function != "demand":
            return move.words
    return ""


def _hex(root: bytes) -> str:
    return "0x" + root.hex()
