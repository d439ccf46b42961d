"""Signing in with a real provider in a real browser: who comes in, what each is sent, and who is out again."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from tests.counterparts import oidc
from tests.counterparts.browser import PageAt, Tab, rested
from tests.support.readers import Site, serving
from tests.support.small_company import BROKEN, VERTICALS, found

TODAY: Final = date(2026, 11, 21)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(oidc.missing()), reason=oidc.missing() or "")]
ELSEWHERE: Final = next(name for name in VERTICALS if name != BROKEN)
UNVERIFIED: Final = "unverified@example.com"
PEOPLE: Final = f"""
[[person]]
name = "ana"
label = "Customer experience analyst"
audience = "analyst"
email = "Ana@example.com"

[[person]]
name = "gm-here"
label = "its general manager"
audience = "gm"
email = "here@example.com"
verticals = ["{BROKEN}"]

[[person]]
name = "gm-elsewhere"
label = "its general manager"
audience = "gm"
email = "elsewhere@example.com"
verticals = ["{ELSEWHERE}"]

[[person]]
name = "expert"
label = "Head of installation"
audience = "specialist"
email = "expert@example.com"

[[person]]
name = "chief"
label = "Chief executive"
audience = "executive"
email = "chief@example.com"

[[person]]
name = "unverified"
label = "Somebody"
audience = "analyst"
email = "{UNVERIFIED}"
"""
AUDIENCES: Final = """
[[audience]]
name = "executive"
label = "Executive"
pages = ["review"]
issues = 1
figures = 12
charts = 2
grains = ["month"]

[[audience]]
name = "gm"
label = "General manager of a vertical"
pages = ["review", "incidents"]
issues = 7
figures = 20
charts = 6
grains = ["month"]

[[audience]]
name = "specialist"
label = "Specialist"
pages = ["incidents"]
issues = 10
figures = 20
charts = 4
grains = ["day"]
"""


def signing_in(folder: Path, **settings: Any) -> AbstractContextManager[Site]:
    company = found(folder, TODAY, months=3)
    with (company.config / "routing.toml").open("a") as routing, (company.config / "audiences.toml").open("a") as rest:
        routing.write(PEOPLE)
        rest.write(AUDIENCES)
    return serving(company, [UNVERIFIED], **settings)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with signing_in(tmp_path_factory.mktemp("company")) as made:
        yield made


class Traffic:
    """Everything that a tab was sent."""

    def __init__(self, tab: Tab) -> None:
        self.parts: list[bytes] = []
        tab.page.on("websocket", lambda opened: opened.on("framereceived", self._frame))

    def _frame(self, payload: bytes | str) -> None:
        self.parts.append(payload.encode() if isinstance(payload, str) else payload)

    def names(self, word: str) -> bool:
        return any(word.encode() in part for part in self.parts)


def sign_in(page: Page, email: str) -> None:
    """From the page that asks for it, over the provider's own pages, and back."""
    page.get_by_role("button", name=re.compile("^Sign in")).click()
    page.locator("input[name=login]").fill(email)
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()


def test_a_link_from_slack_leads_to_its_incident_after_signing_in(page_at: PageAt, site: Site) -> None:
    tab = page_at()
    traffic = Traffic(tab)
    address = f"{site.url}/incident?id={site.company.incident}"
    page = tab.open(address)
    expect(page.get_by_text("Sign in to read this page.")).to_be_visible(timeout=60_000)
    assert not any(traffic.names(name) for name in VERTICALS)
    sign_in(page, "ana@example.com")
    expect(page.locator(".e-headline")).to_be_visible(timeout=60_000)
    expect(page).to_have_url(address)
    expect(page.get_by_text("You see everything, as Customer experience analyst.")).to_be_visible()
    assert traffic.names(BROKEN)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_text("Sign in to read this page.")).to_be_visible(timeout=60_000)


def test_a_general_manager_is_sent_nothing_of_another_vertical(page_at: PageAt, site: Site) -> None:
    tab = page_at()
    traffic = Traffic(tab)
    page = tab.open(site.url)
    sign_in(page, "elsewhere@example.com")
    expect(page.locator(".e-headline")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(f"You see {ELSEWHERE}, as its general manager.")).to_be_visible()
    for path in (
        f"/incident?id={site.company.incident}",
        f"/incident?id={site.company.detractor}",
        f"/?vertical={BROKEN}",
        "/incident",
    ):
        page = tab.open(f"{site.url}{path}")
        expect(page.get_by_text(f"You see {ELSEWHERE}, as its general manager.")).to_be_visible(timeout=60_000)
        rested(page)
    asked = {BROKEN} - {ELSEWHERE}
    others = [name for name in VERTICALS if name not in {ELSEWHERE, *asked}]
    assert [name for name in others if traffic.names(name)] == []
    expect(page.get_by_text("Lab", exact=True)).to_have_count(0)


