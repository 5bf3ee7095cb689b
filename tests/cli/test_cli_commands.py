"""The real `ponw` process: help, output formats, and one clear sentence for each kind of bad input."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node import config, keys
from node.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import Network

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
KEY = "0x" + "42" * 32
FAST = 1 << 10
NEURO = 10**18

Ponw = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ponw(home: Path) -> Ponw:
    """Run `ponw` as a process of its own, without a terminal and with a clean environment."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PONW_")}
        return subprocess.run(
            [sys.executable, "-m", "node.cli.app", "--home", str(home), *arguments],
            cwd=ROOT,
            env=kept | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def wallet(home: Path, network: Network) -> str:
    """A home on the test network with one key that owns ETH and 1,000 NEURO; gives its address."""
    config.save(home, rpc_url=network.running.rpc_url)
    network.deployment.save(home / "contracts.json")
    key = keys.import_private_key(home / "keystore", KEY, "correct horse", scrypt_n=FAST)
    treasury = network.contracts(network.accounts[0])
    treasury.client.transfer(key.address, 10**18, "fund")
    treasury.token.transfer(key.address, 1000 * NEURO)
    return key.address


def _refused(result: subprocess.CompletedProcess[str], code: ExitCode, *expected: str) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "  next: " in result.stderr
    for text in expected:
        assert text in result.stderr


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- help ---


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['ponw', '--help']\n"
        "from node.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print('LOADED', *sorted({'torch', 'web3', 'numpy', 'pydantic_settings'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert result.stdout.splitlines()[-1] == "LOADED"
    for name in ("init", "doctor", "wallet", "devnet", "stake", "run", "status", "rewards", "data", "config"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("init",),
        ("doctor",),
        *(("wallet", verb) for verb in ("new", "import", "list")),
        *(("devnet", verb) for verb in ("up", "down")),
        *(("stake", verb) for verb in ("add", "thaw", "withdraw", "status")),
        *(("rewards", verb) for verb in ("list", "claim")),
        *(
            (verb,)
            for verb in (
                "deploy",
                "run",
                "status",
                "network",
                "quorum",
                "layers",
                "kernels",
                "program",
                "serve",
                "infer",
                "price",
            )
        ),
        *(("vocab", verb) for verb in ("propose", "amend", "check", "list", "show", "vote", "queue", "activate")),
        *(("vocab", verb) for verb in ("release", "rollback")),
        *(("layers", verb) for verb in ("growth", "propose", "check", "vote", "pledge", "announce", "decide")),
        *(("escrow", verb) for verb in ("deposit", "withdraw", "status", "requests", "cancel", "refund", "collect")),
        ("config", "show"),
    ],
    ids=" ".join,
)
def test_every_command_has_help_with_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from node.cli.app import app

    with pytest.raises(SystemExit) as left:
        typer.main.get_command(app)([*words, "--help"], prog_name="ponw")
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert "ponw" in text


def test_every_listed_module_of_ours_exists() -> None:
    from node.cli.app import COMMANDS

    assert all(importlib.util.find_spec(command.module) for command in COMMANDS)


def test_unknown_commands_and_options(ponw: Ponw) -> None:
    result = ponw("steak")
    assert result.returncode == ExitCode.USAGE
    assert "stake" in result.stderr
    assert ponw("stake", "add").returncode == ExitCode.USAGE


# --- home, wallet, config ---


def test_init_wallet_config(ponw: Ponw, home: Path, password_file: Path) -> None:
    assert ponw("init", "--preset", "small").returncode == 0
    assert ponw("init").returncode == 0
    made = json.loads(ponw("wallet", "new", "--password-file", str(password_file), "--format", "json").stdout)
    listed = json.loads(ponw("wallet", "list", "--format", "json").stdout)
    assert listed == [made]
    shown = json.loads(
        ponw("config", "show", "--format", "json", PONW_RPC_URL="https://u:hunter2@rpc.example/v3/abc").stdout
    )
    assert shown["preset"] == {"value": "small", "origin": "config.toml"}
    assert shown["rpc_url"] == {"value": "https://rpc.example/…", "origin": "environment PONW_RPC_URL"}
    assert shown["home"] == {"value": str(home), "origin": "command line"}


