"""Stakes: from a real chain by plain JSON-RPC, from a file, and remembered while the source fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from economics.constants import MIN_STAKE
from node.errors import RpcError
from node.net.limits import STAKE_FRESH_SECONDS, STAKE_STALE_SECONDS
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
        reader.fails = False
        assert await stakes.may_write(ACCOUNT)

    trio.run(play)
