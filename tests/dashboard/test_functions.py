"""Review and incidents as one function of the company reads them: its issues, incidents and actions, and no others."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from streamlit.testing.v1 import AppTest

from config.reading import read_catalog
from config.settings import CHECKOUT
from dashboard import stores
from dashboard.review import files
from queries.engine import disposing
from queries.review.compose import of_function
from queries.review.document import MeetingState
from queries.state import COMPANY, NewAction, open_state, read_actions, record_action
from queries.warehouse import COLUMNS, EVERYTHING
from tests.dashboard.test_review import incident, made, series
from tests.support.company import rule
from tests.support.small_company import BROKEN, Company, found, write_config
from triggers.lab.rule_toml import rule_as_toml
from triggers.rules import version

TODAY: Final = date(2026, 11, 21)
FIELD: Final = "Field Service"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return found(tmp_path_factory.mktemp("company"), TODAY)


@pytest.fixture
def environ(company: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in company.environ.items():
        monkeypatch.setenv(name, value)
    yield
    stores.close()


def opened(page: str | None = None, **query: str) -> AppTest:
    at = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=60)
    at.query_params.update(query)
    at.run()
    return at.switch_page(f"views/{page}.py").run() if page else at


def text_of(at: AppTest) -> str:
    assert not at.exception, at.exception[0].stack_trace
    return "\n".join(element.proto.body for element in at.get("html"))


def test_each_shipped_rule_names_a_function() -> None:
    catalog = read_catalog(CHECKOUT / "config", COLUMNS)
    assert [one for one in (*catalog.rules, catalog.guard) if not one.function] == []
    assert {FIELD, "Sales", "Service Desk"} <= {*catalog.functions}


def test_another_function_makes_no_other_version_and_the_lab_keeps_it() -> None:
    one, other = (rule(function=name) for name in (FIELD, "Sales"))
    assert version(one).hash == version(other).hash == version(rule()).hash
    assert version(rule(severity=1)).hash != version(rule()).hash
    assert 'function = "Field Service"' in rule_as_toml(one)


@pytest.mark.parametrize("spelled", [FIELD, "field service"])
def test_a_link_narrows_the_review_and_the_page_says_so(environ: None, spelled: str) -> None:
    at = opened(function=spelled)
    text, whole = text_of(at), text_of(opened())
    assert text.count('<article class="e-issue">') == 1
    assert whole.count('<article class="e-issue">') == 2
    headline = text.split('class="e-headline">')[1].split("</h1>")[0]
    assert headline == f"Promises are not kept in {BROKEN}: 71% (Promises kept) against a goal of 90%."
    assert "Monthly review · All verticals · Field Service" in text
    assert "Only issues, actions and escalations of Field Service are shown." in text
    assert at.selectbox(key="function").value == FIELD
    # Two issues lock the financials, whatever is shown of them.
    assert "Locked: 2 key issues need" in text
    assert not [one for one in at.expander if one.label == "Close the review"]
    # Goals are those of verticals: the same rows stand in both.
    assert text.split("e-verdicts")[1].split("</table>")[0] == whole.split("e-verdicts")[1].split("</table>")[0]


def test_the_link_of_a_function_is_kept_by_what_the_page_links_to(environ: None, company: Company) -> None:
    text = text_of(opened(function=FIELD))
    month = f"{company.month:%Y-%m}"
    assert f"?month={month}&amp;function=Field+Service&amp;meeting=0" in text
    assert f'?month={month}&amp;function=Field+Service"' in text  # in the calendar of reviews


def test_a_function_without_an_issue_gets_no_all_clear(environ: None, company: Company) -> None:
    text = text_of(opened(function="Sales", month=f"{company.months[-4]:%Y-%m}"))
    assert f"Sales has no key issue in {company.months[-4]:%B %Y}." in text
    assert "None of Sales." in text
    assert "no goal was missed" not in text


def test_the_list_of_incidents_is_narrowed_by_link_and_by_choice(environ: None, company: Company) -> None:
    at = opened("incident", function=FIELD)
    text = text_of(at)
    assert (f"id={company.incident}" in text, f"id={company.detractor}" in text) == (True, False)
    assert "Field Service only. 1 open" in text
    at.selectbox(key="function").set_value("Sales").run()
    text = text_of(at)
    assert (f"id={company.incident}" in text, f"id={company.detractor}" in text) == (False, True)
    assert at.query_params["function"] == "Sales"
    at.query_params["function"] = "Marketing"
    text = text_of(at.run())
    assert "The function in this link, “Marketing”, does not exist." in text
    assert f"id={company.incident}" in text


@pytest.mark.parametrize("name", ["function", "vertical"])
def test_a_link_from_page_to_page_takes_its_choice_along(environ: None, company: Company, name: str) -> None:
    """Streamlit keeps what was chosen under a name of both pages, and draws the second one's without it."""
    value = {"function": FIELD, "vertical": BROKEN}[name]
    at = opened(None, **{name: value})
    at.switch_page("views/incident.py").run()
    assert at.selectbox(key=name).value == value
    assert f"id={company.detractor}" not in text_of(at)


