"""Why nothing is happening: the first thing that is in the way, and nothing where something is happening."""

from dataclasses import replace

import pytest
from sqlmodel import select

from node.gateway.idle import Situation, idle_reason
from node.gateway.jobs import set_flag
from node.gateway.ports import PAUSED_FLAG
from node.gateway.settings import load
from node.gateway.stats import badges
from node.gateway.storage.store import MICROSECONDS
from node.gateway.storage.tables import Worker
from tests.gateway.volunteers import API, enrol

CALM = Situation("v3", 0, 9, 4, 0, 7, 24, 0, 0, None, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": None, "errors": ("The text is missing.",)}, "no version of the model yet. The text is missing."),
        ({"paused": "3 versions in a row got worse"}, "paused: 3 versions"),
        (
            {"accepted": 5, "aggregator_age": 999},
            "5 accepted updates wait for the aggregator, which last ran 999 s",
        ),
        ({"accepted": 5, "aggregator_age": None}, "never ran"),
        ({"workers": 0, "active": 0}, "No volunteer has registered yet."),
        ({"active": 0, "last_seen_age": 500}, "the last one was seen 500 s ago"),
        ({"quarantined": 4}, "Every connected volunteer (4) is in quarantine."),
        ({"pending": 0, "errors": ("The job prepare fails.",)}, "There are no batches. The job prepare fails."),
        ({"held": 2}, "2 uploads wait for a replica"),
        ({}, "Volunteers are connected (4), and none has asked"),
    ],
)
def test_the_reason(changes, says, tmp_path):
    assert says in idle_reason(replace(CALM, **changes), load(tmp_path))


@pytest.mark.parametrize("changes", [{"leases": 1}, {"leases": 1, "held": 3, "pending": 0}, {"accepted": 10}])
def test_nothing_is_said_where_something_happens(changes, tmp_path):
    assert idle_reason(replace(CALM, **changes), load(tmp_path)) == ""


def test_the_figures_say_it_as_it_becomes_true(api, gateway, clock):
    def reason():
        return gateway.statistics.everything().idle_reason

    assert reason() == "No volunteer has registered yet."
    ada = enrol(api)
    assert "none has asked for a batch" in reason()
    offer = ada.request()
    assert reason() == ""
    ada.post(f"/batch/{offer['batch_id']}/release")
    with gateway.storage.write() as session:
        row = session.exec(select(Worker)).one()
        row.quarantined_until = clock.now + 60 * MICROSECONDS
        session.add(row)
    assert "(1) is in quarantine" in reason()
    clock.advance(10_000)
    assert "was seen 10000 s ago" in reason()
    with gateway.storage.write() as session:
        set_flag(session, PAUSED_FLAG, {"paused": True, "reason": "loss rose"}, clock.now)
    assert reason() == "Aggregation is paused: loss rose."


def test_badges():
    assert [badges(n) for n in (999, 1_000, 10_000, 123_456)] == [[], ["1K"], ["1K", "10K"], ["1K", "10K", "100K"]]


def test_metrics_say_the_same(api):
    enrol(api)
    lines = api.get("/metrics").text.splitlines()
    assert "ponw_gateway_workers 1.0" in lines and "ponw_gateway_version 0.0" in lines
    assert any(line.startswith("ponw_gateway_request_seconds_bucket") for line in lines)
    assert api.get("/health").json() == {"status": "ok"}
    assert api.get(f"{API}/leaderboard").json()[0]["rank"] == 1
