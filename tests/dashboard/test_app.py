"""The pages as Streamlit runs them, over a small company whose every figure is known."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from shutil import copytree
from time import sleep
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from config.reading import read_catalog
from config.settings import read_settings
from dashboard import cache, stores
from dashboard.review import data as review_data
from dashboard.server import options
from queries.engine import ChangeCount
from queries.review import Issue, MetricStatus, Money
from queries.review.action_effects import effect_of
from queries.state import Action, Override, UnknownIncidentError, entries, read_incident, record_override
from queries.warehouse import EmbeddedWarehouse, Scope
from tests.support.small_company import BROKEN, VERTICALS, Company, found, write_config
from tests.support.states import NewState
from triggers.incidents import actions, snooze

CHECKOUT = Path(stores.__file__).parents[1]
APP = str(CHECKOUT / "dashboard" / "app.py")
TODAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
HOSTILE = ("<script>alert(1)</script>", "Energy", "*bold* <!channel> & co", "Payments", "=cmd|' /C calc'!A0", "x" * 300)

Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return found(tmp_path_factory.mktemp("company"), TODAY)


def kept(company: Company) -> closing[sqlite3.Connection]:
    """The file of its state."""
    return closing(sqlite3.connect(company.data / "state.db"))


@pytest.fixture
def company(_company: Company, tmp_path: Path) -> Company:
    """The company by itself: what a test decides is forgotten."""
    copy = replace(_company, data=tmp_path / "data")
    copytree(_company.data / "warehouse", copy.data / "warehouse")
    with kept(_company) as source, kept(copy) as target:
        source.backup(target)
    return copy


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """A function that opens a page of the app: `opened(company, month="2026-09")`."""

    def open_(company: Company | None, page: str | None = None, **query: str) -> AppTest:
        for name, value in (company.environ if company else {}).items():
            monkeypatch.setenv(name, value)
        at = AppTest.from_file(APP, default_timeout=60)
        at.query_params.update(query)
        at.run()
        return at.switch_page(f"views/{page}.py").run() if page else at

    yield open_
    stores.close()


def page(at: AppTest) -> str:
    """Everything the page writes itself."""
    assert not at.exception, at.exception[0].stack_trace
    return "\n".join(element.proto.body for element in at.get("html"))


def month_name(company: Company) -> str:
    return f"{company.month:%B %Y}"


# The review


def test_the_review_opens_with_one_sentence_from_the_data(opened: Opened, company: Company) -> None:
    text = page(opened(company))
    headline = text.split('class="e-headline">')[1].split("</h1>")[0]
    assert headline == (
        "A key account is a detractor in Payments; one more issue needs a decision. One vertical misses "
        "at least one goal, two meet every goal with enough cases and three are too close to call on at least one."
    )
    assert month_name(company) in text


def test_issues_say_what_where_since_when_how_sure_and_whose(opened: Opened, company: Company) -> None:
    text = page(opened(company))
    issue = text.split("Promises are not kept</h3>")[1].split("</article>")[0]
    for said in (
        BROKEN,
        "severity 2",
        f"<dt>Found</dt><dd>5 {month_name(company)}</dd>",
        "71%",
        "67 to 74%",
        "goal 90%",
        "n = 620",
        "missing",
    ):
        assert said in issue


def test_an_audience_is_shown_as_many_issues_as_it_is_allowed(opened: Opened, company: Company) -> None:
    file = company.config / "audiences.toml"
    allowed = file.read_text(encoding="utf-8")
    assert page(opened(company)).count('class="e-issue"') > 1
    try:
        file.write_text(allowed.replace("issues = 50", "issues = 1"), encoding="utf-8")
        at = opened(company)
        assert page(at).count('class="e-issue"') == 1
        assert any("more, less pressing" in link.proto.label for link in at.get("page_link"))
    finally:
        file.write_text(allowed, encoding="utf-8")


def test_the_month_and_the_vertical_come_from_the_link(opened: Opened, company: Company) -> None:
    at = opened(company, month="2026-05", vertical="Payments")
    text = page(at)
    assert "Monthly review · Payments" in text
    assert "May 2026" in text
    assert "Capital Markets" not in text
    assert at.selectbox(key="month").value == "2026-05"


@pytest.mark.parametrize("spelled", ["payments", "PAYMENTS", "Payments"])
def test_a_link_leads_to_its_vertical_however_it_is_spelled(opened: Opened, company: Company, spelled: str) -> None:
    text = page(opened(company, vertical=spelled))
    assert "Monthly review · Payments" in text
    assert "does not exist" not in text


def test_the_address_follows_what_is_chosen_and_the_page_follows_the_address(opened: Opened, company: Company) -> None:
    """As it does where somebody goes back."""
    at = opened(company)
    assert not at.query_params
    at.selectbox(key="vertical").select("Payments").run()
    assert at.query_params == {"vertical": "Payments"}
    at.selectbox(key="month").select("2026-05").run()
    assert at.query_params == {"vertical": "Payments", "month": "2026-05"}
    assert "Monthly review · Payments" in page(at)
    at.query_params.clear()
    text = page(at.run())
    assert "Monthly review · All verticals" in text
    assert month_name(company) in text
    at.query_params["vertical"] = "Payments"
    assert "Monthly review · Payments" in page(at.run())
    at.selectbox(key="vertical").set_value(None).run()
    assert not at.query_params


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"month": "2026-13"}, "month in this link, “2026-13”"),
        ({"month": "1999-01"}, "month in this link, “1999-01”"),
        ({"vertical": "Nowhere"}, "vertical in this link, “Nowhere”"),
        ({"vertical": "<script>alert(1)</script>"}, "vertical in this link, “&lt;script&gt;alert(1)&lt;/script&gt;”"),
        ({"metric": "likes"}, "metric in this link, “likes”"),
        ({"function": "Marketing"}, "function in this link, “Marketing”"),
        ({"month": "x" * 5000}, "month in this link, “" + "x" * 80 + "”"),
    ],
)
def test_a_link_to_what_is_not_there_says_so(
    opened: Opened, company: Company, query: dict[str, str], named: str
) -> None:
    text = page(opened(company, **query))
    assert f"The {named}, does not exist. Showing the default instead." in text
    assert "<script>alert" not in text
    assert month_name(company) in text  # and the page is shown all the same


def test_open_mode_and_a_missing_token_are_said_on_every_page(opened: Opened, company: Company) -> None:
    for name in (None, "incident"):
        text = page(opened(company, name))
        assert "Open mode" in text
        assert "Slack has no token." in text


def test_waiting_messages_are_said_with_the_command_that_shows_them(opened: Opened, company: Company) -> None:
    queue(company, "pending")
    queue(company, "dead")
    text = page(opened(company))
    assert "Slack has no token: 1 message waits. Slack refused 1 message." in text
    assert "<code>python -m triggers outbox --text</code>" in text


def queue(company: Company, state: str, **more: str) -> None:
    with kept(company) as conn, conn:
        at = "2026-11-01 00:00:00.000000"
        row = {"id": state, "incident_id": company.incident, "episode": 1, "kind": "root", "step": 0, "state": state}
        row |= {"target": "service", "version": 1, "attempts": 0, "due_at": at, "created_at": at} | more
        conn.execute(f"insert into outbox ({', '.join(row)}) values ({', '.join('?' * len(row))})", (*row.values(),))


@pytest.mark.parametrize(
    ("state", "more", "words", "summary"),
    [
        (
            "pending",
            {},
            "pending: Slack has no token, due 1 November 2026",
            "1 waiting to be sent and 1 that nobody was notified of",
        ),
        (
            "claimed",
            {},
            "pending: Slack has no token, due 1 November 2026",
            "1 waiting to be sent and 1 that nobody was notified of",
        ),
        (
            "dead",
            {"error": "channel_not_found"},
            "refused by Slack: channel_not_found",
            "2 that nobody was notified of",
        ),
        (
            "sent",
            {"sent_at": "2026-11-27 08:59:00.000000", "channel": "C1", "ts": "17.5"},
            (
                '<a href="https://slack.com/app_redirect?channel=C1&amp;message_ts=17.5">notified 27 November 2026, '
                "08:59 UTC</a>"
            ),
            "1 notified and 1 that nobody was notified of",
        ),
        (None, {}, "not sent: nothing was queued", "2 that nobody was notified of"),
        ("backfill", {}, "not sent: found in past data", "2 that nobody was notified of"),
    ],
)
def test_nobody_was_told_what_slack_does_not_have(
    opened: Opened, company: Company, state: str | None, more: dict[str, str], words: str, summary: str
) -> None:
    if state == "backfill":
        with kept(company) as conn, conn:
            conn.execute("update incident set origin = 'backfill'")
    elif state:
        queue(company, state, **more)
    at = linked(opened, company, company.incident)
    told = page(at).split("Who is notified")[1]
    assert f'the channel of Service quality, at once <span class="e-muted">– {words}' in told
    assert (" notified " in told or ">notified " in told) == (state == "sent")
    at.query_params.pop("id")
    listed = page(at.run())
    assert f"2 open: {summary}; none has an owner." in listed
    # An outcome is counted of what Slack has, and of nothing else.
    assert ("What became of escalated incidents" in listed) == (state == "sent")


@pytest.mark.parametrize(
    ("state", "words"), [("sent", "1 escalated, 0 solved, none came back;"), ("dead", "No incident was escalated")]
)
def test_the_review_says_what_became_of_its_escalations(
    opened: Opened, company: Company, state: str, words: str
) -> None:
    queue(company, state, sent_at="2026-11-27 08:59:00.000000", channel="C1", ts="17.5")
    assert words in page(opened(company))


def test_a_digest_that_slack_has_told_its_incidents(opened: Opened, company: Company) -> None:
    queue(company, "superseded")
    queue(company, "sent", incident_id="digest", kind="digest", sent_at="2026-11-27 08:59:00.000000")
    with kept(company) as conn, conn:
        conn.execute("insert into digest_part values ('superseded', 'digest', ?, 'root')", (company.incident,))
    assert "notified 27 November 2026, 08:59 UTC in a digest" in page(linked(opened, company, company.incident))


def test_financials_open_when_each_issue_has_an_owner_and_a_decision(opened: Opened, company: Company) -> None:
    at = opened(company)
    assert "Locked: 2 key issues need an owner and a decision first." in page(at)
    assert "on the month before" not in page(at)
    for issue in ("detractor|", f"promises|vertical={BROKEN}"):
        at = record(at, issue, company.month)
    text = page(at)
    assert "Closed:" not in text
    assert "on the month before" in text
    assert "Two engineers on Monday" in text
    assert "one more issue is decided" in text


def record(at: AppTest, issue: str, month: date) -> AppTest:
    """Type a decision into its form, as the meeting does."""
    key = f"deciding-{issue}-{month}"
    at.session_state[key] = True
    at.run()
    at.text_input[0].set_value("Ana Keller")
    at.text_area[0].set_value("Two engineers on Monday")
    at.button[0].click().run()
    at.session_state[key] = False
    return at.run()


def test_nobodys_text_is_lost_where_two_decide_at_once(opened: Opened, company: Company) -> None:
    key = f"deciding-promises|vertical={BROKEN}-{company.month}"
    both = [opened(company), opened(company)]
    for name, at in zip("AB", both, strict=True):
        at.session_state[key] = True
        at.run()
        at.text_input[0].set_value(f"Owner {name}")
        at.text_area[0].set_value(f"Text {name}")
    first, second = both
    first.button[0].click().run()
    assert [toast.value for toast in first.toast] == ["Recorded. 1 issue left to decide."]
    second.button[0].click().run()
    assert "Owner A, “Text A”. Yours is not recorded. Press Record once more" in second.warning[0].value
    assert (second.text_input[0].value, second.text_area[0].value) == ("Owner B", "Text B")
    assert "Text A" in page(second)
    second.button[0].click().run()
    assert not second.warning
    assert "Text B" in page(second)
    with kept(company) as conn:
        assert [row for (row,) in conn.execute("select what from action where issue is not null order by seq")] == [
            "Text A",
            "Text B",
        ]


def test_what_was_typed_into_a_form_that_is_gone_is_shown(
    opened: Opened, company: Company, new_state: NewState
) -> None:
    at = linked(opened, company, company.incident)
    at.session_state["close"] = True
    at.run()
    with new_state(company.data).begin() as conn:
        actions.resolve(conn, company.incident, "ana", "a test truck", Scope(), NOW, must_say_why=True)
    at.text_input[0].set_value("the part was replaced")
    next(button for button in at.button if button.label == "Close the incident").click().run()
    assert "What you typed was not recorded: “the part was replaced”" in page(at)


def test_an_override_opens_the_financials_and_is_logged(opened: Opened, company: Company) -> None:
    at = opened(company)
    key = f"overrule-{company.month}-None"
    at.session_state[key] = True
    at.run()
    at.text_input[0].set_value("the board waits")
    at.button[0].click().run()
    assert "with issues undecided: the board waits" in page(at)
    with kept(company) as conn:
        assert conn.execute("select author, reason from override").fetchall() == [("open mode", "the board waits")]


def test_a_quiet_vertical_shows_its_goals_and_its_financials(opened: Opened, company: Company) -> None:
    text = page(opened(company, vertical="Capital Markets"))
    assert "None: no incident was open and no goal was missed." in text
    assert "on the month before" in text  # nothing is left to decide


def test_revenue_without_a_rate_is_refused_in_place_of_the_finances(
    opened: Opened, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the review is held."""
    monkeypatch.setenv("EARSHOT_CURRENCY", "USD")
    text = page(opened(company, vertical="Capital Markets"))
    assert "None: no incident was open and no goal was missed." in text
    assert "Revenue is not shown: revenue in EUR for " in text
    assert "has no rate; load the rate of each of these months into fx_rate." in text
    assert "on the month before" not in text


