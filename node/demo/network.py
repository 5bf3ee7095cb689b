"""The demonstration's network: a chain, its contracts, and homes for the nodes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from economics.networks import DEVNET, NetworkParameters
from node import config, keys, paths
from node.chain.bootstrap import fund
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deploy import Genesis, deploy
from node.chain.deployment import Deployment
from node.chain.devnet import Devnet, Running, dev_accounts
from node.chain.transport import RetryingProvider
from node.data.corpus import ensure_default

STAKE_NEURO = 500
STOP_SECONDS = 20.0
RPC_SECONDS = 20


@dataclass
class Member:
    """One process of the network. `kind` is honest, lazy or lying."""

    name: str
    kind: str
    home: Path
    address: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None

    def start(self) -> None:
        """Start the process; what it prints goes to its log."""
        self.log = (self.home / "node.log").open("ab")
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=_environment()
        )

    def stop(self) -> None:
        """End the process, gently first."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.log is not None:
            self.log.close()

    def failed(self) -> bool:
        """Whether an honest node's process ended with an error."""
        return self.kind == "honest" and self.process is not None and self.process.poll() not in (None, 0)


@dataclass
class DemoNetwork:
    """The whole network under one folder. Use as a context manager: leaving it stops every process."""

    folder: Path
    rounds: int
    members: list[Member] = field(default_factory=list)
    _devnet: Devnet | None = None

    def __enter__(self) -> DemoNetwork:
        shutil.rmtree(self.folder, ignore_errors=True)
        paths.private_folder(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.stop()
        if self._devnet is not None:
            self._devnet.down()

    def start_chain(self) -> Running:
        """Start the chain on a free port."""
        self._devnet = Devnet(self.folder / "chain", port=0)
        return self._devnet.up()

    def deploy(self, running: Running, genesis: Genesis, parameters: NetworkParameters = DEVNET) -> Contracts:
        """Deploy the contracts from the chain's first account, which keeps the genesis supply."""
        client = ChainClient(RetryingProvider(running.rpc_url, RPC_SECONDS), dev_accounts(1)[0])
        deployment = deploy(client, parameters, genesis, client.address)
        deployment.save(self.folder / paths.CONTRACTS_NAME)
        return Contracts.at(client, deployment)

    def add(self, name: str, kind: str, running: Running, **settings: object) -> Member:
        """Make a home with a key and settings of its own."""
        home = paths.private_folder(self.folder / name)
        paths.private_folder(home / paths.KEYSTORE_NAME)
        password = secrets.token_urlsafe(16)
        paths.write_atomic(home / "password.txt", password.encode())
        key = keys.create(home / paths.KEYSTORE_NAME, password)
        values: dict[str, object] = {
            "rpc_url": running.rpc_url,
            "contracts": self.folder / paths.CONTRACTS_NAME,
            "password_file": home / "password.txt",
            "data_dir": self.data,
            "listen_port": 0,
            "threads": 1,
        }
        config.save(home, **(values | settings))
        member = Member(name, kind, home, key.address, self._command(kind, home))
        self.members.append(member)
        return member

    @property
    def data(self) -> Path:
        """The dataset that all nodes of this machine share."""
        return self.folder / paths.DATA_NAME

    def build_data(self) -> None:
        """Tokenise the shipped books."""
        ensure_default(self.data)

    def stake(self, contracts: Contracts) -> None:
        """Fund every member, and let them stake as an operator would; the lazy one stakes by itself."""
        fund(contracts, [member.address for member in self.members])
        stakers = [member for member in self.members if member.kind != "lazy"]
        staking = [self._ponw(member.home, "stake", "add", str(STAKE_NEURO), "--yes") for member in stakers]
        started = [subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL) for command in staking]  # noqa: S603
        for process in started:
            if process.wait() != 0:
                raise subprocess.CalledProcessError(process.returncode, process.args)

    @property
    def honest(self) -> list[Member]:
        """The nodes that do their work."""
        return [member for member in self.members if member.kind == "honest"]

    def deployment(self) -> Deployment:
        """Where the contracts are."""
        return Deployment.load(self.folder / paths.CONTRACTS_NAME)

    def _command(self, kind: str, home: Path) -> list[str]:
        if kind == "lazy":
            return [sys.executable, "-m", "node.demo.lazy", str(home), str(STAKE_NEURO)]
        if kind == "lying":
            return [sys.executable, "-m", "node.demo.liar", str(home), str(self.rounds)]
        return self._ponw(home, "run", "--yes", "--plain", "--rounds", str(self.rounds))

    @staticmethod
    def _ponw(home: Path, *words: str) -> list[str]:
        return [sys.executable, "-m", "node.cli.app", "--home", str(home), *words]


def _environment() -> dict[str, str]:
    """The environment without settings that would stand over the members' own configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith(config.ENV_PREFIX)}
