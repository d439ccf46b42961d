"""The pages in a real browser: what it makes of what the server sends, and that it complains of nothing."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from datetime import time as clock
from http.client import HTTPConnection
from pathlib import Path
from socket import socket
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from queries.warehouse import EmbeddedWarehouse
from tests import counterparts
from tests.counterparts.browser import PageAt, Tab, rested
from tests.support import dashboards
from tests.support.clocks import Now, travelled_to
from tests.support.small_company import BROKEN, Company, found, write_config

SERVERS = "each day takes a company and a server of its own"
pytestmark = [pytest.mark.slow, pytest.mark.dated(in_turn=SERVERS)]
SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
LOOKS = pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ("laptop", "light"),
        ("phone", "dark"),
        *(pytest.param(*look, marks=pytest.mark.proof) for look in (("laptop", "dark"), ("phone", "light"))),
    ],
)
"""Each size and each scheme; with --prove each with each."""


@contextmanager
def served(environ: dict[str, str]) -> Iterator[str]:
    """The address of a dashboard that was just started; it is stopped with the block."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = dashboards.start({**environ, "EARSHOT_DASHBOARD__PORT": str(port)}, travelled_to())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join(20)
        assert process.exitcode is not None


def health(url: str) -> tuple[int, dict[str, Any]]:
    """The answer of the health check, as soon as there is one."""
    for _ in range(240):
        try:
            with urlopen(f"{url}/healthz", timeout=20) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except OSError:  # not listening yet, or still importing
            time.sleep(0.25)
    pytest.fail("the dashboard did not start")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, today: date) -> Company:
    return found(tmp_path_factory.mktemp("company"), today)


@pytest.fixture(scope="module")
def url(company: Company) -> Iterator[str]:
    with served(company.environ) as address:
        assert health(address)[0] == 200
        yield address


def settled(tab: Tab, address: str) -> Page:
    """The page with everything drawn."""
    page = tab.open(address)
    page.wait_for_selector(".e-headline", timeout=60_000)
    return rested(page)


def test_the_state_is_closed_as_the_server_stops(tmp_path: Path, now: Now) -> None:
    """SQLite takes its write-ahead log away with the last connection that is closed."""
    company = found(tmp_path, now().date(), months=3)
    log = company.data / "state.db-wal"
    with served(company.environ) as address:
        assert health(address)[0] == 200
        assert log.exists()
    assert not log.exists()


@LOOKS
def test_the_review(page_at: PageAt, url: str, size: str, scheme: str) -> None:
    tab = page_at(*SIZES[size], scheme)
    page = settled(tab, url)
    expect(page.locator(".e-issue")).to_have_count(2)
    # A phone is too narrow for the chart: it has the same figures as a list.
    chart, figures = page.locator("[data-testid=stVegaLiteChart] svg"), page.locator(".e-goals li")
    expect(chart).to_be_visible(visible=size == "laptop")
    expect(figures.first).to_be_visible(visible=size == "phone")
    assert is_inside(page)
    tab.screenshot(f"review-{size}-{scheme}")
    assert barriers(page) == []
    assert tab.problems == []


@LOOKS
def test_an_incident_by_its_link_from_slack(
    page_at: PageAt, url: str, company: Company, size: str, scheme: str
) -> None:
    tab = page_at(*SIZES[size], scheme)
    page = settled(tab, f"{url}/incident?id={company.incident}")
    expect(page.locator("h1.e-headline")).to_have_text(f"Promises are not kept – {BROKEN}")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_be_visible()
    assert is_inside(page)
    tab.screenshot(f"incident-{size}-{scheme}")
    assert barriers(page) == []
    assert tab.problems == []


@LOOKS
def test_the_list_of_incidents(page_at: PageAt, url: str, size: str, scheme: str) -> None:
    tab = page_at(*SIZES[size], scheme)
    page = settled(tab, f"{url}/incident")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert is_inside(page)
    tab.screenshot(f"incidents-{size}-{scheme}")
    assert barriers(page) == []
    assert tab.problems == []


