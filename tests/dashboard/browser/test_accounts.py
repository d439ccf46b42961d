"""The accounts in a real browser, all of them and one: on a laptop and a phone, light and dark, without barriers."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.accounts.test_accounts_page import QUIET, install, tokens
from tests.counterparts.browser import PageAt
from tests.dashboard.browser.test_pages import LOOKS, SIZES, barriers, health, is_inside, served, settled

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = install(tmp_path_factory.mktemp("accounts"), tokens(4), {QUIET: 2})
    environ = {"EARSHOT_CONFIG": str(folder / "config"), "EARSHOT_DATA": str(folder)}
    with served({**environ, "EARSHOT_DASHBOARD__OPEN_MODE": "true"}) as address:
        assert health(address)[0] == 200
        yield address


@LOOKS
def test_all_accounts(page_at: PageAt, url: str, size: str, scheme: str) -> None:
    tab = page_at(*SIZES[size], scheme)
    page = settled(tab, f"{url}/accounts")
    expect(page.get_by_text("Whom to call", exact=True)).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(1)
    assert is_inside(page)
    tab.screenshot(f"accounts-{size}-{scheme}")
    assert barriers(page) == []
    assert tab.problems == []


@LOOKS
def test_one_account(page_at: PageAt, url: str, size: str, scheme: str) -> None:
    tab = page_at(*SIZES[size], scheme)
    page = settled(tab, f"{url}/accounts?id={QUIET}")
    expect(page.locator("h1.e-headline")).to_contain_text("Company 5 bought for")
    # What it buys, its answers, and what happened around it: no share of its wallet is known, and no contact.
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(3)
    expect(page.get_by_role("button", name="Shared with the customer")).to_have_count(2)
    assert is_inside(page)
    tab.screenshot(f"account-{size}-{scheme}")
    assert barriers(page) == []
    assert tab.problems == []
