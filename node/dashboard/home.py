"""What a home folder says about its node: status, network, rounds and claims. Reads only."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from consensus.commitments.claim import Claim, ClaimKind
from node.dashboard.schemas import ClaimEntry, Claims, Network, NodeEntry, RoundEntry, Rounds, State, Status
from node.modes.view import read_view
from node.storage.database import DATABASE_NAME
from node.storage.store import Store
from node.storage.tables import Audit, ClaimRecord, Leaf, Round
from node.training.ledger import lateness
from node.training.snapshot import Snapshot, read_snapshot

SILENT_SECONDS = 15
"""A running node writes every second; `ponw status` waits as long."""
ROUNDS_SHOWN, LOSSES_SHOWN, CLAIMS_SHOWN = 30, 600, 200


class Home:
    """One home folder. Threads may share it; the database is opened once it is there."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._clock = folder, clock
        self._store: Store | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def status(self) -> Status:
        """What the node does. Raises DiskError."""
        now, at = read_snapshot(self.folder), self._clock()
        state = _state(now, at)
        collected = 0 if now is None else now.collected_wei
        return Status(state=state, idle_reason=_idle(state, now, at), now=now, collected_wei=str(collected), at=at)

    def network(self) -> Network:
        """What the node knows about the network. Raises DataError, DiskError."""
        view = read_view(self.folder)
        if view is None:
            return Network(updated=0, account="", online=0, modes={}, tiers={}, nodes=[], quorums=[], layers=[])
        online = view.online()
        tiers = Counter(f"T{node.tier}" if node.tier else "unmeasured" for node in online)
        return Network(
            updated=view.updated,
            account=view.account,
            online=len(online),
            modes=dict(Counter(node.mode or "unknown" for node in online)),
            tiers=dict(sorted(tiers.items())),
            nodes=[NodeEntry(**node.model_dump(), speed=node.tier) for node in view.nodes],
            quorums=view.quorums,
            layers=view.layer_rows(),
        )

    def rounds(self) -> Rounds:
        """The newest rounds and this node's losses. Raises DatabaseError, DiskError."""
        store = self._database()
        if store is None:
            return Rounds(rounds=[], losses=[], first_step=0)
        newest = store.rounds()[: -ROUNDS_SHOWN - 1 : -1]
        leaves = {record.number: store.leaves(record.number) for record in newest}
        losses = [_loss(leaf) for record in reversed(newest) for leaf in leaves[record.number]]
        entries = [_round(record, leaves[record.number], store) for record in newest]
        return Rounds(rounds=entries, losses=losses[-LOSSES_SHOWN:], first_step=max(0, len(losses) - LOSSES_SHOWN))

    def claims(self) -> Claims:
        """The newest claims on record. Raises DatabaseError, DiskError."""
        store = self._database()
        if store is None:
            return Claims(claims=[], states={})
        found = store.claims()
        audits = {audit.claim_hash: audit for audit in store.audits()}
        newest = found[: -CLAIMS_SHOWN - 1 : -1]
        states = dict(Counter(record.state for record in found))
        return Claims(claims=[_claim(record, audits.get(record.hash)) for record in newest], states=states)

    def _database(self) -> Store | None:
        with self._lock:
            if self._store is None and (self.folder / DATABASE_NAME).is_file():
                self._store = Store.open(self.folder)
            return self._store


def _state(now: Snapshot | None, at: float) -> State:
    if now is None:
        return "never"
    if now.stopped:
        return "stopped"
    return "running" if at - now.updated < SILENT_SECONDS else "silent"


def _idle(state: State, now: Snapshot | None, at: float) -> str:
    if now is None or state == "never":
        return "No node has run from this home yet: `ponw run` starts one."
    if state == "stopped":
        return "The node has stopped: `ponw run` starts it again."
    if state == "silent":
        return f"The node has said nothing for {int(at - now.updated)} s; see its log, or start it again."
    if now.activity.startswith("training"):
        return ""
    why = f" ({now.why})" if now.activity.startswith(("waiting for the chain", "waiting for a peer")) else ""
    return f"No step runs now: {now.activity}{why}."


def _round(record: Round, leaves: list[Leaf], store: Store) -> RoundEntry:
    return RoundEntry(
        number=record.number,
        phase=record.phase,
        claim_deadline=record.claim_deadline,
        challenge_deadline=record.challenge_deadline,
        outer_deadline=record.outer_deadline,
        start_root="0x" + record.start_root.hex(),
        end_root=None if record.end_root is None else "0x" + record.end_root.hex(),
        steps=len(leaves),
        first_loss=_loss(leaves[0]) if leaves else None,
        last_loss=_loss(leaves[-1]) if leaves else None,
        claims=len(store.claims(round_number=record.number)),
    )


def _loss(leaf: Leaf) -> float:
    """Nats, from the bits that the trace commits to."""
    value: float = struct.unpack("<f", struct.pack("<I", leaf.loss_bits))[0]
    return round(value, 5)


def _claim(record: ClaimRecord, audit: Audit | None) -> ClaimEntry:
    claim = Claim.from_json(json.loads(record.body))
    return ClaimEntry(
        hash="0x" + record.hash.hex(),
        round=record.round,
        node=record.node,
        kind="train" if claim.kind is ClaimKind.TRAIN else "outer",
        own=record.own,
        state=record.state,
        steps=claim.steps,
        tokens=claim.tokens,
        reason="; ".join(filter(None, (lateness(claim), record.reason))),
        tx_hash=record.tx_hash,
        audit="" if audit is None else audit.result,
        audit_detail="" if audit is None else audit.detail,
    )
