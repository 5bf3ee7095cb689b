"""Answers challenges of this node's claims. A thread of its own, so that no training step can cost a clock."""

from __future__ import annotations

import threading

from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.trace import StepLeaf, Trace
from node.chain.contracts import Contracts
from node.chain.types import ClaimState, Opening
from node.errors import PendingError, PonwError, RevertError, RpcError
from node.logs import get_logger
from node.storage.store import Store
from node.training.ledger import ClaimView, Ledger

log = get_logger("defender")
POLL_SECONDS = 1.0


def opening(trace: Trace, step: int) -> Opening:
    """A leaf of a trace with its proof, as the contract takes it."""
    leaf = trace[step]
    return Opening(leaf.state_root, leaf.batch_root, leaf.loss_bits, tuple(trace.prove(step)))


class Defender:
    """Watches the chain for challenges of one node and opens the leaves they point at."""

    def __init__(self, contracts: Contracts, store: Store, first_block: int) -> None:
        self._contracts, self._store = contracts, store
        self._ledger = Ledger(contracts, first_block)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="defender", daemon=True)
        self.failure: PonwError | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching; an answer under way is finished."""
        self._stop.set()
        self._thread.join()

    def look(self) -> int:
        """Answer every open challenge of this node's claims now; the number answered."""
        view = self._ledger.look()
        own = [c for c in view.claims if c.node == self._contracts.client.address and c.state is ClaimState.POSTED]
        waiting = [(c, who, step, end) for c in own for who, (step, end) in c.challenges.items()]
        answered = 0
        for claim, challenger, step, deadline in sorted(waiting, key=lambda item: item[3]):
            if view.block.timestamp <= deadline and self._answer(claim, challenger, step):
                answered += 1
        return answered

    def _answer(self, view: ClaimView, challenger: str, step: int) -> bool:
        trace = self._trace(view.claim)
        before = opening(trace, step - 1) if step else Opening.empty()
        try:
            self._contracts.registry.answer(view.claim, challenger, before, opening(trace, step))
        except RevertError as error:
            if error.name != "NotWaiting":  # answered already, and the event is still on its way
                raise
            return False
        log.info("challenge answered", round=view.claim.round, step=step, challenger=challenger)
        return True

    def _trace(self, claim: Claim) -> Trace:
        if claim.kind is ClaimKind.OUTER:
            return Trace([StepLeaf(claim.end_root, claim.update_root, 0, 0)])
        records = self._store.leaves(claim.round)[: claim.steps]
        return Trace(StepLeaf(r.state_root, r.batch_root, r.loss_bits, r.step) for r in records)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.look()
            except (RpcError, PendingError) as error:
                log.warning("the chain does not answer; asking again", reason=error.message)
            except PonwError as error:
                # The main loop raises it: a node that cannot answer must not go on as if nothing were wrong.
                log.critical("challenges cannot be answered", reason=error.message)
                self.failure = error
                return
