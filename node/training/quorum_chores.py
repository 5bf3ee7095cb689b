"""What a quorum leaves to be done on chain: share rewards out, take bonds back, name who answers for a lost claim."""

from __future__ import annotations

from collections.abc import Callable

from consensus.commitments.claim import Claim
from consensus.program.known import suite_of
from consensus.program.layers import LayerTable
from consensus.program.step import step_program
from consensus.program.update import update_program
from node.chain.contracts import Contracts
from node.chain.quorum_events import FaultFound
from node.chain.quorums import BoundState
from node.logs import get_logger
from node.quorum.sessions import SessionRow, Sessions
from node.training.chores import Chores
from node.training.ledger import RoundView
from node.training.work import Workshop

log = get_logger("chores")
Find = Callable[[bytes, bytes, str], bytes]
"""A member's signature by claim hash, the work's digest and the member; b"" for none."""


class QuorumChores:
    """One node's. `claim_of`: a claim by its hash; `holds`: whether the node still works for a session; `find`:
    signatures that it has gathered as a leader; `over` is told of sessions that ended on chain."""

    def __init__(
        self,
        contracts: Contracts,
        sessions: Sessions,
        chores: Chores,
        claim_of: Callable[[bytes], Claim | None],
        holds: Callable[[int], bool] = lambda _: False,
        find: Find = lambda *_: b"",
        over: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._contracts, self._sessions, self._chores = contracts, sessions, chores
        self._claim_of, self._holds, self._find = claim_of, holds, find
        self._over = over
        self._unsigned: set[bytes] = set()
        self._me = contracts.client.address

    def look(self, view: RoundView, shop: Workshop) -> None:
        """Do what is due; `shop`: what the round at hand runs.

        Raises:
            What ChainClient.send raises, but for races lost to others.
        """
        now = view.block.timestamp
        self._sessions.look(view.block.number, now)
        for claim_hash in sorted(self._sessions.due):
            self._pay(view, claim_hash)
        for claim_hash, fault in sorted(self._sessions.faults.items()):
            self._blame(view, shop, claim_hash, fault)
        for row in self._sessions.of(self._me):
            self._leave(row, now)

    def _pay(self, view: RoundView, claim_hash: bytes) -> None:
        row, quorums = self._sessions.of_claim(claim_hash), self._contracts.quorums
        if row is None or not row.has(self._me):
            return
        if row.leader != self._me and not self._chores.turn(view, "pay", claim_hash):
            return
        if quorums.claim_of(claim_hash).state is BoundState.DUE and self._chores.attempt(
            lambda: quorums.pay(claim_hash, row.members), "WrongClaimState"
        ):
            log.info("a quorum's reward is shared out", session=row.number, members=len(row.members))
        self._sessions.settled(claim_hash)

    def _blame(self, view: RoundView, shop: Workshop, claim_hash: bytes, fault: FaultFound) -> None:
        row, found, quorums = self._sessions.of_claim(claim_hash), self._claim_of(claim_hash), self._contracts.quorums
        if row is None or self._me not in (row.leader, fault.challenger):
            return
        if quorums.claim_of(claim_hash).state is not BoundState.FAULTY:
            self._sessions.settled(claim_hash)
        elif view.block.timestamp > fault.deadline:
            self._chores.attempt(lambda: quorums.blame_leader(claim_hash), "WrongClaimState")
        elif found is not None and claim_hash not in self._unsigned:
            self._name(shop, found, row, fault)

    def _name(self, shop: Workshop, claim: Claim, row: SessionRow, fault: FaultFound) -> None:
        """Name the op's owner, where this node can: the leader for itself, a member by the trace that it signed."""
        config = shop.config
        table = LayerTable.of(config, step_program(config), update_program(config))
        owner = row.owner_of(table.segments[table.row_of(fault.op)].layer)
        signature, quorums = b"", self._contracts.quorums
        if owner != row.leader:
            signature = self._find(fault.claim_hash, quorums.fault_of(fault.claim_hash).work, owner)
            if not signature:  # nobody can show it to be another's: the leader answers when the time is over
                self._unsigned.add(fault.claim_hash)
                return
        sent = self._chores.attempt(
            lambda: quorums.blame(claim, row.members, suite_of(config, shop.change), table, fault.op, signature),
            "WrongClaimState",
            "TooLate",
        )
        if sent:
            log.error("a member answers for a lost claim", account=owner, session=row.number, op=fault.op)

    def _leave(self, row: SessionRow, now: int) -> None:
        quorums = self._contracts.quorums
        if row.ended:
            self._over(row.number)
        if row.ended or now > row.until:
            if quorums.session_of(row.number).freed >> row.place_of(self._me) & 1:
                row.left.add(self._me)  # slashed
            elif self._chores.attempt(lambda: quorums.leave(row.number, row.members), "SessionBusy", "SessionRuns"):
                log.info("the bond of a session is back", session=row.number)
        elif row.leader == self._me and not self._holds(row.number):
            # Nobody can leave a session before its end but through this.
            self._chores.attempt(lambda: quorums.dissolve(row.number), "SessionOver")
