"""Puts one node together from its settings, its key and its chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.artefacts.layout import ARTEFACTS_NAME
from node.artefacts.server import create_app
from node.artefacts.serving import serve_in_thread
from node.chain.contracts import Contracts
from node.chain.units import format_units
from node.config import Settings
from node.dispute.cases import Cases
from node.dispute.evidence import Evidence
from node.dispute.watcher import Watcher
from node.errors import FundsError
from node.genesis import workshop
from node.paths import private_folder
from node.storage.store import Store
from node.training.auditor import Auditor
from node.training.audits import RoundAudits
from node.training.chores import Chores
from node.training.inner import InnerLoop
from node.training.ledger import Ledger
from node.training.loop import Parts, RoundLoop
from node.training.outer import OuterLoop
from node.training.prover import Prover
from node.training.records import Records
from node.training.snapshot import Reporter, Snapshot
from node.training.states import GlobalStates
from node.training.work import Workshop

CHECKPOINTS_NAME = "checkpoints"
STATES_NAME = "states"
AUDIT_NAME = "audit"
DISPUTES_NAME = "disputes"


@contextmanager
def assembled(
    settings: Settings,
    contracts: Contracts,
    first_block: int,
    stop: threading.Event,
    listen: Callable[[Snapshot], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    make_workshop: Callable[[Settings], Workshop] = workshop,
) -> Iterator[RoundLoop]:
    """A round loop that is ready to run: engine proved, network checked, stake there, artefacts served and announced.

    `make_workshop` is called once for the loop's thread, and once more for that of disputes when one begins.

    Raises:
        KernelError (consensus), OtherProgramError, FundsError (not staked), ServerError, DatabaseError, DiskError,
        ManifestError, ShardError, and what announcing may raise.
    """
    require_stake(contracts)
    shop = make_workshop(settings)
    shop.require_network(contracts.registry.parameters())
    home = private_folder(settings.home)
    artefacts = private_folder(home / ARTEFACTS_NAME)
    with (
        Store.open(home) as store,
        serve_in_thread(create_app(artefacts), settings.listen_host, settings.listen_port) as served,
    ):
        ledger = Ledger(contracts, first_block)
        uri = settings.public_uri or served.uri
        announce(contracts, ledger, uri)
        reporter = Reporter(home, listen)
        address = contracts.client.address
        reporter.update(address=address, uri=uri, preset=settings.preset, kernel=shop.engine.name)
        inner = InnerLoop(shop, store, home / CHECKPOINTS_NAME)
        auditor = Auditor(shop, home / AUDIT_NAME, lambda: None)
        shapes = shop.config.shapes()
        states = GlobalStates(home / STATES_NAME, shapes, shop.genesis_state())
        evidence = Evidence(home / DISPUTES_NAME, shapes)
        outer = OuterLoop(address, shapes, inner.checkpoints, auditor, home / AUDIT_NAME)
        cases = Cases(address, lambda: make_workshop(settings), states, inner.checkpoints, evidence, outer)
        parts = Parts(
            settings=settings,
            contracts=contracts,
            store=store,
            workshop=shop,
            ledger=ledger,
            states=states,
            inner=inner,
            prover=Prover(shop, contracts, store, inner, artefacts),
            audits=RoundAudits(contracts, store, auditor, evidence, settings.audit_share_bps),
            outer=outer,
            chores=Chores(contracts, clock),
            watcher=Watcher(contracts, store, cases, artefacts, first_block),
            records=Records(contracts, store),
            reporter=reporter,
            stop=stop,
        )
        try:
            yield RoundLoop(parts, clock)
        finally:
            reporter.update(activity="stopped", stopped=True)


def require_stake(contracts: Contracts) -> None:
    """Raises FundsError unless the account's active stake reaches the minimum."""
    address, staking = contracts.client.address, contracts.staking
    if not staking.is_staker(address):
        held, least = staking.account_of(address).active, staking.minimum_stake()
        raise FundsError(
            f"{address} has {format_units(held)} staked; taking part needs {format_units(least)}.",
            f"Run `ponw stake add {format_units(least).split()[0]}` first.",
        )


def announce(contracts: Contracts, ledger: Ledger, uri: str) -> None:
    """Tell the network where this node serves, unless it knows."""
    if ledger.look().uris.get(contracts.client.address) != uri:
        contracts.registry.announce(uri)
