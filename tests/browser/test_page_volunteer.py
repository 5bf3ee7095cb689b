"""A person opens a gateway's page, presses Start, and the page itself trains: no program, no key, no wallet.

The gateway recomputes every upload here, so a batch counts only if the browser's bits are this machine's bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.browser.processes import Program, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture(scope="module")
def strict_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway that trusts nobody: it trains every batch again."""
    small = {
        "PONW_GATEWAY_SIZES": "[32]",
        "PONW_GATEWAY_PREPARED": "4",
        "PONW_GATEWAY_POW_DIFFICULTY": "12",
        "PONW_GATEWAY_REPLICAS": "1",
        "PONW_GATEWAY_AGGREGATE_UPDATES": "1",
        "PONW_GATEWAY_RECOMPUTE_NEW": "10000",
        "PONW_GATEWAY_THREADS": "1",
    }
    gateway = Program.ponw(tmp_path_factory.mktemp("gateway"), "gateway", "run", "--listen", "127.0.0.1:0", **small)
    try:
        yield gateway.find(r"address: +(http://\S+)")
    finally:
        gateway.stop()


def asked(uri: str, path: str) -> Any:
    """A JSON answer of the gateway."""
    return httpx.get(f"{uri}/api/v1/{path}", timeout=30).raise_for_status().json()


def test_the_page_itself_trains_and_its_work_counts(
    strict_gateway: str, open_page: Callable[..., Any], axe: Callable[[Any], None], shoot: Callable[..., None]
) -> None:
    page = open_page()
    page.goto(f"{strict_gateway}/volunteer")
    page.get_by_label("Your name on the leaderboard").fill("Grace")
    page.get_by_role("heading", level=1).click()  # leaves the field
    axe(page)
    page.get_by_role("button", name="start", exact=False).click()
    page.wait_for_function("() => Number(document.querySelector('[data-progress]')?.dataset.progress) >= 2")
    assert 0 < float(page.locator('[data-stat="loss"] .figure').inner_text()) < 20
    shoot(page, "page-volunteer-wide-light")
    page.wait_for_function("() => Number(document.querySelector('[data-stat=\"batches\"] .figure')?.textContent) >= 1")
    page.get_by_role("button", name="Finish").click()
    page.wait_for_selector('[data-phase="idle"]')
    axe(page)
    wait_for("version of the page's work", lambda: asked(strict_gateway, "stats/global")["aggregations"] >= 1)
    (row,) = asked(strict_gateway, "leaderboard")
    assert row["username"] == "Grace"
    assert row["batches"] >= 1
    assert int(asked(strict_gateway, "stats/global")["version"][1:]) >= 1

    page.reload()
    page.get_by_role("button", name="start", exact=False).click()
    page.wait_for_selector("[data-progress]")
    assert page.locator("h1").inner_text() == "Hello, Grace", "the account outlives the page"