def test_too_few_answers_are_no_figure(opened: Opened, company: Company) -> None:
    at = opened(company, vertical="Insurance")
    spec = json.loads(at.get("vega_lite_chart")[0].proto.spec)
    assert "hconcat" in spec
    assert not at.exception


def test_names_are_shown_as_text(opened: Opened, tmp_path: Path) -> None:
    company = found(tmp_path, TODAY, HOSTILE, months=4)
    for vertical in (None, *HOSTILE):
        text = page(opened(company, **({"vertical": vertical} if vertical else {})))
        assert "<script>alert" not in text
        assert "<!channel>" not in text


@pytest.mark.parametrize(
    ("zone", "clock"), [("Pacific/Auckland", time(0, 30)), ("America/Los_Angeles", time(22)), ("UTC", time(23, 59))]
)
def test_every_page_names_the_readers_own_day(opened: Opened, tmp_path: Path, zone: str, clock: time) -> None:
    """East of Greenwich the day has begun that it has not begun there; west of it, it is not over yet."""
    company = found(tmp_path, TODAY, months=4, zone=zone, clock=clock)
    day = f"5 {month_name(company)}"
    review = page(opened(company))
    assert review.count(f"<dt>Found</dt><dd>{day}</dd>") == 2
    listed = opened(company, "incident")
    assert page(listed).count(f'data-label="Found">{day}</td>') == 2
    listed.query_params["id"] = company.incident
    shown = page(listed.run())
    assert f"{day}, {clock:%H:%M} " in shown
    spec = json.loads(listed.get("vega_lite_chart")[0].proto.spec)
    assert f"found 5 {company.month:%b}" in json.dumps(spec) + repr(listed.get("vega_lite_chart")[0].proto)


