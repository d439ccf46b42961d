"""A whole meeting by keyboard alone, in a real browser: every issue decided, the financials read, the review closed."""

from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.counterparts.browser import PageAt
from tests.dashboard.browser.test_pages import SERVERS, SIZES, health, served, settled
from tests.support.small_company import found

pytestmark = [pytest.mark.slow, pytest.mark.dated(in_turn=SERVERS)]
FAR = 60
"""No element of a screen is more presses of the tab key away."""


def walk_to(page: Page, is_there: str) -> None:
    """The tab key, until what has the focus answers a question in JavaScript."""
    for _ in range(FAR):
        page.keyboard.press("Tab")
        if page.evaluate(f"(one => {is_there})(document.activeElement)"):
            return
    pytest.fail(f"the keyboard does not reach it: {is_there}")


def field(label: str) -> str:
    return f"one.getAttribute('aria-label') === {label!r}"


def button(label: str) -> str:
    return f"one.tagName === 'BUTTON' && one.innerText.trim().startsWith({label!r})"


def begin(page: Page, text: str) -> None:
    page.keyboard.press("d")
    expect(page.get_by_label("Decision", exact=True)).to_be_visible(timeout=30_000)
    walk_to(page, field("Owner"))
    page.keyboard.press("Control+A")
    page.keyboard.type("Ana Keller")
    walk_to(page, field("Decision"))
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def record(page: Page) -> None:
    walk_to(page, button("Record"))
    page.keyboard.press("Enter")


def go_on(page: Page, number: str) -> None:
    page.keyboard.press("ArrowRight")
    expect(page.locator(".e-number")).to_have_text(number, timeout=30_000)


def test_a_whole_meeting_by_keyboard(page_at: PageAt, tmp_path: Path, today: date) -> None:
    company = found(tmp_path, today, also_broken=("Capital Markets", "Payments", "Public Sector"))
    tab = page_at(*SIZES["laptop"])
    with served(company.environ) as url:
        assert health(url)[0] == 200
        page = settled(tab, f"{url}/?meeting=0")
        issues = 5
        for number in range(1, issues + 1):
            page.keyboard.press("ArrowRight")
            expect(page.locator(".e-number")).to_have_text(str(number), timeout=30_000)
            page.keyboard.press("d")
            expect(page.get_by_label("Decision", exact=True)).to_be_visible(timeout=30_000)
            walk_to(page, field("Owner"))
            page.keyboard.press("Control+A")
            page.keyboard.type("Ana Keller")
            walk_to(page, field("Decision"))
            # An arrow moves the caret here, and leads nowhere.
            page.keyboard.type(f"Two engineers on Tuesda{number}")
            page.keyboard.press("ArrowLeft")
            page.keyboard.type("y, ")
            tab.screenshot(f"meeting-{number}")
            walk_to(page, button("Record"))
            page.keyboard.press("Enter")
            expect(page.locator(".e-issue")).to_contain_text(f"Two engineers on Tuesday, {number}", timeout=30_000)
        walk_to(page, button("Next"))
        page.keyboard.press("Enter")
        expect(page.get_by_text("Financials", exact=True)).to_be_visible(timeout=30_000)
        assert page.get_by_text("Locked:").count() == 0
        tab.screenshot("meeting-financials")
        walk_to(page, "one.tagName === 'SUMMARY' && one.innerText.includes('Close the review')")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Who was present")).to_be_visible(timeout=30_000)
        walk_to(page, field("Who was present"))
        page.keyboard.type("Ana and the board")
        walk_to(page, button("Close the review"))
        page.keyboard.press("Enter")
        expect(page.get_by_text("The review is closed.")).to_be_visible(timeout=30_000)
        minutes = page.request.get(f"{url}/files/minutes.html?month={company.month:%Y-%m}")
        assert minutes.ok
        said = minutes.text()
        for words in ("Present: Ana and the board", *(f"Two engineers on Tuesday, {n}" for n in range(1, issues + 1))):
            assert words in said


def test_two_people_in_one_meeting_lose_no_word(page_at: PageAt, tmp_path: Path, today: date) -> None:
    """Both decide the same issue, and then another one while the first of them closes the review."""
    company = found(tmp_path, today)
    with served(company.environ) as url:
        assert health(url)[0] == 200
        first, second = (settled(page_at(*SIZES["laptop"]), f"{url}/?meeting=0") for _ in range(2))

        go_on(first, "1")
        go_on(second, "1")
        begin(first, "Call them today")
        begin(second, "Visit them on Monday")
        record(first)
        expect(first.locator(".e-issue")).to_contain_text("Call them today", timeout=30_000)
        record(second)
        told = second.get_by_text("recorded a decision meanwhile")
        expect(told).to_contain_text("“Call them today”. Yours is not recorded.", timeout=30_000)
        expect(second.get_by_label("Decision", exact=True)).to_have_value("Visit them on Monday")
        record(second)
        expect(second.locator(".e-issue")).to_contain_text("Visit them on Monday", timeout=30_000)
        # The other one, by both at once; and while the second types, the first closes the review.
        go_on(first, "2")
        go_on(second, "2")
        begin(second, "Wait for the new crew")
        begin(first, "Two engineers on Tuesday")
        record(first)
        expect(first.locator(".e-issue")).to_contain_text("Two engineers on Tuesday", timeout=30_000)
        first.keyboard.press("ArrowRight")
        walk_to(first, "one.tagName === 'SUMMARY' && one.innerText.includes('Close the review')")
        first.keyboard.press("Enter")
        expect(first.get_by_label("Who was present")).to_be_visible(timeout=30_000)
        walk_to(first, button("Close the review"))
        first.keyboard.press("Enter")
        expect(first.get_by_text("The review is closed.")).to_be_visible(timeout=30_000)
        record(second)
        lost = second.get_by_text("The review was closed meanwhile.")
        expect(lost).to_contain_text(
            "What you typed was not recorded: Ana Keller, Wait for the new crew", timeout=30_000
        )
        said = first.request.get(f"{url}/files/minutes.html?month={company.month:%Y-%m}").text()
        assert "Visit them on Monday" in said
        assert "Two engineers on Tuesday" in said
        assert "Wait for the new crew" not in said
