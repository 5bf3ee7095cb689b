"""What a node's home says through the dashboard's interface, and to whom."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from consensus.commitments.claim import Claim, ClaimKind
from node import config
from node.dashboard.api import add_dashboard, node_router
from node.dashboard.asking import inference_router
from node.dashboard.chain import Chain
from node.dashboard.home import LOSSES_SHOWN, Home
from node.dashboard.kept import Kept
from node.dashboard.market import Market
from node.dashboard.pages import HEADERS, PAGES, STATIC, pages_router
from node.modes.view import NetworkView, NodeRow, Range, write_view
from node.storage.store import Store
from node.storage.tables import Audit, ClaimRecord, Leaf, Round
from node.training.snapshot import Reporter

API = "/dashboard/api/v1"
ME, OTHER = "0x" + "ab" * 20, "0x" + "cd" * 20
LOCAL = {"base_url": "http://127.0.0.1:9440", "client": ("127.0.0.1", 50_000)}


def application(home: Home, folder: Path, public: bool = False, token: str = "t" * 43) -> FastAPI:
    chain = Chain(config.load(folder, rpc_url="embedded"))
    app = FastAPI()
    routers = [node_router(home, chain, public), inference_router(Market(chain), None, token)]
    add_dashboard(app, routers, {"node": True, "inference": True}, public)
    return app


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestClient]:
    with closing(Home(tmp_path)) as home:
        yield TestClient(application(home, tmp_path), **LOCAL)  # type: ignore[arg-type]


def record(folder: Path, steps: int = 3) -> Claim:
    """A round with a claim of this node and `steps` losses: 5.0, 4.5, …"""
    claim = Claim(ClaimKind.TRAIN, 1, bytes.fromhex(ME[2:]), *(bytes([n]) * 32 for n in range(6)), 3, 96, 0, 4, 1)
    with Store.open(folder) as store:
        store.save_round(Round(number=1, start_root=b"\1" * 32, randomness=b"\2" * 32, phase="train",
                               claim_deadline=10, challenge_deadline=20))  # fmt: skip
        for step in range(steps):
            bits = struct.unpack("<I", struct.pack("<f", 5.0 - step / 2))[0]
            store.append_leaf(Leaf(round=1, step=step, state_root=b"\3" * 32, batch_root=b"\4" * 32, loss_bits=bits))
        store.plan_claim(ClaimRecord(hash=b"\7" * 32, round=1, node=ME, kind=1, own=True,
                                     body=json.dumps(claim.to_json()), state="planned"))  # fmt: skip
        store.save_audit(Audit(claim_hash=b"\7" * 32, round=1, result="wrong", detail="step 2"))
    return claim


def test_a_home_where_no_node_ran_is_empty_and_says_why(page: TestClient) -> None:
    status = page.get(f"{API}/status").json()
    assert status["state"] == "never"
    assert "ponw run" in status["idle_reason"]
    assert page.get(f"{API}/network").json()["nodes"] == []
    assert page.get(f"{API}/rounds").json() == {"rounds": [], "losses": [], "first_step": 0}
    assert page.get(f"{API}/claims").json() == {"claims": [], "states": {}}


@pytest.mark.parametrize(
    ("activity", "stopped", "age", "state", "words"),
    [
        ("training", False, 0, "running", ""),
        ("training with 2 others", False, 0, "running", ""),
        ("waiting for the window to close", False, 0, "running", "waiting for the window to close"),
        ("waiting for the chain", False, 0, "running", "no answer"),
        ("training", False, 60, "silent", "said nothing for 60 s"),
        ("stopped", True, 60, "stopped", "has stopped"),
    ],
)
def test_the_reason_why_no_step_runs(
    tmp_path: Path, activity: str, stopped: bool, age: float, state: str, words: str
) -> None:
    now = time.time()
    reporter = Reporter(tmp_path, clock=lambda: now - age)
    reporter.update(activity=activity, why="no answer", stopped=stopped, collected_wei=10**30)
    with closing(Home(tmp_path, clock=lambda: now)) as home:
        status = home.status()
    assert (status.state, status.collected_wei) == (state, str(10**30))
    assert words in status.idle_reason
    assert (status.idle_reason == "") is (words == "")


def test_nodes_are_counted_by_mode_and_tier(tmp_path: Path, page: TestClient) -> None:
    nodes = [
        NodeRow(account=ME, mode="solo", layer_us=5_000, held=Range(start=0, stop=4)),
        NodeRow(account=OTHER, mode="async", layer_us=0),
        NodeRow(account="0x" + "ef" * 20, mode="async", layer_us=60_000, presence="offline"),
    ]
    write_view(tmp_path, NetworkView(layers=4, nodes=nodes, updated=7.0, account=ME))
    found = page.get(f"{API}/network").json()
    assert (found["online"], found["modes"]) == (2, {"solo": 1, "async": 1})
    assert found["tiers"] == {"T1": 1, "unmeasured": 1}
    assert [node["speed"] for node in found["nodes"]] == [1, 0, 3]
    assert [row["name"] for row in found["layers"]][::5] == ["embedding", "head"]
    assert found["layers"][5]["scarcity"] > found["layers"][0]["scarcity"] == 0


def test_rounds_losses_and_claims_come_from_the_database(tmp_path: Path, page: TestClient) -> None:
    record(tmp_path)
    rounds = page.get(f"{API}/rounds").json()
    assert rounds["losses"] == [5.0, 4.5, 4.0]
    assert rounds["rounds"][0] | {"steps": 3, "first_loss": 5.0, "last_loss": 4.0, "claims": 1} == rounds["rounds"][0]
    claims = page.get(f"{API}/claims").json()
    assert claims["states"] == {"planned": 1}
    (claim,) = claims["claims"]
    assert (claim["kind"], claim["own"], claim["audit"]) == ("train", True, "wrong")
    assert claim["hash"] == "0x" + "07" * 32


def test_only_the_newest_losses_are_sent(tmp_path: Path, page: TestClient) -> None:
    record(tmp_path, LOSSES_SHOWN + 5)
    rounds = page.get(f"{API}/rounds").json()
    assert (len(rounds["losses"]), rounds["first_step"]) == (LOSSES_SHOWN, 5)


def test_a_chain_that_cannot_be_asked_is_a_problem_in_words(page: TestClient) -> None:
    answer = page.get(f"{API}/disputes")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "own process" in answer.json()["title"]
    assert "own process" in page.get(f"{API}/inference").json()["why_not"]


def test_only_this_machine_is_answered_under_a_local_name(tmp_path: Path) -> None:
    with closing(Home(tmp_path)) as home:
        app = application(home, tmp_path)
        away = TestClient(app, base_url=LOCAL["base_url"], client=("192.0.2.7", 1))  # type: ignore[arg-type]
        named = TestClient(app, base_url="http://evil.example", client=("127.0.0.1", 1))
        for client in (away, named):
            for path in (f"{API}/status", "/dashboard/", "/dashboard/network", "/dashboard/dashboard.json"):
                assert client.get(path).status_code == 403, path
        here = TestClient(app, **LOCAL)  # type: ignore[arg-type]
        assert here.get(f"{API}/status", headers={"origin": "http://evil.example"}).status_code == 403
        assert here.get(f"{API}/status", headers={"origin": "http://127.0.0.1:9440"}).status_code == 200


def test_a_public_dashboard_is_for_everybody_but_not_for_other_sites(tmp_path: Path) -> None:
    with closing(Home(tmp_path)) as home:
        app = application(home, tmp_path, public=True)
        away = TestClient(app, base_url="http://node.example", client=("192.0.2.7", 1))
        assert away.get(f"{API}/status").status_code == 200
        assert away.get("/dashboard/").status_code == 200
        assert away.get(f"{API}/status", headers={"origin": "http://evil.example"}).status_code == 403
        # Whatever is public, nobody from elsewhere has answers paid for.
        assert away.post(f"{API}/inference/ask", json={}).status_code == 403


@pytest.mark.parametrize(("token", "status"), [("", 401), ("x" * 43, 401), ("t" * 43, 503)])
def test_the_nodes_wallet_needs_the_token(page: TestClient, token: str, status: int) -> None:
    body = {"prompt": "Once", "max_fee_wei": "1"}
    answer = page.post(f"{API}/inference/ask", json=body, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": ""},
        {"prompt": "x" * 40_000},
        {"max_tokens": 0},
        {"max_tokens": 5000},
        {"max_fee_wei": "-1"},
        {"x": 1},
    ],
)
def test_a_question_is_bounded(page: TestClient, change: dict[str, object]) -> None:
    body = {"prompt": "Once", "max_fee_wei": "1"} | change
    answer = page.post(f"{API}/inference/ask", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert answer.json()["title"].startswith(next(iter(change)))


def test_an_answer_that_was_not_prepared_is_not_relayed(page: TestClient) -> None:
    from starlette.websockets import WebSocketDisconnect

    here = {"host": "127.0.0.1:9440"}
    for request in ("0x" + "00" * 32, "0x1"):
        place = f"{API}/inference/answers/{request}"
        with pytest.raises(WebSocketDisconnect) as refused, page.websocket_connect(place, headers=here):
            pass
        assert refused.value.code == 1008


def test_pages_come_under_a_policy_without_inline_code(page: TestClient) -> None:
    for name in PAGES:
        answer = page.get(f"/dashboard/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", ""), "only the exact kernels may be compiled"
    index = (STATIC / "index.html").read_text()
    assert "<style" not in index
    assert "http" not in index.replace("http-equiv", "")
    script = next((STATIC / "assets").glob("index-*.js")).name
    kept = page.get(f"/dashboard/assets/{script}")
    assert "immutable" in kept.headers["cache-control"]
    assert kept.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["../config.py", "%2e%2e/config.py", "assets/../../config.py", "assets/none.js", "no"])
def test_nothing_but_the_pages_files_is_served(path: str) -> None:
    app = FastAPI()
    app.include_router(pages_router({"node": True}))
    assert TestClient(app).get(f"/{path}").status_code == 404


def test_the_pages_are_told_what_is_behind_them(page: TestClient) -> None:
    expected = {"node": True, "gateway": False, "panel": False, "inference": True}
    assert page.get("/dashboard/dashboard.json").json() == expected
    with pytest.raises(ValueError, match="no such feature"):
        pages_router({"nodes": True})


def test_a_kept_value_is_made_again_when_it_is_old_or_failed() -> None:
    made: list[float] = []
    now = 0.0

    def make() -> int:
        made.append(now)
        if len(made) == 2:
            raise RuntimeError
        return len(made)

    kept = Kept(make, 5.0, lambda: now)
    assert [kept.get(), kept.get()] == [1, 1]
    now = 5.0
    with pytest.raises(RuntimeError):
        kept.get()
    assert kept.get() == 3