# Incidents


def test_incidents_are_listed_with_links(opened: Opened, company: Company) -> None:
    text = page(opened(company, "incident"))
    assert f'href="incident?id={company.incident}"' in text
    assert "Payments Holding, Payments" in text  # the account of the severe case


def test_the_list_begins_with_the_most_severe_and_can_be_narrowed(opened: Opened, company: Company) -> None:
    at = opened(company, "incident")
    severities = [int(one) for one in re.findall(r"severity (\d)</span>", page(at))]
    assert severities == sorted(severities)
    assert len(severities) == 2
    at.selectbox(key="vertical").set_value(BROKEN).run()
    assert f"incident?id={company.incident}" in page(at)
    assert page(at).count("severity ") == 1
    assert at.query_params["vertical"] == BROKEN
    at.selectbox(key="owner").set_value("nobody").run()
    assert page(at).count("severity ") == 1


def test_an_incident_opens_by_its_link(opened: Opened, company: Company) -> None:
    text = page(linked(opened, company, company.incident))
    for said in (
        f"Promises are not kept – {BROKEN}",
        "71%",
        "67 to 74%",
        "Ask the field team",
        "Opened: beyond the limit",
    ):
        assert said in text
    assert "Head of installation, after 4 hours without acknowledgement" in text


def linked(opened: Opened, company: Company, id_: str) -> AppTest:
    at = opened(company, "incident")
    at.query_params["id"] = id_
    return at.run()


