"""A network with an escrow, a payer and a server; the server in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from consensus.arithmetic import choose_engine
from consensus.inference.decoding import Definition
from economics.units import neuro
from node import config, keys
from node.chain.bootstrap import fund
from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow, RequestState
from node.cli.app import app
from node.cli.context import CliState
from node.config import ENV_PREFIX
from node.errors import PonwError
from node.inference.model import Model, load_model
from node.inference.paid.desk import Holders
from node.inference.paid.journal import Journal, Record
from node.inference.paid.payer import Payer
from node.inference.paid.routes import paid_routes
from node.inference.paid.seam import Answerer
from node.inference.paid.signing import AnswerSigner
from node.inference.paid.terms import Terms
from node.inference.paid.weights import KeptWeights
from node.inference.service import InferenceService
from node.storage.store import Store
from tests.conftest import Network
from tests.payment.scripted import ScriptedAnswerer
from tests.payment.serving import listening

if TYPE_CHECKING:
    from tests.payment.trials import Trials

PATIENCE_SECONDS = 60
Ponw = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
TERMS = Terms(neuro(1))


def await_(what: str, condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {PATIENCE_SECONDS} s"
        time.sleep(0.02)  # the pace of asking, not a wait for a fixed time


@dataclass
class ServerProcess:
    """A paid server that can be killed and started again on the same home."""

    command: list[str]
    home: Path
    process: subprocess.Popen[str] | None = None
    uri: str = ""

    def start(self) -> None:
        log = (self.home / "server.log").open("ab")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.home / "server.log").read_text()[-3000:]
        self.uri = f"http://127.0.0.1:{int(line)}"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)


@dataclass
class Market:
    """One escrow with a payer (account 1), a server (account 2) and a stranger (account 3)."""

    network: Network
    address: str
    home: Path
    servers: list[ServerProcess] = field(default_factory=list)

    def contracts(self, index: int) -> Contracts:
        return self.network.contracts(self.network.accounts[index])

    def escrow(self, index: int) -> InferenceEscrow:
        return InferenceEscrow(self.contracts(index).client, self.address)

    def payer(self, index: int = 1) -> Payer:
        contracts = self.contracts(index)
        return Payer(contracts, InferenceEscrow(contracts.client, self.address), Journal(self.home / f"payer{index}"))

    def command(self, module: str, home: Path, index: int, *words: str) -> list[str]:
        """A program of the tests with the home and key of account `index`."""
        deployment = self.home / "contracts.json"
        self.network.deployment.save(deployment)
        places = (str(home), self.network.running.rpc_url, self.address, str(deployment))
        key = self.network.accounts[index].key.hex()
        return [sys.executable, "-m", f"tests.payment.{module}", *places, key, *words]

    def server(self, *words: str, module: str = "serving") -> ServerProcess:
        home = self.home / "server"
        home.mkdir(mode=0o700)
        server = ServerProcess(self.command(module, home, 2, *words), home)
        server.start()
        self.servers.append(server)
        return server

    @contextmanager
    def local_server(
        self,
        holders: Holders | None = None,
        answerer: Answerer | None = None,
        signer: AnswerSigner | None = None,
        store: Store | None = None,
    ) -> Iterator[str]:
        """The same server in a thread of this process, where nobody is to be killed: its address."""
        contracts, escrow = self.contracts(2), self.escrow(2)
        with (
            nullcontext(store) if store else Store.open(self.home / "server") as kept,
            paid_routes(answerer or ScriptedAnswerer(), kept, contracts, escrow, holders, signer) as router,
        ):
            listener, server = listening(router)
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            await_("server", lambda: server.started)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    def asked(self, uri: str, tokens: int = 16, prompt: str = "What is it worth?") -> Record:
        """A request on record that is not opened yet."""
        payer = self.payer()
        asked = payer.question(prompt, tokens, 700, 9_500)
        return payer.accept(uri, asked, payer.ask(uri, asked), TERMS)

    def state(self, record: Record) -> RequestState:
        return self.escrow(0).request_of(record.id).state

    def await_over(self, record: Record) -> None:
        await_("settlement", lambda: self.escrow(0).request_of(record.id).over)


@dataclass(frozen=True)
class Accounts:
    """Every wei that a paid answer can move."""

    deposit: int
    wallet: int
    server_credit: int
    locked: int
    held: int
    supply: int

    @classmethod
    def of(cls, market: Market) -> Accounts:
        token, escrow = market.contracts(0).token, market.escrow(0)
        payer, server = (market.network.accounts[index].address for index in (1, 2))
        return cls(
            escrow.deposit_of(payer),
            token.balance_of(payer),
            escrow.credit_of(server),
            escrow.total_locked(),
            token.balance_of(escrow.address),
            token.total_supply(),
        )


@pytest.fixture(scope="session")
def model() -> Model:
    """The model that a network starts with."""
    return load_model("tiny")


@pytest.fixture
def service(model: Model) -> Iterator[InferenceService]:
    """It, ready to answer."""
    service = InferenceService(model, Definition(model.config, model.weights, 4, choose_engine(threads=1)))
    yield service
    service.close(drain=False)


def home_of(market: Market, home: Path) -> tuple[Path, str]:
    """A home with settings for the network and a key that is funded: the folder and the address."""
    home.mkdir(mode=0o700)
    password = home / "password.txt"
    password.write_text("correct horse")
    password.chmod(0o600)
    key = keys.create(home / "keystore", "correct horse", scrypt_n=2)
    market.network.deployment.save(home / "contracts.json")
    config.save(home, rpc_url=market.network.running.rpc_url, password_file=password, threads=1)
    fund(market.contracts(0), [key.address])
    return home, key.address


def command(home: Path, *words: str) -> list[str]:
    """`ponw` as a process of its own."""
    return [sys.executable, "-m", "node.cli.app", "--home", str(home), *words]


def environment() -> dict[str, str]:
    """The environment without settings that would stand over a home's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}


