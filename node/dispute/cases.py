"""Runs the step in question again, whoever's it is, and gathers what the judge will ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch

from consensus.commitments.claim import ClaimKind
from consensus.commitments.tensors import tensor_set_root
from consensus.dispute.game import Case, Dispute, Stage, program_of
from consensus.dispute.moves import Facts
from consensus.dispute.rerun import Rerun
from consensus.program.outer import update_name
from consensus.training.batches import draw_offsets
from consensus.training.outer import GlobalState
from consensus.training.step import TrainState
from node.dispute.evidence import load_state
from node.dispute.text import text_opener
from node.training.errors import StateUnavailableError
from node.training.ledger import ClaimView, RoundView
from node.training.outer import update_weights
from node.training.states import GlobalStates
from node.training.tools import Tools
from node.training.work import Task, Workshop
from node.vocabulary.eras import Eras


class Cases:
    """The steps that disputes are about. ``make_eras`` gives this thread its own engine, on first use."""

    def __init__(
        self, me: str, make_eras: Callable[[], Eras], states: GlobalStates, make_tools: Callable[[Workshop], Tools]
    ) -> None:
        self._me, self._make, self._states, self._make_tools = me, make_eras, states, make_tools
        self._tools: dict[tuple[int, int, int], Tools] = {}
        self._leaves: tuple[bytes, list[bytes]] = (b"", [])
        self._reruns: dict[tuple[bytes, int], Rerun] = {}

    @cached_property
    def eras(self) -> Eras:
        """The network's model in every version, on an engine of this thread's own."""
        return self._make()

    def workshop(self, view: RoundView) -> Workshop:
        """What a round runs."""
        return self.tools(view).shop

    def tools(self, view: RoundView) -> Tools:
        """This node's tools for a round."""
        key = view.info.era
        if key not in self._tools:
            self._tools[key] = self._make_tools(self.eras.of(view.info))
        return self._tools[key]

    def case(self, view: RoundView, dispute: Dispute) -> Case:
        """A dispute with its program."""
        shop = self.workshop(view)
        return Case(shop.config, dispute, len(view.finals), shop.change)

    def rerun(self, view: RoundView, claim: ClaimView, step: int) -> Rerun:
        """The step run again from the state before it: this node's own for its own claims, else the right one.

        Raises:
            StateUnavailableError: the round's start is not here. PeerError: an update is served by nobody.
            TensorFileError: a kept state is damaged.
        """
        key = (claim.hash, step)
        if key not in self._reruns:
            self._reruns = {key: self._rerun(view, claim, step)}
        return self._reruns[key]

    def facts(self, view: RoundView, claim: ClaimView, step: int) -> Facts:
        """What a challenger needs besides; errors as for ``rerun``."""
        shop, start = self.workshop(view), self._start(view, claim)
        moments: tuple[bytes, ...] = ()
        offsets: list[int] = []
        if stage_of(claim, step) is Stage.UPDATE:
            end = self._state(view, claim, step)
            moments = (tensor_set_root(end.m), tensor_set_root(end.v))
        elif stage_of(claim, step) is Stage.STEP:
            limit = shop.dataset.limit(shop.config.seq_len)
            offsets = draw_offsets(*_drawn_from(view, claim), step, shop.config.batch, limit)
        finals = tuple((final.claim, final.hash) for final in view.finals)
        velocity = tensor_set_root(start.velocity)
        rerun = self.rerun(view, claim, step)
        leaves = None if claim.claim.kind is ClaimKind.OUTER else lambda: self.leaves(view, claim)
        return Facts(rerun, velocity, moments, finals, tuple(offsets), text_opener(shop.dataset), leaves)

    def leaves(self, view: RoundView, claim: ClaimView) -> list[bytes]:
        """The right leaves of a TRAIN claim's trace, recomputed from the round's start; kept for the claim.

        Raises:
            StateUnavailableError: the round's start is not here. DivergedError (consensus).
        """
        if self._leaves[0] != claim.hash:
            state, task = TrainState.start(self._start(view, claim).weights), Task(*_drawn_from(view, claim))
            leaves = [leaf.encode() for leaf in self.workshop(view).steps(state, task, claim.claim.steps)]
            self._leaves = (claim.hash, leaves)
        return self._leaves[1]

    def _rerun(self, view: RoundView, claim: ClaimView, step: int) -> Rerun:
        stage, tools = stage_of(claim, step), self.tools(view)
        shop = tools.shop
        if stage is Stage.STEP:
            return shop.rerun(self._state(view, claim, step), Task(*_drawn_from(view, claim)))
        start = self._start(view, claim)
        if stage is Stage.UPDATE:
            end = self._state(view, claim, step)
            given = {f"start/{name}": t for name, t in start.weights.items()}
            given |= {f"end/{name}": t for name, t in end.weights.items()}
            return Rerun(program_of(shop.config, stage), given)
        given = {f"weights/{name}": t for name, t in start.weights.items()}
        given |= {f"velocity/{name}": t for name, t in start.velocity.items()}
        for number, update in enumerate(tools.outer.updates(view, start)):
            given |= {update_name(number, name): t for name, t in update.items()}
        counts = update_weights(view)
        given["counts"] = torch.tensor(counts, dtype=torch.int64)
        return Rerun(program_of(shop.config, stage, len(counts), shop.change), given)

    def _state(self, view: RoundView, claim: ClaimView, step: int) -> TrainState:
        """The state before ``step``, from the nearest kept one."""
        tools, base = self.tools(view), claim.claim.base
        found = tools.evidence.nearest(claim.claim.round, claim.hash, step)
        if found is None and claim.node == self._me:
            kept = [at for saved, at in tools.own.saved() if saved == base and at <= step]
            found = load_state(tools.own, base, max(kept)) if kept else None
        if found is None:
            found = TrainState.start(self._start(view, claim).weights)
        for _ in tools.shop.steps(found, Task(*_drawn_from(view, claim)), step):
            pass
        return found

    def _start(self, view: RoundView, claim: ClaimView) -> GlobalState:
        """What the claim's work began from, in an earlier round where it is late."""
        start = view.start_of(claim.claim)
        state = self._states.own(start.number, start.root, self.workshop(view).config.shapes())
        if state is None:
            raise StateUnavailableError(
                f"The global state that round {start.number} starts from is not here yet.",
                "The node asks its peers for it.",
            )
        return state


def _drawn_from(view: RoundView, claim: ClaimView) -> tuple[bytes, bytes]:
    """What a claim's batches follow from: the randomness of the round that its work began in, and its node."""
    return view.start_of(claim.claim).randomness, claim.claim.node


def stage_of(claim: ClaimView, step: int) -> Stage:
    """Which program a step of a claim is."""
    if claim.claim.kind is ClaimKind.OUTER:
        return Stage.OUTER
    return Stage.UPDATE if step == claim.claim.steps else Stage.STEP