def test_a_severe_case_names_its_account(opened: Opened, company: Company) -> None:
    text = page(linked(opened, company, company.detractor))
    assert "A key account is a detractor – Payments Holding, Payments" in text


def test_an_unknown_incident_says_so_and_shows_the_list(opened: Opened, company: Company) -> None:
    text = page(linked(opened, company, "<b>nothing</b>"))
    assert "does not exist, or you have no access to it" in text
    assert "Promises are not kept" in text


def test_taking_an_incident_on_is_recorded(opened: Opened, company: Company, new_state: NewState) -> None:
    at = linked(opened, company, company.incident)
    next(button for button in at.button if button.label == "Acknowledge").click().run()
    assert "Open, acknowledged by open mode" in page(at)
    with new_state(company.data).connect() as conn:
        assert [entry.kind for entry in entries(conn, company.incident)] == ["opened", "acknowledged"]


def test_an_action_is_recorded_where_the_incident_is(opened: Opened, company: Company) -> None:
    at = linked(opened, company, company.incident)
    at.session_state["new-action"] = True
    at.run()
    at.text_input[0].set_value("Retrain the field team")
    at.text_input[1].set_value("Ana Keller")
    next(button for button in at.button if button.label == "Record").click().run()
    assert "Retrain the field team" in page(at)
    with kept(company) as conn:
        rows = conn.execute("select what, owner, vertical, metric, incident_id from action").fetchall()
    assert rows == [("Retrain the field team", "Ana Keller", BROKEN, "promise-kept", company.incident)]


