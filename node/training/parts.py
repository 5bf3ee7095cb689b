"""What one node's round loop is put together from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from node.chain.contracts import Contracts
from node.config import Settings
from node.dispute.watcher import Watcher
from node.modes.desk import ModeDesk
from node.quorum.teams import Teams
from node.storage.store import Store
from node.training.audits import RoundAudits
from node.training.chores import Chores
from node.training.helping import Helpers
from node.training.inner import InnerLoop
from node.training.ledger import Ledger, RoundView
from node.training.outer import OuterLoop
from node.training.prover import Prover
from node.training.quorum_chores import QuorumChores
from node.training.records import Records
from node.training.snapshot import Reporter
from node.training.states import GlobalStates
from node.training.tools import Tools
from node.training.work import Workshop
from node.vocabulary.eras import Eras


@dataclass(frozen=True)
class Fitted:
    """The parts that are made for one version of the vocabulary and the way to the next."""

    workshop: Workshop
    tools: Tools
    inner: InnerLoop
    prover: Prover


@dataclass
class Parts:
    """Everything that one node's round loop works with."""

    settings: Settings
    contracts: Contracts
    store: Store
    ledger: Ledger
    states: GlobalStates
    eras: Eras
    fit: Callable[[Workshop], Fitted]
    fitted: Fitted
    audits: RoundAudits
    chores: Chores
    modes: ModeDesk
    watcher: Watcher
    records: Records
    reporter: Reporter
    stop: threading.Event
    quorum_chores: QuorumChores
    teams: Teams | None = None
    """The quorums that this node takes part in; None where it has no peer network."""
    waits: Callable[[RoundView], bool] = lambda _: False
    """Whether a quorum may yet come to be that trains the round at hand."""
    standing: Callable[[], str] = lambda: ""
    """The quorum that this node is in, or why there is none, in words."""
    helpers: Helpers | None = None
    """Who trains rounds for this node, where its operator runs a gateway for volunteers."""

    @property
    def workshop(self) -> Workshop:
        """What the round at hand runs."""
        return self.fitted.workshop

    @property
    def inner(self) -> InnerLoop:
        return self.fitted.inner

    @property
    def prover(self) -> Prover:
        return self.fitted.prover

    @property
    def outer(self) -> OuterLoop:
        return self.fitted.tools.outer

    def enter(self, view: RoundView) -> None:
        """Be fit for a round: nothing happens unless its version or target is another than the last one's.

        Raises:
            OtherVersionError: the chain runs something else than this node makes of it. ManifestError, ShardError,
            DiskError: the version's text cannot be built or read.
        """
        shop = self.eras.of(view.info)
        if shop is not self.fitted.workshop:
            self.fitted = self.fit(shop)
            self.audits.tools = self.fitted.tools
        self.eras.check(view.info, view.terms)
