"""Figures of the service for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from node.inference.service import InferenceService

_FIRST_TOKEN = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServiceCollector(Collector):
    """The batcher's counters and load."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """The families as they stand now."""
        service = self._service
        counters, (busy, slots) = service.batcher.counters, service.load()
        yield CounterMetricFamily("ponw_tokens", "tokens drawn", value=counters.tokens)
        yield CounterMetricFamily("ponw_prompt_tokens", "tokens of prompts fed", value=counters.prompt_tokens)
        yield CounterMetricFamily("ponw_steps", "steps of the decoder", value=counters.steps)
        yield CounterMetricFamily("ponw_refused", "requests refused because the queue was full", value=counters.refused)
        ended = CounterMetricFamily("ponw_requests", "requests that ended, by reason", labels=["reason"])
        for reason, count in counters.ended.items():
            ended.add_metric([reason], count)
        yield ended
        yield GaugeMetricFamily("ponw_slots", "places of the batch", value=slots)
        yield GaugeMetricFamily("ponw_slots_busy", "places that are taken", value=busy)
        yield GaugeMetricFamily("ponw_queue", "requests that wait for a place", value=service.batcher.waiting)
        about = {"model": service.model.name, "root": service.model.root.hex(), "kernel": service.decoder.name}
        yield InfoMetricFamily("ponw_serving", "what is served", value=about)


class Metrics:
    """A registry of its own, and what is measured at the interface."""

    def __init__(self, service: InferenceService) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(ServiceCollector(service))
        self.first_token = Histogram(
            "ponw_first_token_seconds", "from request to first token", registry=self.registry, buckets=_FIRST_TOKEN
        )
