"""The API as a whole: from a registration to a new version of the model, on both databases."""

from __future__ import annotations

import hashlib

import pytest

from node.gateway.problems import MEDIA_TYPE
from tests.gateway.volunteers import API, enrol


def runs(gateway):
    """The background jobs by name, run by hand: no waiting."""
    return {job.name: job.run for job in gateway.jobs(lambda: gateway.workshop)}


def problem(answer, status, code):
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["status"] == status and answer.json()["detail"]
    return answer.json()


@pytest.fixture
def joining(open_gateways, database_url):
    """Nothing is trained again; two updates make a version."""
    return open_gateways(database_url, recompute_new=0, recompute_trusted=0, aggregate_updates=2, codec="int8")


@pytest.mark.parametrize("gateway", ["joining"], indirect=True)
def test_from_registration_to_a_new_version(api, gateway, tmp_path):
    jobs, shop = runs(gateway), gateway.workshop
    assert jobs["prepare"]() == 6
    ada, bob = enrol(api, username="Ada"), enrol(api)
    offers = [person.request() for person in (ada, bob)]
    assert offers[0]["batch_id"] == offers[1]["batch_id"] and offers[0]["lease_id"] != offers[1]["lease_id"]
    assert ada.request() == offers[0], "asking again gives the same lease"
    body = ada.train(shop, offers[0], tmp_path)
    first = ada.upload(body)
    assert first.status_code == 200, first.text
    assert first.json()["state"] == "held"
    assert ada.upload(body).json() == first.json(), "the same upload, the same receipt"
    second = bob.upload(bob.train(shop, offers[1], tmp_path))
    assert second.json()["state"] == "accepted", second.text
    assert ada.get(f"/gradients/{first.json()['update_id']}").json()["state"] == "accepted"
    problem(bob.get(f"/gradients/{first.json()['update_id']}"), 404, "unknown-update")

    assert jobs["aggregate"]().name == "v1"
    current = api.get(f"{API}/model/current").json()
    assert (current["version"], current["parent"], current["source"]) == ("v1", "v0", "aggregation")
    genesis = api.get(f"{API}/model/versions").json()[1]
    assert current["metrics"]["heldout_loss"] < genesis["metrics"]["heldout_loss"]
    downloaded = ada.get("/model/download/v1")
    assert hashlib.sha256(downloaded.content).hexdigest() == current["sha256"]

    trace = api.get(f"{API}/batch/{offers[0]['batch_id']}/trace").json()
    assert trace["state"] == "completed" and [line["state"] for line in trace["updates"]] == ["aggregated"] * 2
    assert len({line["aggregation_id"] for line in trace["updates"]}) == 1
    mine = ada.get("/worker/stats").json()
    assert (mine["batches"], mine["rank"], mine["recent"][0]["state"]) == (1, 1, "aggregated")
    leaders = api.get(f"{API}/leaderboard").json()
    assert "Ada" in {row["username"] for row in leaders} and [row["rank"] for row in leaders] == [1, 1]
    stats = api.get(f"{API}/stats/global").json()
    assert (stats["version"], stats["batches_completed"], stats["aggregations"]) == ("v1", 1, 1)
    assert stats["loss_history"][-1][0] == 1 and stats["tokens"] == 2 * 8 * shop.config.seq_len
    assert ada.request()["model_version"] == "v1"


@pytest.mark.parametrize("gateway", ["joining"], indirect=True)
def test_the_operator_goes_back(api, gateway, tmp_path):
    ada = enrol(api)
    operator = {"authorization": f"Bearer {(gateway.settings.home / 'operator.token').read_text()}"}
    rollback = f"{API}/model/rollback/v0"
    problem(api.post(rollback), 401, "bad-token")
    problem(api.post(rollback, headers=ada.headers), 403, "operator-only")
    problem(api.post(rollback, headers=operator), 409, "conflict")
    problem(api.post(f"{API}/model/rollback/v7", headers=operator), 404, "unknown-version")
    with gateway.storage.write() as session:
        stored = gateway.registry.store(gateway.registry.weights(gateway.registry.current()))
        gateway.registry.publish(session, stored, base=0, source="aggregation", metrics={})
    offer = ada.request()
    assert offer["model_version"] == "v1"
    body = ada.train(gateway.workshop, offer, tmp_path)
    made = api.post(rollback, headers=operator)
    assert made.status_code == 201 and made.json()["version"] == "v2" and made.json()["source"] == "rollback"
    assert made.json()["sha256"] == api.get(f"{API}/model/versions").json()[-1]["sha256"]
    problem(ada.upload(body), 409, "lease-ended")
    assert ada.request()["model_version"] == "v2"