def table(name: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    answer = files.answer(name, query, {}, lambda _: "")
    assert answer.status_code == 200, answer.body
    return [*csv.DictReader(io.StringIO(bytes(answer.body).decode()))]


def test_downloads_carry_it(environ: None, company: Company) -> None:
    month = {"month": f"{company.month:%Y-%m}"}
    every, mine = table("issues.csv", month), table("issues.csv", {**month, "function": FIELD})
    assert [row["function"] for row in every] == ["Sales", FIELD]
    assert mine == every[1:]
    unknown = files.answer("issues.csv", {**month, "function": "Marketing"}, {}, lambda _: "")
    assert unknown.status_code == 404
    links = dict(files.links({"issues.csv": "Issues"}, month["month"], function=FIELD, vertical=None))
    assert links["Issues"] == f"files/issues.csv?month={month['month']}&function=Field+Service"


def test_an_action_is_that_of_its_incident(environ: None, company: Company, tmp_path: Path) -> None:
    at = opened("incident")
    at.query_params["id"] = company.incident
    at.session_state["new-action"] = True
    at.run()
    assert "Incident · serious, severity 2 · Field Service" in text_of(at)
    next(one for one in at.text_input if one.label == "Action").set_value("Train the fitters")
    next(one for one in at.text_input if one.label == "Owner").set_value("Ana")
    next(one for one in at.button if one.label == "Record").click().run()
    text_of(at)
    with disposing(open_state(company.data)) as states, states.connect() as conn:
        (action,) = read_actions(conn, EVERYTHING)
    assert (action.what, action.function) == ("Train the fitters", FIELD)


def test_an_action_of_before_functions_is_that_of_its_incident(environ: None, company: Company) -> None:
    with disposing(open_state(company.data)) as states, states.begin() as conn:
        old = NewAction("Ring them", "Ben", company.month.replace(day=9), incident_id=company.detractor)
        decided = replace(old, month=company.month, review=COMPANY, issue="another|")
        record_action(conn, decided, "ben", datetime(2026, 11, 2, tzinfo=UTC))
    month = {"month": f"{company.month:%Y-%m}"}
    rows = [row for name in (FIELD, "Sales") for row in table("issues.csv", {**month, "function": name})]
    assert [("Ring them" in row["actions"]) for row in rows] == [False, True]


def test_a_closed_review_is_narrowed_too() -> None:
    issues = (incident("promises", "Energy", 2, function=FIELD), incident("calls", "Payments", 1, function="Sales"))
    standings = series([0.92] * 4), series([0.94] * 4, vertical="Payments")
    review = made(*standings, minutes=MeetingState(issues))
    own = of_function(review, FIELD, {})
    assert [issue.what for issue in own.issues] == ["Promises"]
    assert (own.function, own.undecided, review.undecided) == (FIELD, 2, 2)
    assert own.headline.startswith("Promises in Energy: 70.0%")
    assert own.tally == "1 issue from 1 incident open in October 2026."
    # One that was kept before issues named a function is that of today's rule.
    kept = replace(review, issues=tuple(replace(issue, function=None) for issue in review.issues))
    again = of_function(kept, FIELD, {"promises": FIELD, "calls": "Sales"})
    assert [issue.id for issue in again.issues] == [issue.id for issue in own.issues]
    assert of_function(kept, FIELD, {}).headline == "Field Service has no key issue in October 2026."


def test_a_figure_is_held_against_the_goal_of_its_function_and_the_pages_say_which(
    environ: None, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = text_of(opened())
    assert "<span>goal 90%</span>" in whole
    stores.close()
    write_config(tmp_path / "config")
    goals = tmp_path / "config" / "goals.toml"
    of_function = f'[[goal]]\nmetric = "promise-kept"\nvalue = 0.8\nvalid_from = 2015-01-01\nfunction = "{FIELD}"\n'
    goals.write_text(goals.read_text(encoding="utf-8") + of_function, encoding="utf-8")
    monkeypatch.setenv("EARSHOT_CONFIG", str(tmp_path / "config"))
    text = text_of(opened())
    assert "<span>goal 80% for Field Service</span>" in text
    assert "Promises kept (goal 90%)" in text  # that of the verticals stays theirs
    at = opened("incident")
    at.query_params["id"] = company.incident
    page = text_of(at.run())
    assert "<dt>Goal</dt><dd>80% for Field Service</dd>" in page
    assert "<dt>Limit</dt><dd>85%</dd>" in page


def test_a_reference_stands_beside_the_goal_and_is_held_against_nothing(
    environ: None, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = text_of(opened())
    stores.close()
    write_config(tmp_path / "config")
    goals = tmp_path / "config" / "goals.toml"
    beside = 'value = 0.9\nreference = {{ value = 0.99, source = "Sector <survey>", dated = {} }}\n'
    written = goals.read_text(encoding="utf-8")
    monkeypatch.setenv("EARSHOT_CONFIG", str(tmp_path / "config"))
    texts = []
    for dated in ("2025-06-01", "2199-01-01"):
        goals.write_text(written.replace("value = 0.9\n", beside.format(dated)), encoding="utf-8")
        texts.append(text_of(opened()))
        stores.close()
    words = "99% (Sector &lt;survey&gt;, 1 June 2025)"
    assert f"For comparison, not a goal: Promises kept {words}." in texts[0]
    assert f"<span>goal 90%</span><span>for comparison: {words}</span>" in texts[0]
    assert "for comparison" not in texts[1].lower()  # what is dated in the future is not known yet
    verdicts = [text.split("<tbody>")[1].split("</tbody>")[0] for text in (whole, texts[0])]
    assert verdicts[0] == verdicts[1]
