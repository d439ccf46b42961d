"""The threshold lab in a real browser: what is moved moves the page, on a laptop and on a phone, light and dark."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.counterparts.browser import PageAt, Tab, rested
from tests.dashboard.browser.test_pages import LOOKS, SERVERS, SIZES, barriers, health, is_inside, served
from tests.support.company import catalog, rows_of, rule, warehouse, weeks
from tests.support.installation import configure

pytestmark = [pytest.mark.slow, pytest.mark.dated(in_turn=SERVERS)]
STORY = (4,) * 18 + (20,) * 4 + (45,) * 2 + (2,) * 12


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, today: date) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("lab")
    first = today - timedelta(days=today.weekday() + 7 * 40)
    with warehouse(folder, catalog(rule()), rows_of(weeks(first, STORY))):
        pass
    with served(configure(folder)) as address:
        assert health(address)[0] == 200
        yield f"{address}/lab?rule=defects"


def settled(tab: Tab, address: str) -> Page:
    """The page with everything drawn, the null replay at its end included."""
    page = tab.open(address)
    expect(page.get_by_text("By chance alone:")).to_be_visible(timeout=90_000)
    return rested(page)


@LOOKS
def test_the_lab(page_at: PageAt, url: str, size: str, scheme: str) -> None:
    tab = page_at(*SIZES[size], scheme)
    page = settled(tab, url)
    expect(page.locator("h1.e-headline")).to_contain_text("With a limit of 25% it would have opened one incident")
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(2)
    assert is_inside(page)
    tab.screenshot(f"lab-{size}-{scheme}")
    assert barriers(page) == []
    assert tab.problems == []


def test_the_slider_is_moved_by_the_keyboard_and_the_page_follows(page_at: PageAt, url: str) -> None:
    tab = page_at(1280, 900)
    page = settled(tab, url)
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("h1.e-headline")).to_contain_text("no incident and notified nobody", timeout=60_000)
    expect(page.get_by_text("currently 1").first).to_be_visible()
    expect(page.locator("code").filter(has_text="limit = ").first).not_to_contain_text("0.25")
    assert tab.problems == []


def test_back_leads_to_the_years_that_were_shown(page_at: PageAt, url: str) -> None:
    tab = page_at(1280, 900)
    page = settled(tab, url)
    page.get_by_role("radio", name="1", exact=True).click()
    expect(page).to_have_url(f"{url}&years=1")
    expect(page.get_by_role("radio", name="1", exact=True)).to_be_checked()
    page.go_back()
    expect(page).to_have_url(url)
    expect(page.get_by_role("radio", name="2", exact=True)).to_be_checked()
    assert tab.problems == []


def test_a_draft_with_a_mistake_names_its_line(page_at: PageAt, url: str) -> None:
    tab = page_at(1280, 900)
    page = settled(tab, url)
    page.get_by_text("Draft", exact=True).click()
    rested(page)
    area = page.get_by_label("The draft, as it would stand in config/triggers.toml")
    expect(area).to_have_value(re.compile("limit ="))  # it is there before it has its text
    area.fill(area.input_value().replace("limit =", "limitt ="))
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("draft:7")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("did you mean 'limit'?")).to_be_visible()
    assert tab.problems == []