def test_ranges_and_conditions(api, gateway):
    ada = enrol(api)
    current = api.get(f"{API}/model/current").json()
    url, size, etag = current["url"], current["size"], f'"{current["sha256"]}"'
    whole = ada.get(url)
    assert whole.headers["etag"] == etag and whole.headers["accept-ranges"] == "bytes"
    for asked, start, stop in (("0-0", 0, 1), ("5-9", 5, 10), (f"{size - 3}-", size - 3, size), ("-4", size - 4, size)):
        part = ada.get(url, range=f"bytes={asked}")
        assert part.status_code == 206 and part.content == whole.content[start:stop]
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    joined = ada.get(url, range="bytes=0-99").content + ada.get(url, range="bytes=100-", **{"if-range": etag}).content
    assert joined == whole.content
    changed = ada.get(url, range="bytes=100-", **{"if-range": '"' + "0" * 64 + '"'})
    assert changed.status_code == 200 and changed.content == whole.content
    for ignored in ("bytes=a-b", "items=0-1", "bytes=0-1,4-5", "bytes=9-5", "bytes=-"):
        assert ada.get(url, range=ignored).status_code == 200
    for outside in (f"bytes={size}-", "bytes=-0"):
        assert problem(ada.get(url, range=outside), 416, "range-not-satisfiable")
        assert ada.get(url, range=outside).headers["content-range"] == f"bytes */{size}"
    assert ada.get(url, **{"if-none-match": etag}).status_code == 304
    assert ada.get(url, **{"if-none-match": f'"other", W/{etag}'}).status_code == 304
    assert ada.get(url, **{"if-none-match": '"other"'}).status_code == 200
    head = api.head(url, headers=ada.headers)
    assert head.status_code == 200 and head.headers["content-length"] == str(size) and not head.content
    problem(api.get(url), 401, "bad-token")
    problem(ada.get("/model/download/v99"), 404, "unknown-version")


def test_every_failure_is_a_problem(api, gateway):
    ada = enrol(api)
    problem(api.get("/nowhere"), 404, "not-found")
    assert problem(api.delete(f"{API}/auth/login"), 405, "method-not-allowed")
    problem(api.post(f"{API}/auth/login", json={"api_key": "short"}), 422, "invalid-request")
    problem(
        api.post(f"{API}/auth/login", content=b"{", headers={"content-type": "application/json"}),
        422,
        "invalid-request",
    )
    problem(
        api.post(f"{API}/auth/login", content=b"\xff", headers={"content-type": "application/json"}),
        422,
        "invalid-request",
    )
    problem(api.get(f"{API}/worker/stats"), 401, "bad-token")
    problem(api.get(f"{API}/worker/stats", headers={"authorization": "Bearer nonsense"}), 401, "bad-token")
    problem(api.get(f"{API}/batch/nothing/trace"), 422, "invalid-request")
    nobody = "00000000-0000-4000-8000-000000000000"
    problem(api.get(f"{API}/batch/{nobody}/trace"), 404, "unknown-batch")
    problem(ada.post(f"/batch/{nobody}/release"), 404, "unknown-batch")
    offer = ada.request()
    bob = enrol(api)
    problem(bob.get(offer["data_url"]), 403, "not-your-batch")
    problem(bob.post(f"/batch/{offer['batch_id']}/release"), 409, "lease-ended")
    problem(ada.post("/batch/request", {"samples": 0}), 422, "invalid-request")
    problem(ada.post("/batch/request", {"unknown": 1}), 422, "invalid-request")
    assert ada.post(f"/batch/{offer['batch_id']}/release").status_code == 204
    problem(ada.post(f"/batch/{offer['batch_id']}/release"), 409, "lease-ended")
    problem(ada.upload(b"PVU2"), 422, "bad-header")
    problem(ada.upload(b"PVU1"), 422, "bad-header")
    put = api.put(f"{API}/batch/{offer['batch_id']}/checkpoint/3", content=b"x", headers=ada.headers)
    assert put.headers["content-type"] == MEDIA_TYPE and put.status_code == 409
    put = api.put(f"{API}/gradients/{nobody}/residual", content=b"x", headers=ada.headers)
    problem(put, 404, "unknown-update")


def test_bodies_are_bounded_before_they_are_read(api, gateway):
    ada = enrol(api)
    large = b'"' + b"a" * 70_000 + b'"'
    headers = {"content-type": "application/json"}
    problem(api.post(f"{API}/auth/login", content=large, headers=headers), 413, "body-too-large")
    problem(api.post(f"{API}/auth/login", content=iter([large]), headers=headers), 413, "body-too-large")
    too_long = {**ada.headers, "content-length": str(gateway.upload_limit + 1)}
    problem(api.post(f"{API}/gradients/upload", content=b"PVU1", headers=too_long), 413, "body-too-large")
    state = iter([b"\0" * (gateway.weights_limit * 3 + 1)])
    url = f"{API}/batch/00000000-0000-4000-8000-000000000000/checkpoint/1"
    problem(api.put(url, content=state, headers=ada.headers), 413, "body-too-large")
    assert not list(gateway.settings.spool.iterdir()), "nothing is left in the spool"
