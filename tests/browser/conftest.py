"""Chromium, and the real things behind the pages: a chain with nodes, a gateway with a volunteer. Run by name."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.processes import Program, wait_for
from tests.browser.watched import Watched, describe_violations

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / "docs" / "screenshots"
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE_MS = 180_000
"""A busy machine trains a batch of the tiny model in less."""


def chromium() -> str:
    """The browser of this machine. Fails with what to install."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("no Chromium: `apt-get install chromium`, or set CHROMIUM=/path/to/it", pytrace=False)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = driver.chromium.launch(executable_path=chromium(), args=options)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """A page in a context of its own; whatever a page complains about fails the test at its end."""
    watched: list[Watched] = []

    def make(size: dict[str, int] = WIDE, theme: str = "light", script: str = "") -> Any:
        context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_MS)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        watched.append(Watched(context, page))
        return page

    yield make
    complaints = [line for one in watched for line in one.end()]
    assert not complaints, complaints


@pytest.fixture(scope="session")
def axe() -> Callable[[Any], None]:
    """Checks a page with axe-core: WCAG 2.2 A and AA, contrast included."""
    if not AXE.is_file():
        pytest.fail("axe-core is missing: `npm ci --prefix dashboard`", pytrace=False)
    source = AXE.read_text(encoding="utf-8")

    def check(page: Any) -> None:
        page.evaluate(source)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
        assert not found["violations"], describe_violations(found["violations"])
        assert len(found["passes"]) > 10, "axe looked at nothing"

    return check


@pytest.fixture(scope="session")
def shoot() -> Callable[[Any, str], None]:
    """Keeps a picture of a page below docs/screenshots, where SCREENSHOTS is set."""

    def take(page: Any, name: str) -> None:
        if not os.environ.get("SCREENSHOTS"):
            return
        from PIL import Image

        SHOTS.mkdir(parents=True, exist_ok=True)
        taken = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled"))).convert("RGB")
        small = taken.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(SHOTS / f"{name}.png", optimize=True)

    return take


@dataclass(frozen=True)
class Volunteering:
    """A gateway and a volunteer that waits for Start; `panel` has its token in the fragment."""

    gateway: str
    panel: str
    volunteer: Program


@pytest.fixture(scope="session")
def gateway_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway of its own with the tiny model and small batches."""
    small = {
        "PONW_GATEWAY_SIZES": "[32,64]",
        "PONW_GATEWAY_PREPARED": "4",
        "PONW_GATEWAY_POW_DIFFICULTY": "8",
        "PONW_GATEWAY_REPLICAS": "1",
        "PONW_GATEWAY_AGGREGATE_UPDATES": "1",
        "PONW_GATEWAY_RECOMPUTE_NEW": "0",
        "PONW_GATEWAY_THREADS": "1",
    }
    gateway = Program.ponw(
        tmp_path_factory.mktemp("gateway"), "gateway", "run", "--listen", "127.0.0.1:0", "--codec", "int8", **small
    )
    try:
        yield gateway.find(r"address: +(http://\S+)")
    finally:
        gateway.stop()


@pytest.fixture(scope="session")
def volunteering(gateway_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volunteering]:
    """A volunteer's process with its panel."""
    words = ("volunteer", "run", gateway_uri, "--username", "Ada", "--panel", "127.0.0.1:0", "--paused", "--plain")
    limits = ("--threads", "1", "--samples", "64", "--run-on-battery")
    volunteer = Program.ponw(tmp_path_factory.mktemp("volunteer"), *words, *limits)
    try:
        yield Volunteering(gateway_uri, volunteer.find(r"(http://127\.0\.0\.1:\d+/#token=\S+)"), volunteer)
    finally:
        volunteer.stop()


@dataclass(frozen=True)
class NodeStage:
    """A devnet with a training node, one that claims work it never did, a server of answers, and the dashboard."""

    rpc: str
    dashboard: str
    running: str
    """Address of the training node's own server."""
    account: str
    payer: str
    escrow: str
    contracts: Any
    deployment: Any


@pytest.fixture(scope="session")
def node_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeStage]:
    """Everything that `ponw dashboard` shows, for real."""
    from consensus.arithmetic import choose_engine
    from consensus.model.config import PRESETS
    from node.chain.bootstrap import fund
    from node.chain.devnet import dev_accounts
    from node.data.dataset import Dataset
    from node.demo.network import DemoNetwork
    from node.training.snapshot import read_snapshot
    from node.training.work import Workshop

    programs: list[Program] = []
    payer = dev_accounts(6)[5].address
    with DemoNetwork(tmp_path_factory.mktemp("network") / "net", 1_000) as network:
        chain = network.start_chain()
        network.build_data()
        shop = Workshop(PRESETS["tiny"], choose_engine(1), Dataset.open(network.data))
        contracts = network.deploy(chain, shop.genesis())
        alice, _, bob = (network.add(*one, chain) for one in (("alice", "honest"), ("larry", "lazy"), ("bob", "idle")))
        network.stake(contracts)
        fund(contracts, [payer])
        escrow = network.deployment().addresses.escrow
        proposer(chain.rpc_url, network.deployment(), contracts, 4)
        try:
            for member in network.members[:2]:
                member.start()
            programs.append(Program.ponw(bob.home, "serve", "--paid", "--port", "0", "--threads", "1"))
            server = programs[0].find(r"address: (http://[0-9.:]+)/v1")
            programs.append(Program.ponw(alice.home, "dashboard", "--port", "0", "--wallet", "--server", server))
            address = programs[1].find(r"dashboard: (http://\S+)")
            wait_for("first step", lambda: (now := read_snapshot(alice.home)) is not None and now.step > 0)
            now = read_snapshot(alice.home)
            assert now is not None
            yield NodeStage(
                chain.rpc_url, address, now.uri, alice.address, payer, escrow, contracts, network.deployment()
            )
        finally:
            for program in programs:
                program.stop()


PAIRS = ((ord("t"), ord("h")), (264, ord("e")), (ord(" "), 265), (ord("a"), ord("n")), (267, ord("d")), (ord(" "), 268))
"""Merges: th, the, " the", an, and, " and"."""


def proposer(rpc_url: str, deployment: Any, bank: Any, index: int) -> Any:
    """An account with stake that has proposed a change. Its hashes are made up: voters would refuse it."""
    from economics.units import neuro
    from node.chain.bootstrap import fund
    from node.chain.client import ChainClient
    from node.chain.contracts import Contracts
    from node.chain.devnet import dev_accounts
    from node.chain.transport import RetryingProvider
    from node.chain.types import Change
    from node.vocabulary.ballots import put_forward

    contracts = Contracts.at(ChainClient(RetryingProvider(rpc_url, 20), dev_accounts(6)[index]), deployment)
    fund(bank, [contracts.client.address])
    contracts.staking.stake_with_permit(contracts.token, neuro(500))
    merges = b"".join(a.to_bytes(2) + b.to_bytes(2) + (5_000).to_bytes(4) for a, b in PAIRS)
    hashes = (bytes([n]) * 32 for n in range(1, 5))
    change, uri = Change(0, *hashes, merges), f"https://example.org/{index}"
    put_forward(contracts.governor, change, contracts.client.address, uri)
    return contracts
