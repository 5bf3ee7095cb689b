"""The auditing part of a round: which claims this node looks at, and what it does about what it finds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.dispute.audit import claim_draw
from consensus.training.outer import GlobalState
from economics.audit import is_drawn
from economics.units import BPS
from node.chain.contracts import Contracts
from node.chain.types import ClaimState
from node.errors import FundsError, RevertError
from node.logs import get_logger
from node.storage.store import Store
from node.storage.tables import Audit, Challenge
from node.training.auditor import Finding, WithheldError
from node.training.ledger import ClaimView, RoundView, first_block_after
from node.training.tools import Tools

log = get_logger("audits")
PATIENCE = 2
"""A prover that still withholds its work after this part of the window is challenged."""


@dataclass
class RoundAudits:
    """Audits of one round by one node."""

    contracts: Contracts
    store: Store
    tools: Tools
    share_bps: int | None
    own: Callable[[bytes], bool] = lambda _: False
    """Whether a claim is of a quorum that this node was in: nobody judges its own work."""
    seed: bytes = b""
    done: dict[bytes, Finding] = field(default_factory=dict)
    tried: dict[bytes, int] = field(default_factory=dict)
    round: int = 0

    def next(self, view: RoundView, window_end: int) -> ClaimView | None:
        """The claim to look at now, those never looked at first; None when all drawn ones are done."""
        self._enter(view)
        if not self._find_seed(view, window_end):
            return None
        todo = [c for c in view.trains if c.state is ClaimState.POSTED and self._is_due(c, view)]
        open_still = [c for c in todo if c.hash not in self.done]
        return min(open_still, key=lambda c: self.tried.get(c.hash, 0), default=None)

    def look(
        self, view: RoundView, suspect: ClaimView, start: Callable[[], GlobalState], window_end: int
    ) -> Finding | None:
        """Audit one claim, and challenge it if it is wrong; None when the prover withholds and there is still time.
        `start` gives the state that its work began from; where it raises WithheldError, that is withheld too."""
        me = bytes.fromhex(self.contracts.client.address[2:])
        uri = view.uris.get(suspect.node)
        try:
            finding = self.tools.auditor.audit(view, suspect, start().weights, self.seed, me, uri)
        except WithheldError as error:
            now = self.contracts.client.block().timestamp
            window = self.contracts.registry.parameters().window
            if uri is not None and now < window_end - window // PATIENCE:
                if suspect.hash not in self.tried:
                    log.warning("work is withheld; asking again", node=suspect.node, reason=error.message)
                self.tried[suspect.hash] = self.tried.get(suspect.hash, 0) + 1
                return None
            finding = Finding(error.step, f"withheld: {error.message}")
        self.done[suspect.hash] = finding
        if finding.step is not None:
            log.error("a claim is wrong", node=suspect.node, round=view.number, finding=finding.detail)
            if finding.before is not None:
                self.tools.evidence.save(suspect.claim.round, suspect.hash, finding.before)
            self._challenge(suspect, finding.step)
        # Recorded last: a node stopped before this line audits and challenges again, which changes nothing.
        result = "ok" if finding.step is None else "wrong"
        self.store.save_audit(Audit(claim_hash=suspect.hash, round=view.number, result=result, detail=finding.detail))
        return finding

    def _challenge(self, suspect: ClaimView, step: int) -> None:
        try:
            self.contracts.registry.challenge(suspect.claim, step)
        except (RevertError, FundsError) as error:
            # Lost to a faster challenger, too late, or no stake left for the bond: nothing a retry would change.
            log.warning("the challenge was not taken", node=suspect.node, reason=error.message)
            return
        me = self.contracts.client.address
        self.store.save_challenge(
            Challenge(
                id=challenge_id(suspect.hash, me),
                claim_hash=suspect.hash,
                step=step,
                role="challenger",
                state="open",
                deadline=self.contracts.registry.challenge_of(suspect.hash, me).deadline,
            )
        )

    def _enter(self, view: RoundView) -> None:
        if view.number != self.round:
            self.round, self.seed, self.tried = view.number, b"", {}
            known = {audit.claim_hash: audit for audit in self.store.audits(view.number)}
            self.done = {key: Finding(None, audit.detail) for key, audit in known.items()}

    def _find_seed(self, view: RoundView, window_end: int) -> bool:
        if not self.seed and view.block.timestamp <= window_end:
            block = first_block_after(self.contracts, view.info.claim_deadline, view.opened_block, view.block.number)
            self.seed = b"" if block is None else block.hash
        return bool(self.seed)

    def _is_due(self, suspect: ClaimView, view: RoundView) -> bool:
        if suspect.node == self.contracts.client.address or self.own(suspect.hash):
            return False
        me = bytes.fromhex(self.contracts.client.address[2:])
        draw = claim_draw(self.seed, suspect.hash, me)
        if self.share_bps is not None:
            return draw % BPS < self.share_bps
        return is_drawn(draw, len(view.uris))


def challenge_id(claim_hash: bytes, challenger: str) -> int:
    """A challenge's key in the database: it is known by claim and challenger on chain."""
    digest = hashlib.sha256(claim_hash + bytes.fromhex(challenger[2:])).digest()
    return int.from_bytes(digest[:8], "big") >> 1