AXE: Final = Path(counterparts.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


def barriers(page: Page) -> list[str]:
    """What keeps people from using a page, by axe's rules: the serious and the critical, each with where it is."""
    # What is drawn anew is dimmed until the server has said everything.
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    page.wait_for_timeout(500)
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = (one for one in found["violations"] if one["impact"] in {"serious", "critical"})
    return [
        f"{one['id']}: {node['html'][:200]} {[why['message'] for why in node['any']]}"
        for one in serious
        for node in one["nodes"]
    ]


def is_inside(page: Page) -> bool:
    """Whether neither the page nor any table in it is wider than it has room for: nothing is cut off."""
    parts = "[document.documentElement, ...document.querySelectorAll('.e-scroll')]"
    return bool(page.evaluate(f"{parts}.every(part => part.scrollWidth <= part.clientWidth)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chart_takes_the_papers_colours(page_at: PageAt, url: str, scheme: str) -> None:
    page = settled(page_at(1280, 800, scheme), url)
    expect(page.locator("svg.marks")).to_be_visible()  # the first chart of a server that was just started takes longer
    ink = page.evaluate("getComputedStyle(document.querySelector('svg.marks .mark-text text')).fill")
    bright = sum(int(part) for part in ink.removeprefix("rgb(").removesuffix(")").split(",")) / 3
    assert bright > 180 if scheme == "dark" else bright < 75


def test_back_returns_to_what_was_shown(page_at: PageAt, url: str, company: Company) -> None:
    """From a vertical to all of them, from an incident to the vertical that it was opened from, and forward again."""
    tab = page_at(1280, 800)
    page = settled(tab, url)
    kicker, chosen = page.locator(".e-kicker"), f"{url}/?vertical=Payments"
    page.get_by_role("combobox", name="Vertical").click()
    page.get_by_test_id("stSelectboxVirtualDropdown").get_by_text("Payments").click()
    expect(kicker).to_have_text("Monthly review · Payments")
    expect(page).to_have_url(chosen)
    page.get_by_role("combobox", name="Month").click()
    page.get_by_test_id("stSelectboxVirtualDropdown").get_by_text(f"{company.months[-3]:%B %Y}").click()
    expect(page.locator(".e-dateline")).to_contain_text(f"{company.months[-3]:%B %Y}")
    page.go_back()
    expect(page.locator(".e-dateline")).to_contain_text(f"{company.months[-1]:%B %Y}")
    expect(page).to_have_url(chosen)
    page.go_back()
    expect(kicker).to_have_text("Monthly review · All verticals")
    expect(page).to_have_url(f"{url}/")
    page.go_forward()
    expect(kicker).to_have_text("Monthly review · Payments")
    page.get_by_role("link", name="Incidents", exact=True).click()
    expect(page.locator("h1.e-headline")).to_have_text("Incidents")
    page.go_back()
    expect(kicker).to_have_text("Monthly review · Payments")
    assert tab.problems == []


def test_month_and_vertical_go_into_the_address(page_at: PageAt, url: str, company: Company) -> None:
    tab = page_at(1280, 800)
    page = settled(tab, url)
    page.get_by_role("combobox", name="Vertical").click()
    page.get_by_test_id("stSelectboxVirtualDropdown").get_by_text("Payments").click()
    expect(page.locator(".e-kicker")).to_have_text("Monthly review · Payments")
    expect(page).to_have_url(f"{url}/?vertical=Payments")
    earlier = f"{company.months[-3]:%Y-%m}"
    again = settled(tab, f"{url}/?month={earlier}&vertical=Payments")
    expect(again.locator(".e-dateline")).to_contain_text(f"{company.months[-3]:%B %Y}")
    assert tab.problems == []


def test_the_meeting_decides_and_the_financials_open(page_at: PageAt, url: str) -> None:
    tab = page_at(1280, 900)
    page = settled(tab, f"{url}/?vertical={BROKEN}")
    expect(page.get_by_text("Locked: 1 key issue needs an owner and a decision first.")).to_be_visible()
    page.get_by_text("Record owner and decision").first.click()
    page.get_by_label("Owner", exact=True).fill("Ana Keller")
    page.get_by_label("Decision", exact=True).fill("Two engineers on Monday")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_text("on the month before")).to_be_visible()
    expect(page.get_by_text("Two engineers on Monday").first).to_be_visible()
    assert tab.problems == []


def test_a_chart_and_a_table_can_be_taken_along(page_at: PageAt, url: str, tmp_path: Path) -> None:
    tab = page_at(1280, 900)
    page = settled(tab, url)
    page.get_by_role("button", name="Download", exact=True).click()
    for label, start in (("The chart, PNG", b"\x89PNG"), ("The chart, SVG", b"<svg"), ("Figures, CSV", b"vertical,")):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=label).click()
        file = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(file)
        assert file.read_bytes().startswith(start)
    assert tab.problems == []


def test_the_keyboard_reaches_the_decision(page_at: PageAt, url: str) -> None:
    page = settled(page_at(1280, 900), url)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
    for wanted in ("Evidence and history", "Record owner and decision"):
        assert any(wanted in text for text in reached), reached


def test_health_and_the_empty_page_before_the_first_load(page_at: PageAt, tmp_path: Path) -> None:
    write_config(tmp_path / "config")
    environ = {"EARSHOT_CONFIG": str(tmp_path / "config"), "EARSHOT_DATA": str(tmp_path / "data")}
    with served(environ) as address:
        status, body = health(address)
        assert (status, body["ok"], body["generation"], body["state"]) == (503, False, None, "reachable")
        tab = page_at(1280, 800)
        page = tab.open(address)
        expect(page.get_by_text("python -m queries demo")).to_be_visible(timeout=60_000)
        tab.screenshot("empty")
        assert tab.problems == []


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 101), ("attacker.example", 421)])
def test_other_names_for_this_machine_are_refused(url: str, host: str, status: int) -> None:
    """A page of another site must not reach the server by a name of its own that leads to 127.0.0.1."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
    headers = {"Host": host, "Origin": f"http://{host}", "Connection": "Upgrade", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    with closing(connection):
        connection.request("GET", "/_stcore/stream", headers=headers)
        assert connection.getresponse().status == status


WHERE_READERS_LIVE: Final = pytest.mark.parametrize(
    ("zone", "at", "size", "scheme"),
    [
        ("Pacific/Auckland", clock(0, 30), "phone", "light"),
        pytest.param("America/Los_Angeles", clock(22), "laptop", "dark", marks=pytest.mark.proof),
    ],
)
"""Half an hour into a day that has not begun in Greenwich, and two hours before the end of one that is over there."""


@WHERE_READERS_LIVE
def test_where_readers_live_and_nothing_is_known_of_defects(
    page_at: PageAt, tmp_path: Path, now: Now, zone: str, at: clock, size: str, scheme: str
) -> None:
    """Each page names the reader's own day, and what no data tells is neither a miss nor excellence."""
    company = found(tmp_path, now().date(), months=4, zone=zone, clock=at)
    with EmbeddedWarehouse(company.data / "warehouse").draft() as draft:
        draft.conn.exec_driver_sql("delete from defect")
        draft.conn.exec_driver_sql("update generation set number = number + 1")
    tab, day = page_at(*SIZES[size], scheme), f"5 {company.months[-1]:%B}"
    with served(company.environ) as address:
        assert health(address)[0] == 200
        review = settled(tab, address)
        expect(review.locator(".e-issue dd", has_text=day)).to_have_count(2)
        expect(review.get_by_text("Journeys with a defect", exact=False).first).to_be_visible()
        tab.screenshot(f"review-{zone}")
        listed = settled(tab, f"{address}/incident")
        expect(listed.locator("td", has_text=day)).to_have_count(2)
        shown = settled(tab, f"{address}/incident?id={company.incident}")
        expect(shown.get_by_text(re.compile(rf"{day}( \d{{4}})?, {at:%H:%M} ")).first).to_be_visible()
        expect(shown.locator("svg.marks").first).to_contain_text(f"found 5 {company.months[-1]:%b}")
        tab.screenshot(f"incident-{zone}")
    assert tab.problems == []


