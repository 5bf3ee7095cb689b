"""A gateway's parts, put together."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from node.gateway.aggregator import Aggregator
from node.gateway.auth import OPERATOR_NAME, Accounts, Operator, Signer
from node.gateway.batches import BatchMaker
from node.gateway.blobs import BlobStore
from node.gateway.bus import Bus, BusEvents, LocalBus, RedisBus
from node.gateway.intake import UploadIntake
from node.gateway.limits import RateLimits
from node.gateway.live import Hub
from node.gateway.metrics import Metrics
from node.gateway.ports import Job
from node.gateway.queue import BatchQueue
from node.gateway.recompute import Recomputer
from node.gateway.registry import ModelRegistry
from node.gateway.schemas import META_LIMIT
from node.gateway.settings import GatewaySettings, secret_of
from node.gateway.sizing import Sizing
from node.gateway.stats import Cached, Statistics, leaders_json
from node.gateway.storage.store import Clock, Storage
from node.gateway.tidy import Tidier
from node.gateway.uploads import Spool
from node.gateway.wire import body_limit
from node.storage.tensorfile import largest_file
from node.training.work import Workshop

SWEEP_SECONDS, PREPARE_SECONDS, DECIDE_SECONDS, TIDY_SECONDS = 2.0, 2.0, 1.0, 600.0


@dataclass
class Gateway:
    """Everything that the routes and the background jobs of one process use."""

    settings: GatewaySettings
    workshop: Workshop
    storage: Storage
    blobs: BlobStore
    bus: Bus
    events: BusEvents
    registry: ModelRegistry
    maker: BatchMaker
    queue: BatchQueue
    accounts: Accounts
    operator: Operator
    limits: RateLimits
    statistics: Statistics
    metrics: Metrics
    spool: Spool
    intake: UploadIntake
    tidier: Tidier
    cache: Path
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.global_stats = Cached(lambda: self.statistics.everything().model_dump_json().encode())
        self.leaders = Cached(lambda: leaders_json(self.statistics.leaders()))
        self.hub = Hub(
            self.bus, self.accounts, self.queue, self.metrics, self.global_stats.get, self.settings.sockets_max
        )

    @property
    def upload_limit(self) -> int:
        """Bytes of the largest upload: an exact update, not compressible, and its header."""
        return META_LIMIT + 8 + body_limit(self.weights_limit)

    @property
    def weights_limit(self) -> int:
        """Bytes of the largest file of weights."""
        return largest_file(self.workshop.config.shapes())

    def start(self) -> None:
        """Make the genesis version, unless there is a version. Raises BlobError, DatabaseError."""
        if self.registry.current() is None:
            state = self.workshop.genesis_state()
            metrics = {"heldout_loss": self.workshop.heldout_loss(state.weights)}
            self.registry.start(state, metrics)

    def jobs(self, workshop: Callable[[], Workshop]) -> list[Job]:
        """Background work; `workshop` makes one for each thread that trains, since engines are not shared.

        Raises:
            GatewayConfigError: rule and codec of updates do not go together.
        """
        parts = self.settings, self.events
        aggregator = Aggregator(self.storage, self.registry, self.intake.archive, workshop(), *parts)
        recomputer = Recomputer(self.storage, self.intake, self.registry, workshop(), *parts, self.stopping)
        return [
            Job("sweep", SWEEP_SECONDS, self.queue.sweep),
            Job("prepare", PREPARE_SECONDS, self.queue.prepare),
            Job("recompute", DECIDE_SECONDS, recomputer.run),
            Job("aggregate", DECIDE_SECONDS, aggregator.run),
            Job("tidy", TIDY_SECONDS, self.tidier.run),
        ]

    def close(self) -> None:
        """Close connections and remove this process's cache."""
        self.bus.close()
        self.storage.close()
        shutil.rmtree(self.cache, ignore_errors=True)


def open_gateway(settings: GatewaySettings, workshop: Workshop, clock: Clock | None = None) -> Gateway:
    """Open database and stores; nothing runs yet. `clock` is for tests.

    Raises:
        DatabaseError, BlobError, DiskError, GatewayConfigError.
    """
    storage = Storage.open(settings.database, clock)
    blobs = BlobStore(settings.blobs)
    bus: Bus = RedisBus(settings.redis_url) if settings.redis_url else LocalBus()
    events = BusEvents(bus, storage.host_now)
    config, secret = workshop.config, secret_of(settings.home)
    sizing = Sizing(config, settings.sizes, settings.samples_max, settings.target_seconds)
    maker = BatchMaker(blobs, workshop.dataset, sizing, bytes.fromhex(settings.account))
    queue = BatchQueue(storage, blobs, maker, settings, events)
    cache = Path(tempfile.mkdtemp(prefix="ponw-gateway-"))
    statistics = Statistics(storage, settings, config.seq_len)
    accounts = Accounts(storage, Signer(secret, settings))
    return Gateway(
        settings=settings,
        workshop=workshop,
        storage=storage,
        blobs=blobs,
        bus=bus,
        events=events,
        registry=ModelRegistry(storage, blobs, config, events, cache, settings.version_lag),
        maker=maker,
        queue=queue,
        accounts=accounts,
        operator=Operator(secret_of(settings.home, OPERATOR_NAME)),
        limits=RateLimits(settings),
        statistics=statistics,
        metrics=Metrics(statistics),
        spool=Spool(settings.spool, settings.uploads_max),
        intake=UploadIntake(storage, queue, blobs, settings, config, events, secret),
        tidier=Tidier(storage, blobs, accounts),
        cache=cache,
    )