def test_what_is_over_cannot_be_taken_on(company: Company, new_state: NewState) -> None:
    states, everything = new_state(company.data), Scope()
    with states.begin() as conn:
        with pytest.raises(actions.NoReasonError, match="needs a reason"):
            actions.resolve(conn, company.incident, "ana", "  ", everything, NOW, must_say_why=True)
        actions.resolve(conn, company.incident, "ana", "a test truck", everything, NOW, must_say_why=True)
    with states.begin() as conn:
        assert read_incident(conn, company.incident, everything).state == "closed"
        with pytest.raises(actions.OverError, match="nothing to do"):
            actions.acknowledge(conn, company.incident, "ben", everything, NOW, must_be_first=True)


def test_what_is_told_is_brought_up_to_date(company: Company, new_state: NewState) -> None:
    queue(company, "pending")
    states = new_state(company.data)
    with states.begin() as conn:
        actions.acknowledge(conn, company.incident, "ana", Scope(), NOW, must_be_first=True)
    with kept(company) as conn:
        kinds = conn.execute("select kind from outbox where incident_id = ? order by kind", (company.incident,))
        assert [kind for (kind,) in kinds] == ["root", "update"]


def test_taking_on_ends_a_snooze(opened: Opened, company: Company, new_state: NewState) -> None:
    with new_state(company.data).begin() as conn:
        snooze(conn, company.incident, NOW + timedelta(days=2), "until Monday", "lead", Scope(), NOW)
    at = linked(opened, company, company.incident)
    assert "Open, snoozed by the head of installation until 23 November 2026, 09:00 UTC" in page(at)
    assert "Snoozed: until Monday" in page(at)
    next(button for button in at.button if button.label == "Acknowledge").click().run()
    assert "Open, acknowledged by open mode" in page(at)
    with new_state(company.data).connect() as conn:
        found = read_incident(conn, company.incident, Scope())
    assert (found.snoozed_until, found.assigned_to) == (None, "open mode")


def test_two_people_cannot_both_take_it_on(company: Company, new_state: NewState) -> None:
    states = new_state(company.data)
    with states.begin() as conn:
        actions.acknowledge(conn, company.incident, "ana", Scope(), NOW, must_be_first=True)
        with pytest.raises(actions.TakenError, match="ana has already acknowledged this incident"):
            actions.acknowledge(conn, company.incident, "ben", Scope(), NOW, must_be_first=True)