def test_who_may_not_have_the_names_of_accounts_is_sent_pseudonyms(page_at: PageAt, site: Site) -> None:
    """On the list and on the page of a case, whatever the browser is sent."""
    tab = page_at()
    traffic = Traffic(tab)
    page = tab.open(f"{site.url}/incident")
    sign_in(page, "ana@example.com")
    expect(page.get_by_text("account A03, Payments").first).to_be_visible(timeout=60_000)
    page = tab.open(f"{site.url}/incident?id={site.company.detractor}")
    expect(page.get_by_text("account A03").first).to_be_visible(timeout=60_000)
    rested(page)
    assert traffic.names("A03")
    assert not traffic.names("Payments Holding")


def test_an_executives_page_keeps_within_its_budget(page_at: PageAt, site: Site) -> None:
    """Counted in the browser: one issue of two, and no more charts than allowed. No link leads where it may not go."""
    page = page_at(1280, 900).open(site.url)
    sign_in(page, "chief@example.com")
    expect(page.locator(".e-issue")).to_have_count(1, timeout=60_000)
    expect(page.locator("svg.marks")).to_have_count(1)
    assert page.locator("svg.marks, img.e-spark").count() <= 2
    assert page.locator(".e-value strong").count() + page.locator(".st-key-page .e-list li").count() <= 12
    expect(page.get_by_text("1 more, less pressing")).to_have_count(1)
    expect(page.get_by_role("link", name="Incidents")).to_have_count(0)
    page.goto(f"{site.url}/incident?id={site.company.incident}")
    expect(page.get_by_text("This page is not for you")).to_be_visible(timeout=60_000)


def test_who_may_not_open_the_review_begins_with_the_incidents(page_at: PageAt, site: Site) -> None:
    page = page_at().open(site.url)
    sign_in(page, "expert@example.com")
    expect(page).to_have_url(re.compile(r"/incident$"), timeout=60_000)
    expect(page.get_by_text("Head of installation").first).to_be_visible()
    page.goto(f"{site.url}/lab")
    expect(page.get_by_text("This page is not for you")).to_be_visible(timeout=60_000)


@pytest.mark.parametrize(
    ("email", "said"),
    [
        ("stranger@example.com", "stranger@example.com may not read anything here."),
        (UNVERIFIED, "without a verified e-mail"),
    ],
)
def test_who_is_not_known_reads_nothing(page_at: PageAt, site: Site, email: str, said: str) -> None:
    tab = page_at()
    traffic = Traffic(tab)
    page = tab.open(site.url)
    sign_in(page, email)
    expect(page.get_by_text(said)).to_be_visible(timeout=60_000)
    assert not any(traffic.names(name) for name in VERTICALS)
    expect(page.get_by_role("button", name="Sign in as somebody else")).to_be_visible()


def test_who_is_removed_is_out_at_the_next_click(page_at: PageAt, tmp_path: Path) -> None:
    with signing_in(tmp_path) as site:
        tab = page_at()
        page = tab.open(site.url)
        sign_in(page, "here@example.com")
        expect(page.locator(".e-headline")).to_be_visible(timeout=60_000)
        text = site.routing.read_text("utf-8")
        site.routing.write_text(text.replace("here@example.com", "gone@example.com", 1), "utf-8")
        page.locator("summary", has_text="Record owner and decision").first.click()
        expect(page.get_by_text("here@example.com may not read anything here.")).to_be_visible(timeout=60_000)
        expect(page.locator(".e-headline")).to_have_count(0)


def test_a_copied_link_to_a_file_gives_what_its_reader_may_see(page_at: PageAt, site: Site) -> None:
    """Of the other's vertical nothing, of all verticals the own one, and whoever is not signed in nothing at all."""
    here, elsewhere, expert = page_at(), page_at(), page_at()
    for tab, email in (
        (here, "here@example.com"),
        (elsewhere, "elsewhere@example.com"),
        (expert, "expert@example.com"),
    ):
        page = tab.open(f"{site.url}/?vertical={BROKEN}" if tab is here else site.url)
        sign_in(page, email)
        expect(page.get_by_text(re.compile("^You see "))).to_be_visible(timeout=60_000)
    here.page.get_by_role("button", name="Download", exact=True).click()
    link = here.page.get_by_role("link", name="Figures, CSV")
    with here.page.expect_download() as waiting:
        link.click()
    address, figures = waiting.value.url, Path(waiting.value.path()).read_bytes().decode()
    assert BROKEN in figures
    everywhere = re.sub("&?vertical=[^&]*", "", address)
    assert f"vertical={BROKEN}" in address

    def got(tab: Tab, url: str) -> tuple[int, str]:
        answer = tab.page.request.get(url)
        return answer.status, answer.text()

    assert got(here, address) == (200, figures)
    assert got(elsewhere, address)[0] == 404
    status, own = got(elsewhere, everywhere)
    assert (status, BROKEN in own, ELSEWHERE in own) == (200, False, True)
    assert got(expert, everywhere) == (
        403,
        "This page is not for you: audiences.toml does not list “review” among your pages.\n",
    )
    assert got(page_at(), address) == (403, "Sign in to read this page.\n")
    assert got(here, f"{site.url}/media/0123456789.csv")[0] == 404
    for name, query in (("figures.csv", "month=1999-01"), ("figures.csv", ""), ("passwords.csv", "month=2026-10")):
        assert got(here, f"{site.url}/files/{name}?{query}")[0] == 404