def test_wallet_import_keeps_what_is_there(ponw: Ponw, home: Path, tmp_path: Path, password_file: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(KEY)
    secret.chmod(0o600)
    options = ("--password-file", str(password_file))
    assert ponw("wallet", "import", str(secret), *options).returncode == 0
    before = _tree(home)
    _refused(ponw("wallet", "import", str(secret), *options), ExitCode.WALLET, "already")
    secret.chmod(0o644)
    _refused(ponw("wallet", "import", str(secret), *options), ExitCode.PASSWORD, "chmod 600")
    assert _tree(home) == before
    assert "42" * 32 not in json.dumps({key: value.decode() for key, value in before.items()})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("threads = 'two'", "'threads'"), ("preset = [", "not valid TOML"), ("colour = 1", "'colour'")],
)
def test_malformed_config(ponw: Ponw, home: Path, text: str, expected: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(text)
    before = _tree(home)
    for words in (("config", "show"), ("stake", "status"), ("init",), ("doctor",)):
        _refused(ponw(*words), ExitCode.CONFIG, "config.toml", expected)
    assert _tree(home) == before


def test_no_password_without_a_terminal(ponw: Ponw, home: Path) -> None:
    _refused(ponw("wallet", "new"), ExitCode.PASSWORD, "--password-file")
    assert not list(home.rglob("*.json"))


# --- the chain ---


def test_stake_life(ponw: Ponw, wallet: str, network: Network, password_file: Path) -> None:
    options = ("--yes", "--password-file", str(password_file))
    result = ponw("stake", "add", "250.5", *options)
    assert result.returncode == 0, result.stderr
    assert "stake 250.5 NEURO: up to" in result.stderr
    assert "Active stake: 250.5 NEURO." in result.stdout
    result = ponw("stake", "thaw", "50.5", *options)
    assert "Thawing 50.5 NEURO until" in result.stdout
    _refused(ponw("stake", "withdraw", *options), ExitCode.REVERTED, "thawing until")
    network.advance(int(network.contracts().staking.thaw_period()) + 1)
    assert ponw("stake", "withdraw", *options).returncode == 0
    figures = json.loads(ponw("stake", "status", "--format", "json").stdout)
    assert figures["address"] == wallet
    assert (figures["active_wei"], figures["thawing_wei"]) == (200 * NEURO, 0)
    assert figures["balance_wei"] == 800 * NEURO
    assert "200 NEURO" in ponw("stake", "status").stdout


def test_rewards(ponw: Ponw, wallet: str, network: Network, password_file: Path) -> None:
    listed = json.loads(ponw("rewards", "list", "--format", "json").stdout)
    assert listed == {"address": wallet, "accrued_wei": 0, "collectable_wei": 0, "credit_wei": 0, "claims": []}
    options = ("--yes", "--password-file", str(password_file))
    _refused(ponw("rewards", "claim", *options), ExitCode.REVERTED, "nothing to collect")
    reward = _earn(network, wallet)
    listed = json.loads(ponw("rewards", "list", "--format", "json").stdout)
    assert [claim["reward_wei"] for claim in listed["claims"]] == [reward] == [listed["collectable_wei"]]
    result = ponw("rewards", "claim", *options)
    assert result.returncode == 0, result.stderr
    assert network.contracts().token.balance_of(wallet) == 800 * NEURO + reward


def _earn(network: Network, wallet: str) -> int:
    from eth_account import Account

    from consensus.commitments.claim import Claim, ClaimKind

    contracts = network.contracts(Account.from_key(KEY))
    contracts.staking.stake_with_permit(contracts.token, 200 * NEURO)
    contracts.registry.open_round()
    root, genesis = b"\x09" * 32, network.genesis
    roots = (genesis.program_hash, genesis.data_root, genesis.start_root, root, root, root)
    claim = Claim(ClaimKind.TRAIN, 1, bytes.fromhex(wallet[2:]), *roots, 5, 5 * 4096, 0, genesis.layers, 1)
    contracts.registry.post(claim)
    parameters = contracts.registry.parameters()
    network.advance(parameters.train_time + parameters.window + 1)
    contracts.registry.finalise(claim)
    return contracts.emission.accrued_of(wallet)


@pytest.mark.usefixtures("wallet")
def test_refusals_change_nothing(ponw: Ponw, home: Path, network: Network, tmp_path: Path, password_file: Path) -> None:
    before, block = _tree(home), network.contracts().client.block().number
    options = ("--yes", "--password-file", str(password_file))
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    _refused(ponw("stake", "add", "200", "--yes", "--password-file", str(wrong)), ExitCode.PASSWORD, "does not open")
    _refused(ponw("stake", "add", "99.9", *options), ExitCode.REVERTED, "99.9 NEURO, below the minimum of 100 NEURO")
    _refused(ponw("stake", "add", "5000", *options), ExitCode.FUNDS, "holds 1000 NEURO, less than 5000 NEURO")
    _refused(ponw("stake", "add", "1e3", *options), ExitCode.FAILED, "not an amount")
    _refused(ponw("stake", "thaw", "1", *options), ExitCode.REVERTED, "0 NEURO of your stake is free")
    _refused(ponw("stake", "add", "200", *options[1:]), ExitCode.CANCELLED, "--yes")
    _refused(ponw("stake", "add", "200", *options, PONW_CHAIN_ID="1"), ExitCode.CHAIN_ID, "serves chain 31337")
    dead = {"PONW_RPC_URL": "http://127.0.0.1:9"}
    _refused(ponw("stake", "add", "200", *options, **dead), ExitCode.RPC, "does not answer")
    nowhere = {"PONW_CONTRACTS": str(tmp_path / "none.json")}
    _refused(ponw("stake", "add", "200", *options, **nowhere), ExitCode.CONTRACTS, "addresses are unknown")
    assert _tree(home) == before
    assert network.contracts().client.block().number == block


@pytest.mark.usefixtures("wallet")
def test_contracts_without_code(ponw: Ponw, home: Path, password_file: Path) -> None:
    path = home / "contracts.json"
    document = json.loads(path.read_text())
    document["addresses"]["staking"] = "0x" + "12" * 20
    path.write_text(json.dumps(document))
    result = ponw("stake", "add", "200", "--yes", "--password-file", str(password_file))
    _refused(result, ExitCode.CONTRACTS, "There is no Staking contract at 0x1212")


def test_no_gas(ponw: Ponw, home: Path, network: Network, password_file: Path) -> None:
    config.save(home, rpc_url=network.running.rpc_url)
    network.deployment.save(home / "contracts.json")
    key = keys.import_private_key(home / "keystore", KEY, "correct horse", scrypt_n=FAST)
    network.contracts(network.accounts[0]).token.transfer(key.address, 1000 * NEURO)
    result = ponw("stake", "add", "200", "--yes", "--password-file", str(password_file))
    _refused(result, ExitCode.FUNDS, "holds 0 ETH")


def test_all_of_the_step_and_the_outer_step_is_judged(ponw: Ponw) -> None:
    for words in ((), ("--outer", "3")):
        result = ponw("program", "--preset", "tiny", *words, "--format", "json")
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout)
        assert found["judged_percent"] == 100
        assert found["ops"] == sum(found["kinds"].values()) > 200