def test_an_incident_is_found_by_how_its_id_begins(company: Company, new_state: NewState) -> None:
    with new_state(company.data).connect() as conn:
        assert read_incident(conn, company.incident[:6], Scope()).id == company.incident
        for nobodys in (company.incident[:5], "", "%" * 8, "_" * 36, company.incident + "0"):
            with pytest.raises(UnknownIncidentError):
                read_incident(conn, nobodys, Scope())
        with pytest.raises(UnknownIncidentError):
            read_incident(conn, company.incident[:6], Scope("gm", frozenset({"Payments"})))


def test_another_verticals_incident_is_not_there(company: Company, new_state: NewState) -> None:
    mine = Scope("gm", frozenset({"Payments"}))
    with new_state(company.data).begin() as conn, pytest.raises(UnknownIncidentError):
        actions.acknowledge(conn, company.incident, "ben", mine, NOW, must_be_first=True)


# States of the page


def test_before_the_first_load_the_page_says_which_command_fills_it(opened: Opened, tmp_path: Path) -> None:
    empty = Company(tmp_path / "config", tmp_path / "data", (TODAY,), "", "")
    write_config(empty.config)
    text = page(opened(empty))
    for command in ("python -m queries demo", "python -m queries load SOURCE --data DIR"):
        assert command in text


def test_mistakes_in_the_configuration_are_listed_with_file_and_line(
    opened: Opened, company: Company, tmp_path: Path
) -> None:
    broken = replace(company, config=tmp_path / "broken")
    write_config(broken.config)
    goals = broken.config / "goals.toml"
    goals.write_text(goals.read_text().replace('"nps"', '"npz"').replace("value = 20", 'value = "<b>"'))
    text = page(opened(broken))
    assert "The configuration has mistakes" in text
    assert f"{goals}:" in text
    assert "npz" in text
    assert "<b>" not in text.replace("<b>&lt;", "")


def test_a_corrected_configuration_is_read_again(opened: Opened, company: Company, tmp_path: Path) -> None:
    edited = replace(company, config=tmp_path / "edited")
    write_config(edited.config)
    at = opened(edited)
    assert "goal 90%" in page(at)
    goals = edited.config / "goals.toml"
    goals.write_text(goals.read_text().replace("0.9", "0.95"))
    assert "goal 95%" in page(at.run())


def test_without_any_month_the_page_says_so(opened: Opened, tmp_path: Path) -> None:
    company = found(tmp_path, TODAY, verticals=VERTICALS[:4], months=2)
    file = company.data / "warehouse"
    with EmbeddedWarehouse(file).draft() as draft:
        for table in ("roll_contact", "roll_journey", "roll_response"):
            draft.conn.exec_driver_sql(f"delete from {table}")
        draft.conn.exec_driver_sql("update generation set number = number + 1")
    assert "There is no month of data you have access to." in page(opened(company))


def test_where_no_defect_was_ever_loaded_no_defect_rate_is_known(
    opened: Opened, company: Company, new_state: NewState
) -> None:
    """0% would be read as excellence."""
    verdicts = {}
    for is_filled in (True, False):
        if not is_filled:
            with EmbeddedWarehouse(company.data / "warehouse").draft() as draft:
                draft.conn.exec_driver_sql("delete from defect")
                draft.conn.exec_driver_sql("update generation set number = number + 1")
        with closing(EmbeddedWarehouse(company.data / "warehouse")) as warehouse, warehouse.pin() as pin:
            key = cache.page_key(read_settings({**company.environ}, None), "1", pin.generation, Scope(), NOW)
            key = replace(key, stamp=cache.config_fingerprint(company.config, NOW)).of(company.month, None)
            with new_state(company.data).connect() as state:
                standings = review_data.review(key, pin, state).standings
        verdicts[is_filled] = {
            name: {s.verdict for s in standings if s.metric.name == name} for name in ("defect-rate", "promise-kept")
        }
    assert verdicts[False] == {"defect-rate": {"no data"}, "promise-kept": verdicts[True]["promise-kept"]}
    assert "no data" not in verdicts[True]["defect-rate"]
    assert "Journeys with a defect in" not in page(opened(company))  # nor has it improved


# What is cached


