"""A person opens the panel, joins, trains, looks on, and stops; against a real gateway and a real volunteer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import PHONE, WIDE, Volunteering

pytestmark = [pytest.mark.browser, pytest.mark.process]


def figure(page: Any, name: str) -> str:
    """The text of a figure."""
    return str(page.locator(f'[data-stat="{name}"] .figure').inner_text())


def test_join_start_watch_stop_and_look_back(
    volunteering: Volunteering, open_page: Callable[..., Any], axe: Callable[[Any], None], shoot: Callable[..., None]
) -> None:
    page = open_page()
    page.goto(volunteering.panel)
    start = page.get_by_role("button", name="start", exact=False)
    start.wait_for()
    assert "token" not in page.url, "the token must leave the address"
    axe(page)
    shoot(page, "volunteer-before-wide-light")

    start.click()
    page.wait_for_selector("[data-progress]")
    page.wait_for_function("() => Number(document.querySelector('[data-progress]')?.dataset.progress) >= 2")
    first = figure(page, "loss")
    page.wait_for_function(
        "before => { const now = document.querySelector('[data-stat=\"loss\"] .figure')?.textContent;"
        " return now && now !== '–' && now !== before }",
        arg=first,
    )
    assert float(figure(page, "loss")) > 0
    assert page.locator("h1").inner_text() == "Hello, Ada"
    page.wait_for_function("() => Number(document.querySelector('[data-stat=\"batches\"] .figure')?.textContent) >= 1")
    page.wait_for_function(
        "() => /^#\\d+$/.test(document.querySelector('[data-stat=\"rank\"] .figure')?.textContent ?? '')"
    )
    page.wait_for_selector("[data-progress]")
    axe(page)
    shoot(page, "volunteer-training-wide-light")
    page.emulate_media(color_scheme="dark")
    shoot(page, "volunteer-training-wide-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    shoot(page, "volunteer-training-phone-light")
    page.set_viewport_size(WIDE)

    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector('[data-phase="paused"]')
    assert "paused" in page.locator("[data-why]").inner_text()

    page.get_by_role("link", name="Leaderboard").click()
    page.get_by_role("cell", name="Ada").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1", "the new page's heading has the focus"
    axe(page)
    shoot(page, "leaderboard-wide-light")


def test_the_panel_keeps_a_limit(volunteering: Volunteering, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(volunteering.panel)
    slider = page.get_by_label("Share of the time")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.get_by_text("50%").first.wait_for()
    page.get_by_text("saving…").wait_for(state="detached")
    page.reload()
    page.get_by_label("Share of the time").wait_for()
    assert page.get_by_label("Share of the time").input_value() == "0.5"


def test_a_wrong_token_is_said_in_words(volunteering: Volunteering, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(volunteering.panel.split("#")[0] + "#token=wrong")
    page.get_by_role("alert").wait_for()
    assert "Open the address" in page.get_by_role("alert").inner_text()


def test_everything_can_be_reached_by_keyboard(volunteering: Volunteering, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(volunteering.panel)
    page.get_by_label("Share of the time").wait_for()
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("(document.activeElement.innerText || document.activeElement.id).trim()"))
    for wanted in ("Skip to the content", "Volunteer", "Leaderboard", "Network", "Training", "share", "batches"):
        assert wanted in seen, (wanted, seen)
    page.reload()
    page.get_by_label("Share of the time").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


@pytest.mark.parametrize(("size", "width"), [(WIDE, "wide"), (PHONE, "phone")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_at_every_width_and_theme(
    volunteering: Volunteering,
    open_page: Callable[..., Any],
    axe: Callable[[Any], None],
    shoot: Callable[..., None],
    size: dict[str, int],
    width: str,
    theme: str,
) -> None:
    page = open_page(size, theme)
    page.goto(volunteering.panel)
    for name, marker in (("volunteer", "[data-phase]"), ("training", "canvas"), ("network", "table")):
        page.goto(volunteering.panel.split("#")[0] + name)
        page.wait_for_selector(marker)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the window"
        axe(page)
        shoot(page, f"{name}-{width}-{theme}")


def test_the_gateways_own_pages_say_how_to_take_part(
    gateway_uri: str, open_page: Callable[..., Any], axe: Callable[[Any], None], shoot: Callable[..., None]
) -> None:
    page = open_page()
    page.goto(gateway_uri)
    page.get_by_text(f"ponw volunteer {gateway_uri} --panel").wait_for()
    page.get_by_role("heading", name="More than one thread").wait_for()
    axe(page)
    shoot(page, "gateway-wide-light")


def test_without_an_answer_the_page_says_so(volunteering: Volunteering, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.goto(volunteering.panel)
    page.get_by_label("Share of the time").wait_for()
    page.context.set_offline(True)
    page.get_by_role("link", name="Leaderboard").click()
    page.get_by_role("alert").wait_for()
    assert "does not answer" in page.get_by_role("alert").inner_text()
    page.context.set_offline(False)
    page.get_by_role("alert").wait_for(state="detached")