def test_nobodys_typed_text_is_lost(page_at: PageAt, url: str, company: Company) -> None:
    """One types a decision, an action and a reason, while the other acknowledges the incident, and then closes it."""
    slow, quick = page_at(1280, 900), page_at(1280, 900)
    link = f"{url}/incident?id={company.incident}"
    meeting, acting = settled(slow, f"{url}/?vertical={BROKEN}"), settled(quick, link)
    meeting.get_by_text("Record owner and decision").first.click()
    meeting.get_by_label("Owner", exact=True).fill("Ana Keller")
    meeting.get_by_label("Decision", exact=True).fill("Two engineers on Tuesday")
    acting.get_by_role("button", name="Acknowledge").click()
    expect(acting.locator(".e-state")).to_contain_text("acknowledged by open mode")
    meeting.get_by_role("button", name="Record", exact=True).click()
    expect(meeting.locator(".e-issue").get_by_text("Two engineers on Tuesday")).to_be_visible()
    typing = settled(slow, link)
    typing.get_by_text("Record an action").click()
    typing.get_by_label("Action", exact=True).fill("Train the new fitters")
    typing.get_by_role("button", name="Close it").click()
    typing.get_by_label("Why").fill("The vans were late")
    acting.get_by_role("button", name="Close it").click()
    acting.get_by_label("Why").fill("Solved")
    acting.get_by_role("button", name="Close the incident").click()
    expect(acting.locator(".e-state")).to_contain_text("Closed on")
    typing.get_by_role("button", name="Close the incident").click()
    lost = typing.get_by_text("It was closed meanwhile. What you typed was not recorded: “The vans were late”")
    expect(lost).to_be_visible()
    typing.get_by_label("Action", exact=True).press("Tab")
    expect(typing.get_by_label("Action", exact=True)).to_have_value("Train the new fitters")
    expect(lost).to_be_visible()
    assert slow.problems == quick.problems == []
