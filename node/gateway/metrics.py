"""Figures of a gateway for Prometheus. Processes that share a listener share PROMETHEUS_MULTIPROC_DIR too."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from node.gateway.stats import Statistics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class DatabaseCollector(Collector):
    """What the database says when it is asked."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """The families as they stand now. Raises DatabaseError."""
        now = self._statistics.everything()
        number = -1 if now.version is None else int(now.version[1:])
        for name, about, value in (
            ("version", "number of the active version; -1 before the first", number),
            ("workers", "volunteers that registered", now.total_workers),
            ("workers_active", "volunteers seen lately", now.active_workers),
            ("batches_pending", "batches that need a volunteer", now.batches_pending),
            ("tokens_per_second", "accepted tokens of the last minute", now.tokens_per_s),
            ("idle", "1 where nothing is happening", int(bool(now.idle_reason))),
        ):
            yield GaugeMetricFamily(f"ponw_gateway_{name}", about, value=value)
        if now.heldout_loss is not None:
            yield GaugeMetricFamily("ponw_gateway_heldout_loss", "of the newest measured version", now.heldout_loss)
        for name, about, value in (
            ("batches_completed", "batches that were agreed on", now.batches_completed),
            ("trained_tokens", "tokens of accepted updates", now.tokens),
            ("aggregations", "acts of joining updates", now.aggregations),
        ):
            yield CounterMetricFamily(f"ponw_gateway_{name}", about, value=value)


class Metrics:
    """What is measured at the interface, and a view of the database."""

    def __init__(self, statistics: Statistics) -> None:
        own = CollectorRegistry()
        self._own, self._database = own, DatabaseCollector(statistics)
        self.requests = Counter(
            "ponw_gateway_requests", "requests answered", ["route", "method", "status"], registry=own
        )
        self.seconds = Histogram(
            "ponw_gateway_request_seconds", "from request to answer", ["route"], registry=own, buckets=_SECONDS
        )
        self.uploads = Counter("ponw_gateway_uploads", "uploads by what became of them", ["state"], registry=own)
        self.upload_bytes = Counter("ponw_gateway_upload_bytes", "bytes of uploads received", registry=own)
        self.sockets = Gauge("ponw_gateway_sockets", "open WebSockets", registry=own, multiprocess_mode="livesum")
        self.dropped = Counter(
            "ponw_gateway_sockets_dropped", "WebSockets closed because they did not keep up", registry=own
        )

    def text(self) -> bytes:
        """Everything, in Prometheus's format. Raises DatabaseError."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._own) + self._view()
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared) + self._view()

    def _view(self) -> bytes:
        view = CollectorRegistry()
        view.register(self._database)
        return generate_latest(view)
