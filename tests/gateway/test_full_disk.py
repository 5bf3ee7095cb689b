"""A gateway's disk runs full: uploads are refused in words, and count once there is room again."""

from __future__ import annotations

import os
import subprocess

import pytest
from starlette.testclient import TestClient

from node.gateway.app import create_app
from tests.gateway.volunteers import API, enrol

pytestmark = pytest.mark.process


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes where the gateway's home stands: database, blobs and spool."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", home], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield home
    subprocess.run(["umount", "-l", home], check=True)


def fill(path):
    """Take all the room there is."""
    with path.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError:
            return


def test_a_full_disk_is_said_and_nothing_is_lost(small_disk, open_gateways, micro_workshop, tmp_path):
    gateway = open_gateways(
        replicas=1, recompute_new=0, recompute_trusted=0, recompute_unlike=0, aggregate_updates=1, sizes=(8,),
        prepared=2, codec="int8",
    )  # fmt: skip
    jobs = {job.name: job.run for job in gateway.jobs(lambda: micro_workshop)}
    with TestClient(create_app(gateway), raise_server_exceptions=False) as api:
        person = enrol(api)
        body = person.train(micro_workshop, person.request(), tmp_path)
        fill(small_disk / "filler")
        refused = person.upload(body)
        assert refused.status_code in {503, 507}, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert api.get("/health").status_code in {200, 503}
        (small_disk / "filler").unlink()
        taken = person.upload(body)
        assert taken.json()["state"] == "accepted", taken.text
        assert person.upload(body).json()["update_id"] == taken.json()["update_id"]
        assert jobs["aggregate"]().name == "v1"
        assert jobs["aggregate"]() is None
        assert api.get(f"{API}/stats/global").json()["aggregations"] == 1
