"""`ponw gateway` as an operator runs it: real processes, PostgreSQL, Redis, and an end in good order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from consensus.model.config import PRESETS
from node.training.work import Workshop
from tests.gateway.test_gateway_live import open_socket, until
from tests.gateway.volunteers import API, enrol

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 600


def ponw(environment, *words):
    command = [sys.executable, "-m", "node.cli.app", *words]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


@contextmanager
def running(environment, log, *words):
    """A gateway's process and its URI."""
    command = [sys.executable, "-m", "node.cli.app", "gateway", "run", "--listen", "127.0.0.1:0", *words]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(r"^address: +(\S+)$", log.read_text(), re.M)) is None:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


@pytest.fixture
def environment(tmp_path, micro_workshop):
    given = {
        "PONW_HOME": str(tmp_path / "home"),
        "PONW_GATEWAY_DATA_DIR": str(micro_workshop.dataset.folder),
        "PONW_GATEWAY_SIZES": "[8]",
        "PONW_GATEWAY_PREPARED": "2",
        "PONW_GATEWAY_POW_DIFFICULTY": "4",
        "PONW_GATEWAY_RECOMPUTE_NEW": "0",
        "PONW_GATEWAY_RECOMPUTE_TRUSTED": "0",
        "PONW_GATEWAY_AGGREGATE_UPDATES": "2",
    }
    return {**os.environ, **given}


def test_volunteers_train_the_tiny_model_through_several_processes(
    environment, tmp_path, micro_workshop, postgres_url, redis_url
):
    environment |= {"PONW_GATEWAY_DATABASE_URL": postgres_url, "PONW_GATEWAY_REDIS_URL": redis_url}
    shop = Workshop(PRESETS["tiny"], micro_workshop.engine, micro_workshop.dataset)
    log = tmp_path / "log"
    with running(environment, log, "--workers", "2", "--codec", "int8") as (process, uri):
        with (
            httpx.Client(base_url=uri, timeout=PATIENCE_S) as api,
            open_socket(uri, open_timeout=PATIENCE_S) as watcher,
        ):
            until(watcher, "stats")
            people = [enrol(api, username=name) for name in ("Ada", "Bob")]
            offers = [person.request() for person in people]
            assert offers[0]["batch_id"] == offers[1]["batch_id"]
            bodies = [p.train(shop, offer, tmp_path) for p, offer in zip(people, offers, strict=True)]
            states = [p.upload(body).json()["state"] for p, body in zip(people, bodies, strict=True)]
            assert states == ["held", "accepted"]
            assert until(watcher, "version")["detail"]["version"] == "v1"
            assert api.get(f"{API}/stats/global").status_code == 200
            assert "ponw_gateway_uploads_total" in api.get("/metrics").text
        listed = json.loads(ponw(environment, "gateway", "versions", "--format", "json").stdout)
        assert [row["version"] for row in listed] == ["v1", "v0"] and listed[0]["updates"] == 2
        back = ponw(environment, "gateway", "rollback", "v0", "--reason", "a test")
        assert back.returncode == 0 and "v2 is active" in back.stdout, back.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    assert "Ended." in log.read_text()
    rows = json.loads(ponw(environment, "gateway", "workers", "--format", "json").stdout)
    assert {row["username"]: row["batches"] for row in rows} == {"Ada": 1, "Bob": 1}
    status = json.loads(ponw(environment, "gateway", "status", "--format", "json").stdout)
    assert (status["version"], status["aggregations"]) == ("v2", 1)


def test_a_killed_gateway_goes_on_where_it_was(environment, tmp_path):
    log = tmp_path / "log"
    with running(environment, log) as (process, uri), httpx.Client(base_url=uri, timeout=PATIENCE_S) as api:
        ada = enrol(api)
        offer = ada.request()
        process.kill()
        process.wait(PATIENCE_S)
    with running(environment, log) as (process, uri), httpx.Client(base_url=uri, timeout=PATIENCE_S) as api:
        ada.api = api
        assert ada.request() == offer, "token, lease and text outlive the process"
        assert ada.get(offer["data_url"]).status_code == 200
        assert api.get(f"{API}/model/current").json()["version"] == "v0"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
