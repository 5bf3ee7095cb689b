"""Puts one node together from its settings, its key and its chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from consensus.quorum.modes import Mode
from economics.networks import times_for
from node.artefacts.layout import ARTEFACTS_NAME
from node.artefacts.server import create_app
from node.artefacts.serving import serve_in_thread
from node.chain.contracts import Contracts
from node.chain.units import format_units
from node.config import Settings
from node.dashboard.running import with_dashboard
from node.dispute.cases import Cases
from node.dispute.watcher import Watcher
from node.errors import FundsError
from node.genesis import workshop
from node.modes.desk import ModeDesk
from node.modes.memory import usable_memory
from node.net.client import Network
from node.paths import private_folder
from node.quorum.sessions import Sessions
from node.storage.store import Store
from node.training.audits import RoundAudits
from node.training.chores import Chores
from node.training.inner import InnerLoop
from node.training.ledger import Ledger
from node.training.loop import RoundLoop
from node.training.parts import Fitted, Parts
from node.training.prover import Prover
from node.training.quorum_side import QuorumSide, before_answer, quorum_chores
from node.training.records import Records
from node.training.snapshot import Reporter, Snapshot
from node.training.states import GlobalStates
from node.training.tools import CHECKPOINTS_NAME, STATES_NAME, Tools
from node.training.work import Workshop
from node.vocabulary.eras import Eras
from node.vocabulary.versions import Versions


@contextmanager
def assembled(
    settings: Settings,
    contracts: Contracts,
    first_block: int,
    stop: threading.Event,
    listen: Callable[[Snapshot], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    make_workshop: Callable[[Settings], Workshop] = workshop,
    peers: Network | None = None,
) -> Iterator[RoundLoop]:
    """A round loop that is ready to run: engine proved, network checked, stake there, artefacts served and announced.

    `make_workshop` is called once for the loop's thread, and once more for that of disputes, and that of a quorum's
    challenged steps, when one begins. With `peers` the node tells the network about itself, and takes seats in quorums.

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
        with_dashboard(create_app(artefacts), settings) as app,
        serve_in_thread(app, settings.listen_host, settings.listen_port) as served,
        ExitStack() as stack,
    ):
        ledger = Ledger(contracts, first_block)
        uri = settings.public_uri or served.uri
        announce(contracts, ledger, uri)
        reporter = Reporter(home, listen)
        address = contracts.client.address
        reporter.update(address=address, uri=uri, preset=settings.preset, kernel=shop.engine.name)
        states = GlobalStates(home / STATES_NAME, shop.config.shapes(), shop.genesis_state())
        eras = Eras(shop, Versions(contracts, first_block))

        def make_eras() -> Eras:
            return Eras(make_workshop(settings), Versions(contracts, first_block))

        def fit(made: Workshop) -> Fitted:
            tools, inner = Tools.of(made, home, address), InnerLoop(made, store, home / CHECKPOINTS_NAME)
            return Fitted(made, tools, inner, Prover(made, contracts, store, inner, artefacts))

        fitted = fit(shop)
        times = times_for(contracts.registry.parameters().train_time)
        sessions, chores = Sessions(contracts, first_block), Chores(contracts, first_block, clock)

        def make_cases() -> Cases:
            return Cases(address, make_eras, states, lambda made: Tools.of(made, home, address))

        side = None if peers is None else QuorumSide(settings, contracts, peers, first_block, make_cases, times)
        parts = Parts(
            settings=settings,
            contracts=contracts,
            store=store,
            ledger=ledger,
            states=states,
            eras=eras,
            fit=fit,
            fitted=fitted,
            audits=RoundAudits(
                contracts,
                store,
                fitted.tools,
                settings.audit_share_bps,
                lambda claim_hash: sessions.shares(claim_hash, address),
            ),
            chores=chores,
            modes=ModeDesk(
                home=home,
                account=address,
                memory=usable_memory(settings.memory_mib),
                forced=_forced(settings),
                times=times,
                clock=clock,
            ),
            watcher=Watcher(contracts, store, make_cases(), artefacts, first_block, before_answer(side)),
            records=Records(contracts, store),
            reporter=reporter,
            stop=stop,
            quorum_chores=quorum_chores(contracts, sessions, chores, store, side),
        )
        if side is not None:
            stack.enter_context(side.running(parts, sessions))
        try:
            yield RoundLoop(parts, clock)
        finally:
            reporter.update(activity="stopped", stopped=True)


def _forced(settings: Settings) -> Mode | None:
    """The operator's choice of a mode: late work is an async contributor's."""
    if settings.late:
        return Mode.ASYNC
    return None if settings.mode is None else Mode(settings.mode)


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
