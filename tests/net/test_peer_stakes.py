"""Stakes: from a real chain by plain JSON-RPC, from a file, and remembered while the source fails."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from economics.constants import MIN_STAKE
from node.errors import RpcError
from node.net.limits import STAKE_FRESH_SECONDS, STAKE_RETRY_SECONDS, STAKE_STALE_SECONDS
from node.net.stakes import ChainStakes, FileStakes, Stakes

if TYPE_CHECKING:
    from tests.conftest import Network

ACCOUNT = "0x" + "11" * 20


@pytest.mark.process
def test_stake_of_a_real_chain(network: Network) -> None:
    account = network.accounts[0]
    contracts = network.contracts(account)
    reader = ChainStakes(network.running.rpc_url, network.deployment.addresses.staking)
    assert reader.stake_of(account.address) == contracts.staking.account_of(account.address).active
    before = reader.stake_of(account.address)
    contracts.token.approve(network.deployment.addresses.staking, int(MIN_STAKE))
    contracts.staking.stake(int(MIN_STAKE))
    assert reader.stake_of(account.address) == before + int(MIN_STAKE)
    assert reader.stake_of(ACCOUNT) == 0


@pytest.mark.process
def test_contract_of_another_kind_and_silent_endpoint(network: Network) -> None:
    with pytest.raises(RpcError):
        ChainStakes(network.running.rpc_url, network.deployment.addresses.token).stake_of(ACCOUNT)
    with pytest.raises(RpcError):
        ChainStakes("http://127.0.0.1:9", ACCOUNT, 2.0).stake_of(ACCOUNT)


def test_file_of_stakes(tmp_path: Path) -> None:
    path = tmp_path / "stakes.json"
    assert FileStakes(path).stake_of(ACCOUNT) == 0
    path.write_text(json.dumps({ACCOUNT.upper().replace("0X", "0x"): 7}))
    assert FileStakes(path).stake_of(ACCOUNT) == 7
    path.write_text("[]")
    with pytest.raises(RpcError):
        FileStakes(path).stake_of(ACCOUNT)


class Scripted:
    """A reader that counts and can fail."""

    def __init__(self) -> None:
        self.calls, self.fails = 0, False

    def stake_of(self, account: str) -> int:
        self.calls += 1
        if self.fails:
            raise RpcError("down")
        return 100


def test_known_stake_is_remembered_then_forgotten() -> None:
    reader, now = Scripted(), [0.0]

    async def play() -> None:
        stakes = Stakes(reader, 100, lambda: now[0])
        assert not await stakes.may_write("")
        assert await stakes.may_write(ACCOUNT)
        assert await stakes.of(ACCOUNT) == 100
        assert reader.calls == 1
        reader.fails, now[0] = True, STAKE_FRESH_SECONDS + 1
        assert await stakes.may_write(ACCOUNT)
        assert reader.calls == 2
        now[0] = STAKE_STALE_SECONDS + 1
        assert not await stakes.may_write(ACCOUNT)
        reader.fails, now[0] = False, now[0] + STAKE_RETRY_SECONDS
        assert await stakes.may_write(ACCOUNT)

    trio.run(play)


class Silent:
    """A reader whose endpoint gives no answer until it is told to."""

    def __init__(self) -> None:
        self.calls, self.asked, self.answer = 0, threading.Semaphore(0), threading.Semaphore(0)

    def stake_of(self, account: str) -> int:
        self.calls += 1
        self.asked.release()
        assert self.answer.acquire(timeout=30)
        raise RpcError("no answer")


def test_one_asks_a_silent_endpoint_and_nobody_else_waits() -> None:
    reader, now = Silent(), [0.0]

    async def play() -> None:
        stakes = Stakes(reader, 100, lambda: now[0])
        async with trio.open_nursery() as nursery:
            for account in range(8):  # four ask at once; those behind them learn that it is down
                nursery.start_soon(stakes.of, f"0x{account:040x}")
            for _ in range(4):
                await trio.to_thread.run_sync(reader.asked.acquire)
            reader.answer.release(4)
        assert reader.calls == 4
        assert await stakes.of(ACCOUNT) == 0  # at once
        now[0] += STAKE_RETRY_SECONDS + 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stakes.of, ACCOUNT)
            await trio.to_thread.run_sync(reader.asked.acquire)
            for account in range(8):
                assert await stakes.of(f"0x{account:040x}") == 0  # while one asks
            reader.answer.release()
        assert reader.calls == 5

    trio.run(play)