def test_a_key_holds_everything_a_result_depends_on() -> None:
    key = cache.Key("data", "config", "1", "EUR", 3, "UTC", TODAY, Scope())
    others = (
        replace(key, data="other"),
        replace(key, folder="other"),
        replace(key, stamp="2"),
        replace(key, currency="USD"),
        replace(key, generation=4),
        replace(key, zone="Pacific/Auckland"),
        replace(key, day=date(2026, 11, 22)),
        replace(key, month=date(2026, 10, 1)),
        replace(key, vertical="Energy"),
        replace(key, scope=Scope("gm")),
        replace(key, scope=Scope(verticals=frozenset())),
        replace(key, scope=Scope(verticals=frozenset({"Energy"}))),
        replace(key, scope=Scope(touchpoints=frozenset({"Energy"}))),
        replace(key, scope=Scope(accounts=frozenset({"Energy"}))),
        replace(key, has_names=True),
        # What is withheld for privacy depends on what else the reader may see.
        replace(key, scope=Scope().narrowed("Energy")),
        replace(key, scope=Scope(verticals=frozenset({"Energy"})).narrowed("Energy")),
    )
    assert len({cache._hashed(one) for one in (key, *others)}) == len(others) + 1
    both = (Scope(verticals=frozenset(order)) for order in (("a", "b"), ("b", "a")))
    assert len({cache._hashed(replace(key, scope=scope)) for scope in both}) == 1  # whatever order the set has


def test_a_key_for_one_vertical_is_never_wider_than_its_reader() -> None:
    key = cache.Key("data", "config", "1", "EUR", 3, "UTC", TODAY, Scope("gm", frozenset({"Energy"})))
    assert key.of(TODAY, "Energy").scope.verticals == frozenset({"Energy"})
    assert key.of(TODAY, "Payments").scope.verticals == frozenset()
    assert key.of(TODAY, None).scope.verticals == frozenset({"Energy"})


def test_each_change_of_the_configuration_is_seen(tmp_path: Path) -> None:
    """Also one of the same length within one tick of the file system's clock, and one whose time was set back."""
    file = tmp_path / "goals.toml"
    at = datetime.fromtimestamp(tmp_path.stat().st_ctime, UTC)
    assert cache.config_fingerprint(tmp_path / "none", at) == cache.config_fingerprint(tmp_path, at)
    seen = set[str]()
    for number in range(203):
        file.write_text(f"{number:04}", encoding="ascii")
        os.utime(file, (0, 0))
        is_old = number >= 200
        seen |= {cache.config_fingerprint(tmp_path, at + timedelta(hours=1) if is_old else at) for _ in range(2)}
        sleep(0.02 if is_old else 0)
    assert len(seen) == 203


def test_a_reader_of_one_vertical_is_served_that_one(company: Company, new_state: NewState) -> None:
    """The same page run for two readers, one after the other: nothing of the first reaches the second."""
    settings = read_settings({**company.environ}, None)
    stamp = cache.config_fingerprint(company.config, NOW)
    seen: dict[str, set[str | None]] = {}
    with (
        closing(EmbeddedWarehouse(company.data / "warehouse")) as warehouse,
        warehouse.pin() as pin,
        new_state(company.data).connect() as state,
    ):
        for scope in (Scope(), Scope("gm", frozenset({"Payments"}))):
            key = cache.page_key(settings, stamp, pin.generation, scope, NOW).of(company.month, None)
            written = review_data.written_review(key, (-1, 1), pin, state)
            review = written.review
            shown: list[MetricStatus | Money | Issue] = [*review.standings, *review.money, *review.issues]
            seen[scope.role] = {part.vertical for part in shown}
            assert (BROKEN in repr(written)) == (scope.role == "analyst")
    assert seen["gm"] == {"Payments"}
    assert seen["analyst"] >= set(VERTICALS)


def test_what_is_kept_is_what_was_drawn_and_of_the_same_reader_and_choice(opened: Opened, company: Company) -> None:
    """Once drawn, the HTML and the chart are not made again: they are the same the second time, and else others."""

    def drawn(at: AppTest) -> tuple[bytes, ...]:
        page(at)
        shown: list[Any] = [*at.get("html"), *at.get("vega_lite_chart")]
        return tuple(element.proto.SerializeToString(deterministic=True) for element in shown)

    every, one = (opened(company, **link) for link in ({}, {"vertical": BROKEN}))
    of_every, of_one = drawn(every), drawn(one)
    assert [drawn(at.run()) for at in (every, one)] == [of_every, of_one]
    assert not {*of_every[-1:]} & {*of_one[-1:]}
    control: Any = every.get("button_group")[0]
    other = next(name for name in control.options if name != control.value)
    assert drawn(control.set_value(other).run())[-1] != of_every[-1]
    assert drawn(opened(company)) == of_every


