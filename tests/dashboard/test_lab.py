"""The threshold lab as Streamlit runs it, over a small company whose every figure is known."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from html import escape
from pathlib import Path
from shutil import copytree

import pytest
from streamlit.testing.v1 import AppTest

from config.models import Catalog
from config.reading import parse_known_incidents
from dashboard import stores
from dashboard.lab import page as lab_page
from dashboard.viewer import Viewer
from queries.warehouse import EmbeddedWarehouse, Scope
from tests.dashboard.test_app import APP, Opened, page
from tests.support.company import catalog, rows_of, rule, warehouse, weeks
from tests.support.installation import RULE, configure
from triggers.lab.backtest import backtest

pytestmark = [
    pytest.mark.dated(in_turn="what these say hangs on the day only where the page itself does"),
]
STORY = (4,) * 18 + (20,) * 4 + (45,) * 2 + (2,) * 12
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def first(today: date) -> date:
    """The Monday on which the story begins."""
    return today - timedelta(days=today.weekday() + 7 * 40)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, first: date) -> Path:
    folder = tmp_path_factory.mktemp("built")
    company = [week for name in ("Retail", HOSTILE) for week in weeks(first, STORY, vertical=name)]
    with warehouse(folder, catalog(rule()), rows_of(company)):
        pass
    return folder


@pytest.fixture
def opened(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """A function that opens the lab: `opened(rule="defects")`; `rules` is the text of triggers.toml."""

    def open_(rules: str = RULE, **query: str) -> AppTest:
        for name, value in configure(tmp_path, rules=rules).items():
            monkeypatch.setenv(name, value)
        if not (tmp_path / "warehouse").exists():
            copytree(built / "warehouse", tmp_path / "warehouse")
        at = AppTest.from_file(APP, default_timeout=90)
        at.query_params.update(query)
        return at.run().switch_page("views/lab.py").run()

    yield open_
    stores.close()


def headline(at: AppTest) -> str:
    return page(at).split('class="e-headline">')[1].split("</h1>")[0]


@pytest.mark.dated
def test_the_lab_says_what_the_rule_would_have_done(opened: Opened) -> None:
    at = opened(rule="defects")
    assert headline(at) == (
        "With a limit of 25% it would have opened 2 incidents; "
        "a reader of the delivery channel would be notified 2 times in the busiest week."
    )
    text = page(at)
    assert "Threshold lab · Journeys with a defect" in text
    assert "false alarms a year (95% CI " in text
    assert "None of its incidents has been rated yet." in text
    assert at.code[0].value == "limit = 0.25\nrecover = 0.2"


@pytest.mark.dated
def test_another_limit_has_other_consequences_and_nothing_is_written(opened: Opened, tmp_path: Path) -> None:
    at = opened(rule="defects")
    file = tmp_path / "config" / "triggers.toml"
    before = file.read_bytes()
    slider = at.select_slider[0]
    laxest = slider.options[0]
    at = slider.set_value(laxest_value(at)).run()
    assert f"With a limit of {laxest} it would have opened no incident and notified nobody." in headline(at)
    assert "currently 2" in page(at)
    assert at.code[0].value != "limit = 0.25\nrecover = 0.2"
    assert file.read_bytes() == before


def laxest_value(at: AppTest) -> float:
    text = at.select_slider[0].options[0]
    return float(text.removesuffix("%")) / 100


@pytest.mark.dated
def test_the_lab_shows_what_a_backtest_shows(opened: Opened, built: Path, first: date, today: date) -> None:
    """Both read the same company: how sure a rule must be hangs on the number of its slices."""
    text = page(opened(rule="defects"))
    with closing(EmbeddedWarehouse(built / "warehouse")) as made, made.pin() as pin:
        past = backtest(pin, catalog(rule(false_alarms_per_year=6)), first, today)
    found = {str(row.incident.vertical): row for row in past if row.class_ == "customer"}
    assert found.keys() == {"Retail", HOSTILE}
    for vertical, row in found.items():
        assert row.value is not None
        assert row.resolved_at is not None
        cells = (day(row.opened_at), escape(vertical), f"{row.value:.1%}", str(row.n), day(row.resolved_at))
        assert "".join(f"<td>{cell}</td>" for cell in cells) in re.sub("<td [^>]*>", "<td>", text)


def day(at: datetime) -> str:
    return f"{at:%-d %B %Y}"


@pytest.mark.dated
def test_a_draft_is_tried_and_its_mistakes_have_lines(opened: Opened) -> None:
    at = opened(rule="defects")
    at = at.toggle(key="is-draft").set_value(True).run()
    area = at.text_area[0]
    written = str(area.value)
    assert 'name = "defects"' in written
    area.set_value(written.replace("limit = 0.25", "limit = 0.60").replace("0.2\n", "0.5\n"))
    at = next(button for button in at.button if button.label == "Try it").click().run()
    assert "With a limit of 60%" in headline(at)
    at.text_area[0].set_value(written.replace("limit", "limitt"))
    at = next(button for button in at.button if button.label == "Try it").click().run()
    assert "The draft has mistakes" in page(at)
    assert "<code>draft:7</code>" in page(at)
    assert "did you mean" in page(at)


def test_text_of_a_customer_is_shown_as_text(opened: Opened) -> None:
    text = page(opened(rule="defects"))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_link_to_no_rule_says_so(opened: Opened) -> None:
    text = page(opened(rule="<b>nothing</b>"))
    assert "The rule in this link, “&lt;b&gt;nothing&lt;/b&gt;”, does not exist." in text


def test_the_first_rule_is_shown_where_the_link_names_none(opened: Opened) -> None:
    assert headline(opened()).startswith("With a limit of 25%")


def test_without_a_rule_on_a_metric_a_draft_can_be_begun(opened: Opened) -> None:
    guard, _, _ = RULE.partition("[[rule]]")
    text = page(at := opened(rules=guard))
    assert "No rule reads a metric yet" in text
    assert "The draft has mistakes" in text
    assert at.text_area[0].value == "[[rule]]\n"


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(role="gm"), "audiences.toml does not list “lab” among your pages"),
        (Scope(role="executive"), "audiences.toml does not list “lab” among your pages"),
        (Scope(role="analyst", verticals=frozenset({"Retail"})), "you may see a part of it"),
        (Scope(role="analyst", accounts=frozenset()), "you may see a part of it"),
    ],
)
def test_who_may_not_see_everything_sees_no_lab(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, scope: Scope, said: str
) -> None:
    def somebody(known: Catalog) -> Viewer:
        return Viewer("somebody", scope, known.audience(scope.role))

    monkeypatch.setattr("dashboard.page_session.open_viewer", somebody)
    text = page(opened(rule="defects"))
    assert said in text
    assert '<h1 class="e-headline">' not in text
    assert "Retail" not in text


def test_an_example_of_what_is_known_can_be_read() -> None:
    text = lab_page.EXAMPLE.format(metric="defect-rate", since=date(2026, 1, 1), until=date(2026, 2, 1))
    (known,) = parse_known_incidents(text, catalog(rule()))
    assert (known.metric, known.slice) == ("defect-rate", {"vertical": "Retail"})
