"""Why nothing is happening, in one sentence; empty where something is."""

from __future__ import annotations

from dataclasses import dataclass

from node.gateway.settings import GatewaySettings

JOB_FLAG = "job:"
"""Flags of background jobs: {"error": str}; `at`: when it last ran."""


@dataclass(frozen=True)
class Situation:
    """What the database says, at one moment. Ages are in seconds, None: never."""

    version: str | None
    leases: int
    workers: int
    active: int
    quarantined: int
    """Of the active ones."""
    last_seen_age: int | None
    pending: int
    held: int
    accepted: int
    """Updates that wait for an aggregation."""
    paused: str | None
    """Why aggregation is paused; None: it is not."""
    aggregator_age: int | None
    errors: tuple[str, ...] = ()
    """Of background jobs, as they last ran."""


def idle_reason(now: Situation, settings: GatewaySettings) -> str:
    """The first thing that stands in the way; what is wrong with the gateway comes before who is absent."""
    if fault := _fault(now, settings):
        return fault
    if now.leases or now.accepted >= settings.aggregate_updates:
        return ""
    if not now.pending and now.errors:
        return "There are no batches." + _because(now)
    if now.held:
        return f"{now.held} uploads wait for a replica or for the gateway to compute them again."
    if settings.claims and not now.pending:
        return "The operator's node offers no work at the moment."
    return _absence(now)


def _fault(now: Situation, settings: GatewaySettings) -> str:
    if now.version is None:
        return "There is no version of the model yet." + _because(now)
    if now.paused is not None:
        return f"Aggregation is paused: {now.paused}."
    if now.accepted and not settings.claims and _overdue(now, settings):
        age = "never ran" if now.aggregator_age is None else f"last ran {now.aggregator_age} s ago"
        return f"{now.accepted} accepted updates wait for the aggregator, which {age}." + _because(now)
    return ""


def _absence(now: Situation) -> str:
    if not now.workers:
        return "No volunteer has registered yet."
    if not now.active:
        return f"No volunteer is connected; the last one was seen {now.last_seen_age} s ago."
    if now.quarantined >= now.active:
        return f"Every connected volunteer ({now.active}) is in quarantine."
    return f"Volunteers are connected ({now.active}), and none has asked for a batch."


def _overdue(now: Situation, settings: GatewaySettings) -> bool:
    return now.aggregator_age is None or now.aggregator_age > 3 * settings.aggregate_seconds


def _because(now: Situation) -> str:
    return f" {now.errors[0]}" if now.errors else ""
