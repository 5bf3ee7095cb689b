"""Keys, proof of work, tokens and rate limits."""

from __future__ import annotations

import asyncio

import pytest

from node.gateway.auth import KEPT_SECONDS, key_hash, work_bits
from node.gateway.limits import RateLimits, address_key
from node.gateway.problems import CATALOGUE, Code, ProblemError
from node.gateway.settings import load
from node.gateway.storage.tables import UsedChallenge, Worker
from tests.gateway.conftest import EASY
from tests.gateway.test_gateway_api import problem
from tests.gateway.volunteers import API, enrol, new_key, solve


@pytest.fixture
def gateway(request, open_gateways):
    return open_gateways(**getattr(request, "param", {"pow_difficulty": 8}))


def register(api, key, challenge, **changes):
    nonce = solve(challenge, key)
    return api.post(
        f"{API}/auth/register", json={"api_key": key, "ticket": challenge["ticket"], "nonce": nonce, **changes}
    )


def test_each_code_has_help():
    assert set(CATALOGUE) == set(Code)
    for about in CATALOGUE.values():
        assert about.help.endswith(".") and about.title and 400 <= about.status < 600


def test_a_registration_costs_work_and_a_ticket_is_good_once(api, gateway, clock):
    challenge = api.get(f"{API}/auth/challenge").json()
    key = new_key()
    wrong = next(n for n in range(1 << 20) if work_bits(bytes.fromhex(challenge["challenge"]), key_hash(key), n) < 8)
    problem(register(api, key, challenge, nonce=wrong), 403, "proof-of-work-missing")
    problem(register(api, key, challenge, ticket=challenge["ticket"][:-2] + "xx"), 403, "bad-ticket")
    problem(register(api, key, challenge, ticket="nonsense"), 403, "bad-ticket")
    assert register(api, key, challenge).status_code == 201
    other = new_key()
    problem(register(api, other, challenge), 409, "ticket-used")
    problem(register(api, key, api.get(f"{API}/auth/challenge").json()), 409, "already-registered")
    late = api.get(f"{API}/auth/challenge").json()
    clock.advance(gateway.settings.ticket_seconds + 1)
    problem(register(api, other, late), 403, "bad-ticket")
    clock.advance(KEPT_SECONDS)
    gateway.accounts.sweep()
    with gateway.storage.read() as session:
        assert session.get(UsedChallenge, bytes.fromhex(challenge["challenge"])) is None


def test_the_work_of_one_key_is_not_another_s(api):
    challenge = api.get(f"{API}/auth/challenge").json()
    one = new_key()
    nonce = solve(challenge, one)
    others = [new_key() for _ in range(200)]
    good = [key for key in others if work_bits(bytes.fromhex(challenge["challenge"]), key_hash(key), nonce) >= 8]
    assert len(good) < 20


def test_only_the_key_s_hash_is_kept(api, gateway):
    ada = enrol(api)
    with gateway.storage.read() as session:
        row = session.get_one(Worker, ada.worker_id)
    assert row.key_hash == key_hash(ada.key)
    stored = b"".join(path.read_bytes() for path in gateway.settings.home.rglob("*") if path.is_file())
    assert ada.key.encode() not in stored and ada.token.encode() not in stored


def test_tokens_expire_and_belong_to_one_gateway(api, gateway, clock, open_gateways, tmp_path):
    ada = enrol(api)
    assert ada.get("/worker/stats").status_code == 200
    problem(api.get(f"{API}/worker/stats", headers={"authorization": f"Bearer {ada.token[:-1]}"}), 401, "bad-token")
    problem(api.get(f"{API}/worker/stats", headers={"authorization": f"Basic {ada.token}"}), 401, "bad-token")
    challenge = api.get(f"{API}/auth/challenge").json()
    problem(
        api.get(f"{API}/worker/stats", headers={"authorization": f"Bearer {challenge['ticket']}"}), 401, "bad-token"
    )
    clock.advance(gateway.settings.token_seconds + 1)
    answer = ada.get("/worker/stats")
    problem(answer, 401, "bad-token")
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(api.post(f"{API}/auth/login", json={"api_key": new_key()}), 401, "unknown-api-key")


STRICT = {"rate_register": "3/hour", "rate_worker": "4/minute", "rate_download": "1/hour"}


@pytest.mark.parametrize("gateway", [STRICT], indirect=True)
def test_calls_are_limited(api, gateway):
    ada = enrol(api)
    assert [ada.get("/worker/stats").status_code for _ in range(6)] == [200] * 4 + [429] * 2
    limited = ada.get("/worker/stats")
    problem(limited, 429, "rate-limited")
    assert 1 <= int(limited.headers["retry-after"]) <= 61
    assert ada.get("/model/download/v0").status_code == 200
    problem(ada.get("/model/download/v0"), 429, "rate-limited")
    assert api.get(f"{API}/auth/challenge").status_code == 200
    problem(api.get(f"{API}/auth/challenge"), 429, "rate-limited")
    assert api.get(f"{API}/stats/global").status_code == 200


def limits(tmp_path, **given):
    return RateLimits(load(tmp_path / "limits", **{**EASY, "rate_login": "3/hour", **given}))


async def calls(limited, count, who="1.2.3.4"):
    allowed = 0
    for _ in range(count):
        try:
            await limited.require("login", who)
        except ProblemError as error:
            assert error.code is Code.RATE
        else:
            allowed += 1
    return allowed


def test_processes_share_limits_in_redis(tmp_path, redis_url):
    async def both():
        one, other = limits(tmp_path, redis_url=redis_url), limits(tmp_path, redis_url=redis_url)
        return await calls(one, 2) + await calls(other, 5), await calls(other, 2, "5.6.7.8")

    assert asyncio.run(both()) == (3, 2)


def test_without_redis_each_process_counts_by_itself(tmp_path):
    lost = limits(tmp_path, redis_url=f"unix://{tmp_path}/nothing.sock")
    assert asyncio.run(calls(lost, 6)) == 3


def test_addresses_are_counted_as_networks():
    assert address_key("1.2.3.4") == "1.2.3.4" == address_key("::ffff:1.2.3.4")
    assert address_key("2001:db8:1:2:3:4:5:6") == address_key("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert address_key("2001:db8:1:3::9") != address_key("2001:db8:1:2::9")
    assert len(address_key("x" * 1000)) == 64