def test_each_closes_their_own_review_and_reads_no_others(page_at: PageAt, tmp_path: Path) -> None:
    """The general manager theirs, the executive the company's, of which no vertical's reader is sent a word."""
    with signing_in(tmp_path) as site:
        here, chief, elsewhere = (page_at().page for _ in range(3))
        of = {here: f"{site.url}/?vertical={BROKEN}", chief: site.url, elsewhere: site.url}
        for page, email in zip(of, ("here@example.com", "chief@example.com", "elsewhere@example.com"), strict=True):
            page.goto(of[page])
            sign_in(page, email)
            expect(page.locator(".e-headline")).to_be_visible(timeout=60_000)
        expect(elsewhere.get_by_text("Close the review")).to_have_count(0)
        for page, text in ((here, "Two engineers on Tuesday"), (chief, "The board asks the bank")):
            form = page.locator("[data-testid=stExpander]", has_text="Record owner and decision")
            form.locator("summary").click()
            rested(page)
            form.get_by_label("Owner", exact=True).fill("Ana Keller")
            form.get_by_label("Decision", exact=True).fill(text)
            form.get_by_role("button", name="Record", exact=True).click()
            expect(page.locator(".e-issue")).to_contain_text(text)
            page.locator("summary", has_text="Close the review").click()
            rested(page)
            page.get_by_label("Who was present").fill(f"Those who said: {text}")
            page.get_by_role("button", name="Close the review").click()
            expect(page.get_by_text(f"Present: Those who said: {text}.")).to_be_visible()
        tab = page_at()
        traffic = Traffic(tab)
        for address, whose in ((site.url, "the whole company"), (f"{site.url}/?vertical={BROKEN}", BROKEN)):
            page = chief if whose == BROKEN else tab.page
            page.goto(address)
            if page is tab.page:
                sign_in(page, "elsewhere@example.com")
            said = page.get_by_text(re.compile(f"The review of {whose} was closed on .* You see the newest figures"))
            expect(said).to_be_visible(timeout=60_000)
        expect(tab.page.get_by_text("Record owner and decision")).to_have_count(0)
        assert not traffic.names("The board asks")
        assert not traffic.names(BROKEN)


def test_an_analyst_sees_the_page_as_a_general_manager_does(page_at: PageAt, site: Site) -> None:
    """Chosen on the page; what a browser says of itself is not believed of anybody else."""
    page = page_at().open(site.url)
    sign_in(page, "ana@example.com")
    chooser = page.get_by_label("See as")
    expect(chooser).to_be_visible(timeout=60_000)
    rested(page)
    # Typed: what is drawn meanwhile closes a list that was opened by a click.
    chooser.press_sequentially("gm-here")
    page.get_by_role("option", name="gm-here").click()
    expect(page.get_by_text(f"You see what its general manager sees: {BROKEN}.")).to_be_visible()
    expect(page.locator(".e-issue")).not_to_have_count(0)
    expect(page.locator(".stMain")).not_to_contain_text(ELSEWHERE)
    gm = page_at().open(site.url)
    sign_in(gm, "here@example.com")
    expect(gm.get_by_text(f"You see {BROKEN}, as its general manager.")).to_be_visible(timeout=60_000)
    expect(gm.get_by_label("See as")).to_have_count(0)


def test_everything_works_behind_a_proxy_that_serves_a_path(page_at: PageAt, tmp_path: Path) -> None:
    """A link from Slack, signing in, another page, a download, and the address without its last slash."""
    with signing_in(tmp_path, base="/customers/earshot") as site:
        address = f"{site.url}/incident?id={site.company.incident}"
        page = page_at().open(address)
        sign_in(page, "here@example.com")
        expect(page.locator(".e-headline")).to_be_visible(timeout=60_000)
        expect(page).to_have_url(address)
        page.get_by_role("link", name="Review").click()
        expect(page.locator(".e-issue")).not_to_have_count(0, timeout=60_000)
        assert page.url.startswith(f"{site.url}/")
        page.get_by_role("button", name="Download", exact=True).click()
        with page.expect_download() as waiting:
            page.get_by_role("link", name="Figures, CSV").click()
        assert BROKEN in Path(waiting.value.path()).read_text("utf-8")
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Incidents").click()
        expect(page).to_have_url(f"{site.url}/incident")
        page.locator("td a").first.click()
        expect(page).to_have_url(re.compile(re.escape(f"{site.url}/incident?id=")), timeout=60_000)
        page.goto(f"{site.url}?month={site.company.months[-2]:%Y-%m}")
        expect(page.locator(".e-headline")).to_be_visible(timeout=60_000)
        assert page.url == f"{site.url}/?month={site.company.months[-2]:%Y-%m}"
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        expect(page.get_by_text("Sign in to read this page.")).to_be_visible(timeout=60_000)
