"""A meeting that decides and closes its review, in a real browser; and what is seen of it after late data."""

import re
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.counterparts.browser import PageAt, rested
from tests.dashboard.browser.test_pages import SERVERS, SIZES, health, served, settled
from tests.support.small_company import found, load_late

pytestmark = [pytest.mark.slow, pytest.mark.dated(in_turn=SERVERS)]


def decide(page: Page) -> None:
    """Every issue, in the order in which they stand there."""
    forms = page.locator("[data-testid=stExpander]", has_text="Record owner and decision")
    for number in range(forms.count()):
        forms.nth(number).locator("summary").click()
        rested(page)
        forms.nth(number).get_by_label("Owner", exact=True).fill("Ana Keller")
        forms.nth(number).get_by_label("Decision", exact=True).fill("Two engineers on Tuesday")
        forms.nth(number).get_by_role("button", name="Record", exact=True).click()
        expect(page.locator(".e-issue").nth(number)).to_contain_text("Two engineers on Tuesday")
        forms.nth(number).locator("summary").click()


def test_a_review_is_closed_and_stays_as_it_was(page_at: PageAt, tmp_path: Path, today: date) -> None:
    company = found(tmp_path, today)
    month = f"{company.month:%Y-%m}"
    tab = page_at(*SIZES["laptop"])
    with served(company.environ) as url:
        assert health(url)[0] == 200
        page = settled(tab, url)
        expect(
            page.get_by_text("The review can be closed once every key issue has an owner and a decision.")
        ).to_be_visible()
        tab.screenshot("closing-locked")
        decide(page)
        page.locator("summary", has_text="Close the review").click()
        rested(page)
        page.get_by_label("Who was present").fill("Ana, Ben and the board")
        tab.screenshot("closing-form")
        page.get_by_role("button", name="Close the review").click()
        closed = page.get_by_text(
            re.compile(r"Closed on \d+ \w+ \d{4} by open mode\. Present: Ana, Ben and the board\.")
        )
        expect(closed).to_be_visible()
        expect(page.get_by_text("Record owner and decision")).to_have_count(0)
        before = page.locator(".e-verdicts").inner_text()
        load_late(company)
        for size, scheme in (("laptop", "light"), ("phone", "dark"), ("laptop", "dark"), ("phone", "light")):
            other = page_at(*SIZES[size], scheme)
            shown = settled(other, f"{url}/?month={month}")
            other.screenshot(f"closed-top-{size}-{scheme}")
            shown.locator("summary", has_text="Calendar of reviews").click()
            expect(shown.get_by_text(f"{company.month:%B %Y}", exact=True).first).to_be_visible()
            other.screenshot(f"closed-{size}-{scheme}")
            assert shown.locator(".e-verdicts").inner_text() == before
            shown.get_by_role("link", name="see them").click()
            expect(shown.get_by_text("These are the newest figures.")).to_be_visible()
            assert shown.locator(".e-verdicts").inner_text() != before
            other.screenshot(f"newest-{size}-{scheme}")
            shown.get_by_role("link", name="see it as it was closed").click()
            expect(shown.get_by_text("Newer data shows other figures for this month:")).to_be_visible()
            assert shown.locator(".e-verdicts").inner_text() == before
            assert other.problems == []
    assert tab.problems == []
