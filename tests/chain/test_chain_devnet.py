"""The development chain: idempotent, and loadable whatever dies when."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from node.chain import devnet, keeper
from node.chain.deployment import Addresses, Deployment
from node.chain.devnet import Devnet, dev_accounts, find_anvil, free_port
from node.errors import ContractsError, DevnetError, ToolError, WrongChainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Devnet]:
    chain = Devnet(tmp_path / "devnet", port=0, block_time=0, save_seconds=0.05)
    yield chain
    chain.down()


def _mine(port: int, blocks: int) -> int:
    for _ in range(blocks):
        keeper.rpc(port, "evm_mine")
    return _height(port)


def _height(port: int) -> int:
    return int(str(keeper.rpc(port, "eth_blockNumber")), 16)


def _time(port: int) -> int:
    block = keeper.rpc(port, "eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    return int(block["timestamp"], 16)


def _reap(pid: int) -> None:
    os.waitpid(pid, 0)


def test_up_and_down_are_idempotent_and_keep_the_state(chain: Devnet) -> None:
    assert chain.down() is False
    first = chain.up()
    assert chain.up() == first == chain.running()
    keeper.rpc(first.port, "evm_increaseTime", 5000)
    height, time = _mine(first.port, 3), _time(first.port)
    assert chain.down() is True
    assert chain.running() is None
    second = chain.up()
    assert _height(second.port) == height
    _mine(second.port, 1)
    assert _time(second.port) > time


def test_files_are_private(chain: Devnet) -> None:
    chain.up()
    assert {path.stat().st_mode & 0o077 for path in chain.folder.iterdir()} == {0}


def test_anvil_killed_at_any_moment_leaves_a_loadable_state(chain: Devnet) -> None:
    reached = 0
    for blocks in (1, 7, 40):
        running = chain.up()
        _mine(running.port, blocks)
        os.kill(running.anvil_pid, signal.SIGKILL)
        _reap(running.keeper_pid)
        assert chain.running() is None
        json.loads((chain.folder / "state.json").read_bytes())
        height = _height(chain.up().port)
        assert height >= reached
        reached = height


def test_keeper_killed_loses_nothing(chain: Devnet) -> None:
    running = chain.up()
    height = _mine(running.port, 5)
    os.kill(running.keeper_pid, signal.SIGKILL)
    _reap(running.keeper_pid)
    still = chain.running()
    assert still == running
    assert _height(chain.up().port) == height


def test_both_killed_at_once(chain: Devnet) -> None:
    running = chain.up()
    _mine(running.port, 2)
    os.kill(running.keeper_pid, signal.SIGKILL)
    os.kill(running.anvil_pid, signal.SIGKILL)
    _reap(running.keeper_pid)
    chain.up()
    assert chain.down() is True


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server((keeper.HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DevnetError, match=f"Port {port} is in use"):
            Devnet(tmp_path, port=port).up()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_state_is_refused_and_kept(chain: Devnet) -> None:
    chain.folder.mkdir()
    (chain.folder / "state.json").write_text("{")
    with pytest.raises(DevnetError, match="did not start"):
        chain.up()
    assert (chain.folder / "state.json").read_text() == "{"
    (chain.folder / "state.json").unlink()


def test_a_failed_save_keeps_the_last_state(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    target.write_text("old")
    with pytest.raises(OSError, match="refused"):
        keeper.save_state(free_port(), target)
    assert target.read_text() == "old"


def test_anvil_is_found_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.access(find_anvil(), os.X_OK)
    with pytest.raises(ToolError, match="is not a program"):
        find_anvil(tmp_path / "missing")
    monkeypatch.setattr(devnet, "_npm_anvil", lambda _modules: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="not installed"):
        find_anvil()


def test_dev_accounts_are_anvils() -> None:
    addresses = [account.address for account in dev_accounts(2)]
    assert addresses == ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]


def test_deployment_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    deployment = Deployment(5, 7, _addresses(), {"layers": 4, "judge": "0x00"})
    deployment.save(path)
    assert Deployment.load(path) == deployment
    with pytest.raises(WrongChainError, match="on chain 5, but the endpoint serves chain 6"):
        deployment.require_chain(6)


def _addresses() -> Addresses:
    return Addresses(**{name: "0x" + "12" * 20 for name in Addresses.model_fields})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"chainId": "5"}, "chainId"),
        ({"chainId": 0}, "chainId"),
        ({"block": None}, "block"),
        ({"addresses": {}}, "addresses.token"),
        ({"extra": 1}, "extra"),
    ],
)
def test_malformed_deployment_files_are_refused(tmp_path: Path, change: dict[str, object], expected: str) -> None:
    path = tmp_path / "contracts.json"
    Deployment(5, 7, _addresses(), {}).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ContractsError, match=expected):
        Deployment.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_other_files_are_no_deployments(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "contracts.json"
    path.write_bytes(content)
    with pytest.raises(ContractsError, match="malformed"):
        Deployment.load(path)
    with pytest.raises(ContractsError, match="unknown"):
        Deployment.load(tmp_path / "missing.json")
