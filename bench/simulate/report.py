"""Figures of a simulation, from its books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.simulate.books import quantile
from consensus.quorum.coverage import scarcities
from consensus.quorum.modes import Mode

if TYPE_CHECKING:
    from bench.simulate.network import Network
    from bench.simulate.rounds import Rounds

SAMPLE_MS = 300_000


def sample(network: Network) -> bool:
    """Note how things stand."""
    view, up = network.view(), max(1, sum(m.up for m in network.machines.values()))
    scarce = scarcities(view.counts, max(1, view.nodes))
    network.books.samples.append(
        {
            "seconds": network.loop.seconds,
            "up": up,
            "modes": {mode.value: round(network.modes[mode] / up, 4) for mode in Mode},
            "quorums": sum(bool(one.trained_to) for one in network.sessions.running.values()),
            "holders_min": min(view.counts),
            "scarce_parts": sum(bool(one) for one in scarce),
        }
    )
    return True


def report(network: Network, rounds: Rounds) -> dict[str, Any]:
    """Everything that the simulation found; the same seed gives the same report."""
    books, spec = network.books, network.spec
    seconds, tokens = spec.hours * 3600, spec.model.tokens_per_step
    late = [one for one in books.samples if int(str(one["seconds"])) >= 3600]
    return {
        "nodes": spec.nodes,
        "hours": spec.hours,
        "seed": spec.seed,
        "model": {"parameters": spec.model.parameters, "layers": spec.model.layers, "tokens_per_step": tokens},
        "tokens_per_s": {
            "quorums": round(books.batches * tokens / seconds, 1),
            "async": round(books.alone_batches * tokens / seconds, 1),
        },
        "coverage": {
            "share_of_time_whole": _share(late, lambda one: one["holders_min"] > 0),
            "share_of_time_enough": _share(late, lambda one: one["scarce_parts"] == 0),
            "holders_min": min((one["holders_min"] for one in late), default=0),
        },
        "modes": {mode.value: _mean(late, mode.value) for mode in Mode},
        "quorums": _quorums(network),
        "sync": _sync(network),
        "audit": _audit(network, rounds),
        "fetched_gib": round(books.moved_bytes / 2**30, 1),
        "events": network.loop.done,
    }


def _quorums(network: Network) -> dict[str, Any]:
    books = network.books
    return {
        "proposed": books.proposed,
        "formed": books.formed,
        "lapsed": books.lapsed,
        "renewals": books.renewals,
        "replaced": books.replaced,
        "switched": books.switched,
        "at_once_max": max((int(str(one["quorums"])) for one in books.samples), default=0),
        "members_p50": quantile(books.quorum_sizes, 0.5),
        "lifetime_s": {name: quantile(books.lifetimes_s, q) for name, q in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9))},
        "step_s_p50": round(quantile(books.steps_us, 0.5) / 1e6, 2),
        "ends": dict(sorted(books.ends.items())),
    }


def _sync(network: Network) -> dict[str, Any]:
    rounds = network.books.rounds
    total = sum(int(str(one["sync_bytes"])) for one in rounds)
    names = ("naive_ratio", "sync_seconds_p50", "sync_seconds_p95", "late_for_window", "missing", "cohort_min")
    figures: dict[str, Any] = {"rounds": len(rounds), "gib_a_round": round(total / max(1, len(rounds)) / 2**30, 2)}
    for name in (*names, "steps_p50", "mean_error"):
        values = [float(str(one[name])) for one in rounds]
        figures[name] = round(sum(values) / max(1, len(values)), 4)
    return figures


def _audit(network: Network, rounds: Rounds) -> dict[str, Any]:
    found = rounds.detection
    cheats = [m for m in network.machines.values() if m.wrong and m.account in found.first_wrong]
    caught = [m for m in cheats if m.slashed]
    return {
        "claims": sum(int(str(one["claims"])) for one in network.books.rounds),
        "audited": sum(int(str(one["audited"])) for one in network.books.rounds),
        "wrong_claims": found.wrong,
        "wrong_claims_caught_share": round(found.caught / max(1, found.wrong), 4),
        "cheats": len(cheats),
        "cheats_caught_share": round(len(caught) / max(1, len(cheats)), 4),
        "of_those_who_fake_all": _caught([m.slashed for m in cheats if m.wrong == 10]),
        "of_those_who_fake_a_tenth": _caught([m.slashed for m in cheats if m.wrong == 1]),
        "rounds_until_caught_mean": round(sum(found.rounds_until) / max(1, len(found.rounds_until)), 2),
        "honest_slashed": sum(m.slashed and not m.wrong for m in network.machines.values()),
        "audits": found.audits,
        "late_share": round(found.late / max(1, found.audits), 4),
        "work_share": round(found.work_us / max(1, found.trained_us), 4),
    }


def _caught(slashed: list[bool]) -> float:
    return round(sum(slashed) / max(1, len(slashed)), 4)


def _share(samples: list[dict[str, Any]], test: Any) -> float:
    return round(sum(bool(test(one)) for one in samples) / max(1, len(samples)), 4)


def _mean(samples: list[dict[str, Any]], mode: str) -> float:
    return round(sum(one["modes"][mode] for one in samples) / max(1, len(samples)), 4)