def test_arguments_by_place_and_by_name_are_one_result() -> None:
    @cache.shared()
    def made(place: str, other: str = "b") -> list[str]:
        return [place, other]

    assert made("a") is made(place="a")
    assert made("a", "c") is made("a", other="c")
    assert made("a", "c") == ["a", "c"] != made("c", "a")


def test_what_the_state_says_is_read_again_after_every_change(tmp_path: Path, new_state: NewState) -> None:
    read: list[int] = []

    @cache.until_changed
    def figure(place: str, changes: cache.Changes) -> int:
        del place, changes
        read.append(1)
        return len(read)

    state = new_state(tmp_path)
    with closing(ChangeCount(state)) as changes, closing(ChangeCount(state)) as another:
        assert [figure("here", changes.now()) for _ in range(3)] == [1, 1, 1]
        for number in range(2, 5):
            with state.begin() as conn:
                new = Override("A", f"because {number}", NOW.replace(tzinfo=None))
                record_override(conn, TODAY - timedelta(days=number), None, new)
            assert [figure("here", changes.now()) for _ in range(2)] == [number, number]
        # A second dashboard of the same process, as tests and reopened stores make one, shares nothing with the first.
        assert another.now() != changes.now()
        assert figure("here", another.now()) == 5
    assert [figure("there", None) for _ in range(2)] == [6, 7], "unknown changes: nothing is kept"


# The server


def test_open_mode_listens_to_this_machine_only(company: Company) -> None:
    settings = read_settings(company.environ, None)
    chosen = options(settings)
    assert chosen["server.address"] == "127.0.0.1"
    assert set(chosen["server.allowedHosts"]) == {"127.0.0.1", "localhost", "[::1]"}
    assert chosen["browser.gatherUsageStats"] is False


def test_without_open_mode_nobody_is_let_in(opened: Opened, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_DASHBOARD__OPEN_MODE", "false")
    text = page(opened(company))
    assert "Signing in is not set up. Set sign_in.metadata_url, sign_in.client_id, sign_in.client_secret" in text
    assert "Payments" not in text


def test_health_says_what_is_wrong(company: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in company.environ.items():
        monkeypatch.setenv(name, value)
    well = stores.health()
    assert (well.generation, well.state, well.is_well) == (1, True, True)
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "empty"))
    empty = stores.health()
    assert (empty.generation, empty.is_well) == (None, False)
    assert "nothing is loaded yet" in empty.problem
    monkeypatch.setenv("EARSHOT_CONFIG", str(tmp_path / "nowhere"))
    assert "settings.toml" in stores.health().problem
    stores.close()


def test_packages_of_another_installation_are_refused(tmp_path: Path) -> None:
    for name in ("config", "queries"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    path = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(CHECKOUT)!r}]"
    code = f"{path}; from dashboard.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("config, queries would come from another installation")


def test_mistakes_in_the_settings_are_said_before_anything_is_served(tmp_path: Path) -> None:
    variables = {**os.environ, "EARSHOT_CONFIG": str(tmp_path)}
    command = [sys.executable, "-m", "dashboard"]
    done = subprocess.run(command, cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "settings.toml" in done.stderr


def test_the_effect_of_an_action_is_read_from_the_warehouse(company: Company) -> None:
    """Defects in Retail Banking fell in the last month and nowhere else; the same action elsewhere did nothing."""
    catalog = read_catalog(company.config)
    verdicts = {}
    with closing(EmbeddedWarehouse(company.data / "warehouse")) as warehouse, warehouse.pin() as pin:
        for vertical in ("Retail Banking", "Payments"):
            taken = Action(vertical, "x", "Ana", company.month, NOW, "me", vertical=vertical, metric="defect-rate")
            metric = catalog.metric("defect-rate")
            verdicts[vertical] = effect_of(pin.conn, metric, taken, (taken,), Scope(), NOW).verdict
    assert verdicts["Retail Banking"] == "improved"
    assert verdicts["Payments"] not in {"improved", "worsened"}
