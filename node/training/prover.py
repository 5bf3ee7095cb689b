"""This node's claims: planned once, published, posted, and posted again after any interruption."""

from __future__ import annotations

import json
from pathlib import Path

from consensus.commitments.claim import Claim, ClaimKind, claim_hash
from consensus.commitments.tensors import tensor_set_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.training.claimed import claimed_update
from node.artefacts.publisher import RoundPublisher, drop_rounds_before
from node.chain.contracts import Contracts
from node.logs import get_logger
from node.storage.store import Store
from node.storage.tables import ClaimRecord, ClaimState
from node.training.inner import InnerLoop, RoundWork
from node.training.ledger import RoundView, Start
from node.training.work import Workshop

log = get_logger("prover")


def claim_of(record: ClaimRecord) -> Claim:
    """The claim of a record."""
    return Claim.from_json(json.loads(record.body))


class Prover:
    """Turns trained rounds into claims. At most one claim a round and kind is ever planned, and only that is posted."""

    def __init__(
        self, workshop: Workshop, contracts: Contracts, store: Store, inner: InnerLoop, artefacts: Path
    ) -> None:
        self._workshop, self._contracts, self._store, self._inner = workshop, contracts, store, inner
        self._artefacts = artefacts
        self._node = bytes.fromhex(contracts.client.address[2:])

    def hash(self, claim: Claim) -> bytes:
        """The claim's hash under this network's registry."""
        registry = bytes.fromhex(self._contracts.registry.address[2:])
        return claim_hash(claim, self._contracts.client.chain_id, registry)

    def train_claim(self, view: RoundView, work: RoundWork, steps: int, base: Start | None = None) -> Claim:
        """The claim of round `view` over the first `steps` steps on record for the round that the work began in; what
        is on record already, if anything is. `base`: that round's start, where it is an earlier one.

        Raises:
            ClaimConflictError, DatabaseError. TensorFileError: the final checkpoint is damaged.
        """
        known = self._store.own_claim(view.number, ClaimKind.TRAIN)
        if known is not None:
            return claim_of(known)
        leaves = self._inner.leaves(work.round)[:steps]
        end = self._inner.checkpoints.load(self._inner.checkpoints.path(work.round, steps))
        claim = self._claim(
            view,
            base or view.start,
            ClaimKind.TRAIN,
            end_root=leaves[-1].state_root,
            trace_root=Trace(leaves).root(),
            update_root=tensor_set_root(claimed_update(work.weights, dict(end.groups["weights"]))),
            steps=steps,
            tokens=steps * self._workshop.config.tokens_per_step,
        )
        return self._plan(claim)

    def outer_claim(self, view: RoundView, next_root: bytes) -> Claim:
        """The claim that `next_root` follows from the round's final updates; errors as for `train_claim`."""
        known = self._store.own_claim(view.number, ClaimKind.OUTER)
        if known is not None:
            return claim_of(known)
        leaf = StepLeaf(next_root, view.info.final_set, 0, 0)
        claim = self._claim(
            view,
            view.start,
            ClaimKind.OUTER,
            end_root=next_root,
            trace_root=leaf.hash(),
            update_root=view.info.final_set,
            steps=1,
            tokens=0,
        )
        return self._plan(claim)

    def publish(self, claim: Claim, work: RoundWork, global_file: Path, base_file: Path | None = None) -> None:
        """Serve everything an auditor of the TRAIN claim may ask for. Can be repeated. `global_file`: what the claim's
        round starts from; `base_file`: what a late claim's work began from.

        Raises:
            DiskError. TensorFileError: a checkpoint is damaged.
        """
        publisher = RoundPublisher(self._artefacts, claim.round)
        leaves = self._inner.leaves(claim.base)[: claim.steps]
        publisher.put_trace([leaf.encode() for leaf in leaves])
        checkpoints = self._inner.checkpoints
        for number, step in checkpoints.saved():
            if number == claim.base and step <= claim.steps:
                publisher.put_checkpoint(step, checkpoints.path(number, step))
        end = checkpoints.load(checkpoints.path(claim.base, claim.steps))
        publisher.put_update(claimed_update(work.weights, dict(end.groups["weights"])))
        publisher.put_global(global_file)
        if base_file is not None:
            publisher.put_base(base_file)
        publisher.put_claim(json.dumps(claim.to_json()).encode())
        publisher.finish()
        drop_rounds_before(self._artefacts, claim.round - 1)

    def publish_global(self, number: int, global_file: Path) -> None:
        """Serve the state that a round starts from, for nodes that come later."""
        publisher = RoundPublisher(self._artefacts, number)
        publisher.put_global(global_file)
        publisher.finish()

    def sent(self, claim: Claim) -> None:
        """Record that the claim stands on chain."""
        record = self._store.claim(self.hash(claim))
        if record is not None and record.state == ClaimState.PLANNED:
            self._store.set_claim_state(record.hash, ClaimState.SENT)

    def drop(self, number: int) -> None:
        """Record that a planned claim was never posted: its round moved on."""
        record = self._store.own_claim(number, ClaimKind.TRAIN)
        if record is not None and record.state == ClaimState.PLANNED:
            log.warning("too late to post", round=number)
            self._store.set_claim_state(record.hash, ClaimState.DROPPED, reason="its round moved on")

    def _plan(self, claim: Claim) -> Claim:
        body = json.dumps(claim.to_json())
        record = ClaimRecord(
            hash=self.hash(claim),
            round=claim.round,
            node=self._contracts.client.address,
            kind=claim.kind,
            own=True,
            body=body,
            state=ClaimState.PLANNED,
        )
        return claim_of(self._store.plan_claim(record))

    def _claim(
        self,
        view: RoundView,
        base: Start,
        kind: ClaimKind,
        *,
        end_root: bytes,
        trace_root: bytes,
        update_root: bytes,
        steps: int,
        tokens: int,
    ) -> Claim:
        program_hash, data_root = view.terms
        return Claim(
            kind=kind,
            round=view.number,
            node=self._node,
            program_hash=program_hash,
            data_root=data_root,
            start_root=base.root,
            end_root=end_root,
            trace_root=trace_root,
            update_root=update_root,
            steps=steps,
            tokens=tokens,
            first_layer=0,
            layer_count=self._workshop.config.layers,
            base=base.number,
        )
