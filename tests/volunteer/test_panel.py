"""The local control API: the owner's page may do everything, anybody else's nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Volunteer, make_volunteer, until
from seam import SmallGateway

from node.volunteer import settings
from node.volunteer.api import Gateway
from node.volunteer.panel import Panel, serve_panel
from node.volunteer.panel_schemas import Limits, LogLine, PanelState


@pytest.fixture
def one(tmp_path: Path, url: str) -> Volunteer:
    """A volunteer whose session does not run."""
    return make_volunteer(tmp_path, url)


@pytest.fixture
def page(one: Volunteer) -> Iterator[httpx.Client]:
    """A client as the panel's own page is one."""
    gateway = Gateway(one.home.url, one.home.key(), one.control, one.board, attempts=1)
    panel = Panel(one.control, one.board, one.desk, gateway)
    with serve_panel(panel, "127.0.0.1", 0) as address:
        base, _, token = address.partition("/#token=")
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=base, headers=headers, trust_env=False) as client:
            yield client
    gateway.close()


def test_buttons_and_limits(page: httpx.Client, one: Volunteer, tmp_path: Path) -> None:
    assert PanelState.model_validate_json(page.get("/local/v1/state").content).wish == "start"
    assert page.post("/local/v1/pause").json()["wish"] == one.control.wish == "pause"
    assert page.post("/local/v1/dance").status_code == 404
    changed = Limits(cpu_share=0.5, hours="22:00-06:00")
    answer = page.put("/local/v1/limits", json=changed.model_dump())
    assert Limits.model_validate(answer.json()) == changed == one.desk.limits()
    assert settings.load(tmp_path).hours == "22:00-06:00"
    assert Limits.model_validate(page.get("/local/v1/limits").json()) == changed
    refused = page.put("/local/v1/limits", json={"cpu_share": 7})
    assert refused.status_code == 422
    assert "cpu_share" in refused.json()["detail"]
    assert page.post("/local/v1/finish").json()["wish"] == "finish"
    assert page.post("/local/v1/start").json()["wish"] == "finish", "finishing is final"


@pytest.mark.parametrize("path", ["/local/v1/state", "/local/v1/events", "/local/v1/limits"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer é".encode()}, 401),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1:1"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_strangers_are_refused(page: httpx.Client, path: str, headers: dict[str, str], status: int) -> None:
    answer = page.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_site_cannot_press_buttons(page: httpx.Client, one: Volunteer) -> None:
    for headers in ({"origin": "http://evil.example"}, {"host": f"rebound.example:{page.base_url.port}"}):
        assert page.post("/local/v1/finish", headers=headers).status_code == 403
    assert page.get("/", headers={"host": "evil.example"}).status_code == 403
    assert one.control.wish == "start"
    own = f"http://127.0.0.1:{page.base_url.port}"
    assert page.post("/local/v1/pause", headers={"origin": own}).status_code == 200
    assert "access-control-allow-origin" not in page.get("/local/v1/state", headers={"origin": own}).headers


def test_bodies_are_bounded(page: httpx.Client) -> None:
    assert page.put("/local/v1/limits", content=b" " * (1 << 15)).status_code == 413
    assert page.put("/local/v1/limits", content=iter([b"{", b"}"])).status_code == 413


def test_events_follow_what_happens(page: httpx.Client, one: Volunteer) -> None:
    with page.stream("GET", "/local/v1/events", timeout=30) as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines) == "event: state"
        assert PanelState.model_validate_json(next(lines).removeprefix("data: ")).phase == "idle"
        one.board.log("something happened", "good")
        assert next(lines) == "event: log"
        assert LogLine.model_validate_json(next(lines).removeprefix("data: ")).text == "something happened"
        assert next(lines) == "event: state"
        assert json.loads(next(lines).removeprefix("data: "))["log"][-1]["text"] == "something happened"


def test_the_gateways_figures_are_passed_on_and_nothing_else(page: httpx.Client, small: SmallGateway) -> None:
    assert page.get("/api/v1/leaderboard").json()[0]["username"] == "ada"
    assert page.get("/api/v1/stats/global").json()["version"] == "v0"
    for path in ("/api/v1/worker/stats", "/api/v1/auth/challenge", "/api/v1/batch/x/data", "/api/v1/../worker/stats"):
        assert page.get(path).status_code in {403, 404}
    assert not small.asked("/auth/challenge")


def test_a_running_session_obeys_the_page(page: httpx.Client, one: Volunteer, small: SmallGateway) -> None:
    small.steps = 16
    page.post("/local/v1/pause")
    with one.running() as thread:
        until(lambda: page.get("/local/v1/state").json()["reason"] == "paused", "the pause")
        assert not small.leases
        page.post("/local/v1/start")
        until(lambda: page.get("/local/v1/state").json()["batch"], "a batch")
        page.post("/local/v1/finish")
        thread.join(60)
    assert len(small.counted) >= 1
    assert page.get("/local/v1/state").json()["phase"] == "stopped"