def test_debug_shows_the_traceback(ponw: Ponw, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("threads = 0")
    result = ponw("--debug", "config", "show")
    assert result.returncode == ExitCode.CONFIG
    assert "Traceback" in result.stderr


def test_doctor_names_what_is_missing(ponw: Ponw, home: Path) -> None:
    result = ponw("doctor", "--format", "json", PONW_RPC_URL="http://127.0.0.1:9")
    _refused(result, ExitCode.UNHEALTHY, "keystore", "rpc", "data")
    lines = {line["check"]: line for line in json.loads(result.stdout)}
    assert lines["python"]["verdict"] == "ok"
    assert lines["rpc"]["verdict"] == "fail"
    assert all(line["fix"] for line in lines.values() if line["verdict"] == "fail")
    assert not home.exists()


def test_devnet_up_funds_and_is_idempotent(ponw: Ponw, home: Path, genesis: object, password_file: Path) -> None:
    """The network is deployed beforehand with made-up hashes: what it trains is the genesis function's concern."""
    from economics.networks import DEVNET
    from node.chain.client import ChainClient
    from node.chain.deploy import Genesis, deploy
    from node.chain.devnet import Devnet, dev_accounts
    from node.chain.transport import RetryingProvider

    assert isinstance(genesis, Genesis)
    chain = Devnet(home / "devnet", port=0, block_time=0)
    running = chain.up()
    try:
        client = ChainClient(RetryingProvider(running.rpc_url, 20), dev_accounts(1)[0])
        deploy(client, DEVNET, genesis, client.address).save(home / "contracts.json")
        key = keys.import_private_key(home / "keystore", KEY, "correct horse", scrypt_n=FAST)
        first = ponw("devnet", "up", "--format", "json")
        assert first.returncode == 0, first.stderr
        document = json.loads(first.stdout)
        assert document["deployed"] is False
        assert document["funded"] == [key.address]
        assert config.load(home).rpc_url == running.rpc_url
        assert json.loads(ponw("devnet", "up", "--format", "json").stdout)["funded"] == []
        options = ("--yes", "--password-file", str(password_file))
        assert ponw("stake", "add", "500", *options).returncode == 0
        assert "stopped" in ponw("devnet", "down").stdout
        assert "No development chain" in ponw("devnet", "down").stdout
        _refused(ponw("stake", "status"), ExitCode.RPC, "ponw devnet up")
    finally:
        chain.down()


def test_deploy_refuses_to_replace_a_network(ponw: Ponw, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "contracts.json").write_text("{}")
    _refused(ponw("deploy", "--yes"), ExitCode.CONFIG, "--force")
    assert (home / "contracts.json").read_text() == "{}"


def test_deploy_a_network_from_the_wallet(ponw: Ponw, home: Path, network: Network, password_file: Path) -> None:
    from node.chain.deployment import Deployment

    config.save(home, rpc_url=network.running.rpc_url, preset="tiny")
    address = keys.import_private_key(home / "keystore", KEY, "correct horse", scrypt_n=FAST).address
    options = ("deploy", "--network", "devnet", "--yes", "--password-file", str(password_file), "--format", "json")
    _refused(ponw(*options), ExitCode.FUNDS, "can't pay for this")
    network.rpc("anvil_setBalance", address, hex(10**19))
    done = ponw(*options)
    assert done.returncode == 0, done.stderr
    deployment = Deployment.load(home / "contracts.json")
    assert json.loads(done.stdout)["addresses"] == deployment.addresses.model_dump()
    assert "deploy 14 contracts" in done.stderr


def test_devnet_refuses_another_networks_home(ponw: Ponw, home: Path) -> None:
    config.save(home, chain_id=8453)
    _refused(ponw("devnet", "up"), ExitCode.CONFIG, "belongs to chain 8453")
    assert not (home / "devnet").exists()
