"""A running node's pages on a real devnet: training, claims and disputes, votes, and answers that are paid for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

from economics.units import neuro
from node.chain.escrow import InferenceEscrow
from node.chain.types import Support
from node.vocabulary.votes import short
from tests.browser.conftest import PHONE, WIDE, NodeStage, proposer
from tests.made_up import growth_proposed

pytestmark = [pytest.mark.browser, pytest.mark.process]
PAGES = {
    "network": "table",
    "training": "canvas",
    "claims": "[data-lane]",
    "vocabulary": "[data-proposal]",
    "inference": "[data-price]",
}


def place(stage: NodeStage, name: str) -> str:
    """A page's address, with the token."""
    base, _, fragment = stage.dashboard.partition("#")
    return f"{base}{name}#{fragment}"


@pytest.mark.parametrize(("size", "width"), [(WIDE, "wide"), (PHONE, "phone")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_at_every_width_and_theme(
    node_stage: NodeStage,
    open_page: Callable[..., Any],
    axe: Callable[[Any], None],
    shoot: Callable[..., None],
    size: dict[str, int],
    width: str,
    theme: str,
) -> None:
    page = open_page(size, theme)
    for name, marker in PAGES.items():
        page.goto(place(node_stage, name))
        page.wait_for_selector(marker)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the window"
        axe(page)
        shoot(page, f"node-{name}-{width}-{theme}")


def test_the_loss_moves_and_false_claims_are_disputed(node_stage: NodeStage, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(place(node_stage, "training"))
    page.wait_for_selector('[data-stat="loss"]')
    before = page.locator('[data-stat="step"]').inner_text()
    page.wait_for_function("before => document.querySelector('[data-stat=\"step\"]').innerText !== before", arg=before)
    page.goto(place(node_stage, "claims"))
    page.wait_for_function("() => Number(document.querySelector('[data-lane=lost] .figure')?.textContent) >= 1")


def test_a_vote_moves_on_the_page(
    node_stage: NodeStage, open_page: Callable[..., Any], axe: Callable[[Any], None], shoot: Callable[..., None]
) -> None:
    voter = proposer(node_stage.rpc, node_stage.deployment, node_stage.contracts, 3)
    (*_, change) = voter.governor.proposals(0, voter.client.block().number)
    growth = growth_proposed(voter, "https://example.org/layers")
    page = open_page()
    page.goto(place(node_stage, "vocabulary"))
    mine = page.locator(f'[aria-label="Proposal {short(change.id)}"]')
    mine.and_(page.locator('[data-proposal="active"]')).wait_for()
    approval = mine.get_by_role("progressbar", name="Approval")
    assert approval.get_attribute("aria-valuenow") == "0"
    voter.governor.vote(change.id, Support.FOR)
    mine.locator('[aria-label="Approval"][aria-valuenow="100"]').wait_for()
    assert mine.get_by_role("listitem").all_text_contents() == ["th", "the", " the", "an", "and", " and"]
    layers = page.locator(f'[aria-label="Growth {short(growth.id)}"]')
    layers.and_(page.locator('[data-growth="active"]')).wait_for()
    voter.growth.vote(growth.id, Support.FOR)
    voter.growth.pledge(growth.id, 4, 3, 2)
    layers.locator('[aria-label="Approval"][aria-valuenow="100"]').wait_for()
    layers.get_by_text("layers 4 to 6, tier 2").wait_for()
    assert "4 → 7 layers" in layers.inner_text()
    axe(page)
    shoot(page, "node-vocabulary-vote-wide-light")


def test_the_running_node_shows_the_same_pages_by_itself(node_stage: NodeStage, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(f"{node_stage.running}/dashboard")
    page.get_by_role("heading", name="Network").wait_for()
    page.get_by_text("this node").wait_for()
    assert page.get_by_role("link", name="Inference").count() == 0, "a running node's own server spends nothing"


def test_an_answer_is_paid_from_the_nodes_wallet(
    node_stage: NodeStage, open_page: Callable[..., Any], shoot: Callable[..., None]
) -> None:
    escrow = InferenceEscrow(node_stage.contracts.client, node_stage.escrow)
    page = open_page()
    page.goto(place(node_stage, "inference"))
    page.wait_for_selector("[data-price]")
    ask(page, "It was the best of times", node=True)
    page.wait_for_selector('[data-answer="over"]')
    told = page.locator("[data-answer]").inner_text()
    assert page.locator("[data-answer] .pill").inner_text() == "paid", told
    assert len(page.locator("[data-text]").inner_text()) > 0
    assert escrow.total_locked() == 0
    shoot(page, "node-inference-answered-wide-light")


WALLET = """
window.ethereum = { request: ({ method, params }) => window.askChain(method, params ?? []) };
"""


def test_an_answer_is_paid_from_a_wallet_in_the_browser(node_stage: NodeStage, open_page: Callable[..., Any]) -> None:
    """The development chain plays the wallet: it holds the account's key, and signs what a wallet would."""
    token, escrow = (
        node_stage.contracts.token,
        InferenceEscrow(node_stage.contracts.client, node_stage.escrow),
    )
    held = token.balance_of(node_stage.payer)
    assert held >= neuro(1)
    asked: list[str] = []

    def chain(method: str, params: list[Any]) -> Any:
        asked.append(method)
        if method == "eth_requestAccounts":
            return [node_stage.payer.lower()]
        return rpc(node_stage.rpc, method, params)

    page = open_page(script=WALLET)
    page.expose_function("askChain", chain)
    page.goto(place(node_stage, "inference"))
    page.wait_for_selector("[data-price]")
    ask(page, "Call me Ishmael", node=False)
    page.wait_for_selector('[data-answer="over"]')
    told = page.locator("[data-answer]").inner_text()
    assert page.locator("[data-answer] .pill").inner_text() == "paid", told
    assert len(page.locator("[data-text]").inner_text()) > 0
    assert asked.count("eth_sendTransaction") == 3, asked
    assert asked.count("eth_signTypedData_v4") >= 3, asked
    spent = held - token.balance_of(node_stage.payer) - escrow.deposit_of(node_stage.payer)
    assert 0 < spent < neuro(1)


def ask(page: Any, prompt: str, *, node: bool) -> None:
    """Ask for 16 tokens, paid from one wallet or the other."""
    page.get_by_role("radio", name="The node's wallet" if node else "Your wallet").check()
    page.get_by_label("Text to continue").fill(prompt)
    page.get_by_label("Most tokens").fill("16")
    page.get_by_role("button", name="Ask and pay").click()


def rpc(url: str, method: str, params: list[Any]) -> Any:
    """One call to the chain; an error is raised as a wallet would."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    with urlopen(Request(url, body, {"content-type": "application/json"})) as answer:  # noqa: S310 - loopback
        found = json.load(answer)
    assert "error" not in found, (method, found)
    return found["result"]
