"""Keeps the database in step with the chain: the round, everybody's claims, and what became of them."""

from __future__ import annotations

import json

from consensus.commitments.claim import ClaimKind
from node.chain.contracts import Contracts
from node.chain.types import ChallengeState, ClaimState, Parameters, Phase
from node.storage.store import Store
from node.storage.tables import ClaimRecord, Peer, Round
from node.storage.tables import ClaimState as Recorded
from node.storage.tables import Phase as RecordedPhase
from node.training.audits import challenge_id
from node.training.chores import Chores
from node.training.ledger import ClaimView, RoundView, lateness
from node.training.prover import claim_of
from node.training.snapshot import ClaimRow

_PHASES = {
    Phase.TRAIN: RecordedPhase.TRAIN,
    Phase.WINDOW: RecordedPhase.WINDOW,
    Phase.SETTLE: RecordedPhase.WINDOW,
    Phase.OUTER: RecordedPhase.OUTER,
    Phase.OUTER_WINDOW: RecordedPhase.OUTER,
    Phase.CLOSED: RecordedPhase.CLOSED,
}
_WORDS = {
    Recorded.PLANNED: "trained",
    Recorded.SENT: "committed",
    Recorded.CHALLENGED: "challenged",
    Recorded.FINAL: "final",
    Recorded.PAID: "paid",
    Recorded.LOST: "lost",
    Recorded.DROPPED: "dropped",
}
_SHOWN_ROUNDS = 4


class Records:
    """The database's view of what the ledger shows."""

    def __init__(self, contracts: Contracts, store: Store) -> None:
        self._contracts, self._store = contracts, store
        self._me = contracts.client.address
        self._parameters: Parameters = contracts.registry.parameters()
        self._last: tuple[object, ...] = ()

    def sync(self, view: RoundView) -> None:
        """Write what changed since the last look."""
        state = (
            view.number,
            view.phase,
            [(c.hash, c.state, len(c.challenges), len(c.judged)) for c in view.claims],
            view.uris,
        )
        if state == self._last:
            return
        self._store.save_round(self._round(view))
        for claim in view.claims:
            self._claim(claim)
        for address, uri in view.uris.items():
            self._store.save_peer(Peer(address=address, uri=uri, last_seen=view.block.timestamp))
        self._last = state

    def paid(self, own: ClaimView) -> None:
        """Record that the reward of an own final claim was collected."""
        if self._store.claim(own.hash) is not None:
            self._store.set_claim_state(own.hash, Recorded.PAID)

    def reclaim(self, view: RoundView, chores: Chores) -> None:
        """Take back bonds of challenges whose claim was lost to somebody else, from this and earlier rounds."""
        registry = self._contracts.registry
        for record in self._store.challenges(state="open"):
            against = self._store.claim(record.claim_hash)
            if against is None or record.id != challenge_id(record.claim_hash, self._me):
                continue
            open_still = registry.claim_of(against.node).state is ClaimState.POSTED and against.round == view.number
            on_chain = registry.challenge_of(record.claim_hash, self._me).state
            if on_chain is not ChallengeState.NONE and not open_still:
                claim = claim_of(against)
                chores.attempt(lambda: registry.reclaim(claim, self._me), "NoChallenge", "ClaimStillOpen")  # noqa: B023
            if not open_still:
                record.state = "over"
                self._store.save_challenge(record)

    def rows(self) -> list[ClaimRow]:
        """This node's newest claims, in the words of a claim's life."""
        own = [record for record in self._store.claims(own=True) if record.kind == ClaimKind.TRAIN]
        return [self._row(record) for record in own[-_SHOWN_ROUNDS:]]

    def _row(self, record: ClaimRecord) -> ClaimRow:
        claim, state = claim_of(record), _WORDS[Recorded(record.state)]
        stored = self._store.round(record.round)
        if record.state == Recorded.SENT and stored is not None and stored.phase != RecordedPhase.TRAIN:
            state = "in window"
        detail = "; ".join(filter(None, (lateness(claim), record.reason)))
        return ClaimRow(round=record.round, kind=claim.kind.name.lower(), steps=claim.steps, state=state, detail=detail)

    def _round(self, view: RoundView) -> Round:
        info = view.info
        end = self._contracts.registry.global_root() if view.phase is Phase.CLOSED else None
        return Round(
            number=view.number,
            start_root=info.start_root,
            randomness=info.randomness,
            phase=_PHASES[view.phase],
            claim_deadline=info.claim_deadline,
            challenge_deadline=info.claim_deadline + self._parameters.window,
            outer_deadline=info.outer_deadline or None,
            end_root=end,
        )

    def _claim(self, view: ClaimView) -> None:
        record = self._store.claim(view.hash)
        if record is None:
            self._store.record_peer_claim(
                ClaimRecord(
                    hash=view.hash,
                    round=view.claim.round,
                    node=view.node,
                    kind=view.claim.kind,
                    own=False,
                    body=json.dumps(view.claim.to_json()),
                    state=Recorded.SENT,
                )
            )
            record = self._store.claim(view.hash)
        wanted = _wanted(view)
        if record is None or record.state in (wanted, Recorded.PAID):
            return
        if record.state == Recorded.PLANNED:
            self._store.set_claim_state(view.hash, Recorded.SENT)
        if wanted != Recorded.SENT or record.state == Recorded.CHALLENGED:
            self._store.set_claim_state(view.hash, wanted, reason=view.reason)


def _wanted(view: ClaimView) -> Recorded:
    if view.state is ClaimState.POSTED:
        return Recorded.CHALLENGED if view.challenges or view.judged else Recorded.SENT
    return Recorded.FINAL if view.state is ClaimState.FINAL else Recorded.LOST
