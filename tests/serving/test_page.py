"""The page in a real browser, driven by keyboard and mouse."""

import shutil
from collections.abc import Iterator, Mapping

import pytest

from exported_bundles import Exported
from served import served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
WAIT = 90_000

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def address(exported: Mapping[str, Exported]) -> Iterator[str]:
    with served(exported["magnet"].folder) as service:
        yield service.address


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """The page with its first list; whatever the browser complains of fails the test."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.set_default_timeout(WAIT)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    # A refused request is the page's to show, and is no fault of the page.
    harmless = "Failed to load resource"
    opened.goto(address)
    opened.wait_for_selector(".card")
    yield opened
    opened.close()
    assert [one for one in complaints if not one.startswith(harmless)] == []


def titles(page) -> list[str]:
    return page.locator(".card h3").all_inner_texts()


def test_reasons_open_and_close_by_keyboard(page) -> None:
    page.get_by_role("button", name="Why").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] td.heat")
    assert page.locator("dialog td.heat").count() >= 3
    assert "What the score is made of" in page.locator("dialog").inner_text()
    # Focus stays within what is open, and returns.
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "Why?"


def test_forgetting_a_click_changes_the_list(page) -> None:
    before = page.locator("#history li").count()
    with page.expect_response(lambda response: response.url.endswith("/recommendations") and response.ok):
        page.get_by_role("button", name="Forget").first.click()
    assert page.locator("#history li").count() == before - 1
    assert page.locator("#user").input_value() == ""


def test_turning_a_part_down_asks_for_another_list(page) -> None:
    with page.expect_response(lambda response: "emphasis=image" in response.url) as asked:
        page.get_by_role("slider", name="image").focus()
        page.keyboard.press("Home")
    assert asked.value.ok
    assert "emphasis=image%3A0" in asked.value.url


def test_a_history_clicked_together(page) -> None:
    page.get_by_role("button", name="Begin anew").click()
    page.wait_for_selector("#history p")
    page.locator(".card").first.get_by_role("button", name="Add").click()
    page.wait_for_selector("#history li")
    listed = titles(page)
    assert listed
    taken = page.locator("#history .name").inner_text()
    page.wait_for_function(
        "taken => ![...document.querySelectorAll('.card h3')].some(one => one.textContent === taken)",
        arg=taken,
    )


def test_catalogue_item_and_routing(page) -> None:
    page.get_by_role("link", name="Catalogue").click()
    page.wait_for_selector("h2:text('Catalogue') ~ div .card")
    name = next(title for title in titles(page) if not title.startswith("item "))
    page.get_by_label("Search").fill(name)
    page.wait_for_function(
        "name => [...document.querySelectorAll('.card h3')].every(one => one.textContent === name)", arg=name
    )
    page.get_by_role("link", name=name).first.click()
    page.wait_for_selector("caption:text('As the catalogue has it')")
    assert page.get_by_role("heading", name="Alike in image").count() == 1
    assert "[object" not in page.locator("main").inner_text()
    page.get_by_role("link", name="Routing").click()
    page.wait_for_selector("caption:text('Load of each expert')")
    assert page.locator("caption:text('Entropy of the mean routing')").count() == 1


def test_what_is_shown_is_never_read_as_code(page, address: str) -> None:
    page.goto(f"{address}/#/item/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    page.wait_for_selector("[role=alert]")
    assert "<script>" in page.locator("[role=alert]").inner_text()
    assert page.locator("main script").count() == 0