@pytest.fixture
def home(market: Market, tmp_path: Path) -> Path:
    """The home of a payer with a funded key."""
    return home_of(market, tmp_path / "home")[0]


@pytest.fixture
def ponw(home: Path, monkeypatch: pytest.MonkeyPatch) -> Ponw:
    """Run a command of that home in this process, as `main` would: a known failure becomes a sentence and a code."""
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        result = CliRunner().invoke(app, ["--home", str(home), *words], obj=CliState())
        if isinstance(result.exception, PonwError):
            error = result.exception
            complaint = f"{result.stderr}error: {error.message} {error.hint}"
            return subprocess.CompletedProcess(words, error.exit_code, result.stdout, complaint)
        assert result.exit_code == 0, result.output
        return subprocess.CompletedProcess(words, 0, result.stdout, result.stderr)

    return run


@pytest.fixture
def served(market: Market) -> Iterator[str]:
    """Address of a server in this process."""
    with market.local_server() as uri:
        yield uri


@pytest.fixture
def market(network: Network, tmp_path: Path) -> Iterator[Market]:
    """The network's escrow; the payer holds 100 NEURO."""
    bank = network.contracts(network.accounts[0])
    market = Market(network, network.deployment.addresses.escrow, tmp_path)
    bank.token.transfer(network.accounts[1].address, neuro(100))
    yield market
    for server in market.servers:
        server.stop()


@pytest.fixture
def trials(market: Market, staked: Callable[[int, int], Contracts]) -> Trials:
    """A payer and a server with stake, and a small model that the payer holds too."""
    from tests.payment.trials import STAKE, Trials, small_model

    staked(1, STAKE)
    staked(2, STAKE)
    trials = Trials(market, small_model())
    KeptWeights(trials.homes[0]).keep(trials.model.root, trials.model.weights)
    return trials
