"""A review that is closed: it stays as it was, for whom it was made, whatever is loaded and decided afterwards."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import copytree
from typing import Any, Final

import openpyxl
import pypdf
import pytest
from pptx import Presentation
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from config.models import Audience
from config.settings import CHECKOUT, read_settings
from dashboard import cache, stores
from dashboard.review import data as review_data
from dashboard.review.closing import may_close
from dashboard.viewer import Viewer
from queries.__main__ import main
from queries.operations.redaction import Redaction, redact
from queries.review.compose import within
from queries.review.document import PageBudget
from queries.review.stored_document import StoredDocument, document_json, read_document
from queries.state import (
    COMPANY,
    ClosedReview,
    ClosedReviewError,
    NewAction,
    Override,
    closed_review,
    read_closed_review,
    record_action,
    record_closed_review,
    record_override,
)
from queries.warehouse import EmbeddedWarehouse, Scope, rollups
from tests.support.small_company import BROKEN, Company, found, load_late, load_more
from tests.support.states import NewState

TODAY: Final = date(2026, 11, 21)
NOW: Final = datetime(2026, 11, 21, 9, tzinfo=UTC)
Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return found(tmp_path_factory.mktemp("company"), TODAY)


@pytest.fixture
def company(_company: Company, tmp_path: Path) -> Company:
    copy = replace(_company, data=tmp_path / "data")
    copytree(_company.data / "warehouse", copy.data / "warehouse")
    files = (closing(sqlite3.connect(one.data / "state.db")) for one in (_company, copy))
    with next(files) as source, next(files) as target:
        source.backup(target)
    return copy


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    def open_(company: Company, **query: str) -> AppTest:
        for name, value in company.environ.items():
            monkeypatch.setenv(name, value)
        at = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=60)
        at.query_params.update(query)
        return at.run()

    yield open_
    stores.close()


def page(at: AppTest) -> str:
    assert not at.exception, at.exception[0].stack_trace
    return "\n".join(element.proto.body for element in at.get("html"))


def decide(at: AppTest, company: Company, text: str = "Two engineers on Monday") -> AppTest:
    """Both issues."""
    for issue in ("detractor|", f"promises|vertical={BROKEN}"):
        key = f"deciding-{issue}-{company.month}"
        at.session_state[key] = True
        at.run()
        at.text_input[0].set_value("Ana Keller")
        at.text_area[0].set_value(text)
        at.button[0].click().run()
        at.session_state[key] = False
        at.run()
    return at


def begin_to_close(at: AppTest, company: Company) -> AppTest:
    at.session_state[f"closing-{company.month}-None"] = True
    return at.run()


def press(at: AppTest) -> AppTest:
    return next(button for button in at.button if button.label == "Close the review").click().run()


def close(at: AppTest, company: Company) -> AppTest:
    begin_to_close(decide(at, company), company)
    at.text_input[0].set_value("Ana, Ben and the board")
    return press(at)


def figures(text: str) -> list[str]:
    """The table of verticals and goals, the figures of the issues, and the finances."""
    return re.findall(r"<table.*?</table>|<strong>.*?</strong>", text, re.DOTALL)


def test_a_closed_review_shows_equal_figures_after_late_data_and_says_where_others_are(
    opened: Opened, company: Company
) -> None:
    at = close(opened(company), company)
    before, month = page(at), f"{company.month:%Y-%m}"
    assert re.search(r"Closed on \d+ \w+ \d{4} by open mode\. Present: Ana, Ben and the board\.", before)
    assert "shows other figures" not in before
    assert not [one for one in at.expander if one.label in {"Record owner and decision", "Close the review"}]
    stores.close()
    load_late(company)
    after = page(opened(company, month=month))
    assert figures(after) == figures(before)
    link = f"?month={month}&amp;figures=newest"
    assert f'Newer data shows other figures for this month: <a href="{link}">see them</a>' in after
    newest = page(opened(company, month=month, figures="newest"))
    assert figures(newest) != figures(before)
    assert f'<a href="?month={month}">see it as it was closed</a>' in newest
    # A chart is kept by what it shows: that of the newest figures is another one.
    shown, others = (opened(company, month=month, **more) for more in ({}, {"figures": "newest"}))
    charts: list[Any] = [one.get("vega_lite_chart")[0] for one in (at, shown, others)]
    assert [chart.proto.spec for chart in charts[:1]] == [charts[1].proto.spec] != [charts[2].proto.spec]


def test_documents_of_a_closed_review_show_its_figures_whatever_is_loaded(
    opened: Opened, company: Company, tmp_path: Path
) -> None:
    """PDF, slides and workbook, read back by other libraries, say what its page said."""
    before = page(close(opened(company), company))
    stores.close()
    load_late(company)
    said = {form: written_as(form, tmp_path, company) for form in ("pdf", "pptx", "xlsx")}
    cells = re.findall(r'<td class="e-(?:miss|muted)">(.+?)</td>', before.partition("</table>")[0])
    wanted = [*cells, *re.findall(r"<strong>(.+?)</strong>", before), "Two engineers on Monday"]
    assert len(wanted) > 10
    for form, text in said.items():
        assert [one for one in wanted if one not in text] == [], form
        assert "Present: Ana, Ben and the board." in text


def written_as(form: str, folder: Path, company: Company) -> str:
    out = folder / f"review.{form}"
    assert main(["report", "review", "--month", f"{company.month:%Y-%m}", "--out", str(out)]) == 0
    if form == "pdf":
        return " ".join(" ".join(one.extract_text() for one in pypdf.PdfReader(out).pages).split())
    if form == "xlsx":
        sheets = openpyxl.load_workbook(out).worksheets
        return " ".join(str(cell.value) for sheet in sheets for row in sheet.iter_rows() for cell in row)
    shapes = [shape for slide in Presentation(str(out)).slides for shape in slide.shapes]
    texts = [shape.text_frame.text for shape in shapes if shape.has_text_frame]
    tables = [shape.table for shape in shapes if shape.has_table]
    return " ".join([*texts, *(cell.text for table in tables for row in table.rows for cell in row.cells)])


def test_an_erasure_takes_names_and_texts_and_leaves_the_figures(
    opened: Opened, company: Company, new_state: NewState
) -> None:
    """And one line says so; to others the decision reads on."""
    text = "Call Payments Holding (A03) on Monday"
    before = page(press(begin_to_close(decide(opened(company), company, text), company)))
    assert before.count("Payments Holding") == 2
    with new_state(company.data).begin() as conn:
        gone = Redaction(
            "0123456789", NOW.replace(tzinfo=None), "A03", frozenset(), "Payments Holding", may_be_named=True
        )
        redact(conn, gone, NOW)
    after = page(opened(company, month=f"{company.month:%Y-%m}"))
    assert "Payments Holding" not in after
    assert "A03" not in after
    assert after.count("Call erased-01234567 (erased-01234567) on Monday") == 2
    assert "Names and texts were erased from this review on 21 November 2026; its figures are as they were." in after
    assert figures(after) == figures(before)


def test_the_calendar_says_when_reviews_are_due_and_were_held(opened: Opened, company: Company) -> None:
    """October's by the tenth business day of November."""
    rows = page(opened(company)).split("Due by</th>")[1].split("</table>")[0]
    assert rows.count("<tr><td>") == 6
    assert '<a href="?month=2026-10">October 2026</a></td><td data-label="Due by">13 November 2026</td>' in rows
    assert rows.count("not closed") == 6
    rows = page(close(opened(company), company)).split("Due by</th>")[1].split("</table>")[0]
    assert rows.count("not closed") == 5
    assert re.search(r">13 November 2026</td><td data-label=\"Held\">\d+ \w+ \d{4}<", rows)


def test_nothing_is_decided_in_a_closed_review(opened: Opened, company: Company, new_state: NewState) -> None:
    close(opened(company), company)
    at = NOW.replace(tzinfo=None)
    new = NewAction("Wait", "Ana", TODAY, month=company.month, review=COMPANY, issue="promises|")
    with new_state(company.data).begin() as conn:
        with pytest.raises(ClosedReviewError, match=r"the review of October 2026 is closed"):
            record_action(conn, new, "ana", NOW)
        with pytest.raises(ClosedReviewError):
            record_override(conn, company.month, None, Override("ana", "the board waits", at))
        (row,) = conn.execute(select(closed_review)).all()
        with pytest.raises(ClosedReviewError):
            record_closed_review(conn, ClosedReview(*row))
        assert record_action(conn, replace(new, month=date(2026, 11, 1)), "ana", NOW).what == "Wait"
        assert record_action(conn, replace(new, review="Payments"), "ana", NOW).what == "Wait"


def test_a_review_is_closed_as_it_was_seen_and_once_all_is_decided(opened: Opened, company: Company) -> None:
    first = opened(company)
    begin_to_close(first, company)
    assert "The review can be closed once every key issue has an owner and a decision." in page(first)
    assert not [button for button in first.button if button.label == "Close the review"]
    begin_to_close(decide(first, company), company)
    decide(opened(company), company, "Four engineers")
    press(first)
    assert "the review has changed since you opened this form" in first.error[0].value
    assert "Four engineers" in page(first)
    assert "Closed on" in page(press(first))


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_was_typed_into_a_form_that_is_gone_is_said_back(
    opened: Opened,
    company: Company,
    is_closed: bool,  # noqa: FBT001
) -> None:
    """The review is closed by somebody else, or the issue is none any more."""
    at = decide(opened(company), company)
    at.session_state[f"deciding-promises|vertical={BROKEN}-{company.month}"] = True
    at.run()
    at.text_area[0].set_value("Wait for the new crew")
    if is_closed:
        press(begin_to_close(opened(company), company))
        why = "The review was closed meanwhile."
    else:
        audiences = company.config / "audiences.toml"
        before = audiences.read_text("utf-8")
        audiences.write_text(before.replace("issues = 50", "issues = 1"), "utf-8")
        why = "is no key issue any more."
    next(button for button in at.button if button.label == "Record").click().run()
    if not is_closed:
        audiences.write_text(before, "utf-8")
    assert re.search(rf"{why} What you typed was not recorded: Ana Keller, Wait for the new crew", page(at))
    assert "not recorded" not in page(at.run())


def test_the_decision_of_october_stands_in_november_with_its_date(opened: Opened, company: Company) -> None:
    """On what is there still: the incident is open, and the month after has begun."""
    row = {"vertical": BROKEN, "touchpoint": "call", "channel": "phone", "direction": "in", "c": 2400}
    load_more(company, rollups.roll_contact, row | {"day": date(2026, 11, 9)})
    close(opened(company, month="2026-10"), company)
    issue = page(opened(company, month="2026-11")).split("Promises are not kept</h3>")[1].split("</article>")[0]
    assert "Two engineers on Monday" in issue
    assert re.search(r"<dt>Decided</dt><dd[^>]*>\d+ \w+ \d{4}, recorded by open mode", issue)


def test_a_closed_review_is_for_readers_of_the_same_scope(company: Company, new_state: NewState) -> None:
    """A reader of one vertical sees it as it is, and that the company's was closed; nothing of its document."""
    settings = read_settings({**company.environ}, None)
    stamp, states = cache.config_fingerprint(company.config, NOW), new_state(company.data)
    everything, payments = Scope(), Scope("gm", frozenset({"Payments"}))
    with closing(EmbeddedWarehouse(company.data / "warehouse")) as warehouse, warehouse.pin() as pin:
        base = cache.page_key(settings, stamp, pin.generation, everything, NOW)

        def key(scope: Scope, vertical: str | None = None) -> cache.Key:
            return replace(base, scope=scope).of(company.month, vertical)

        def keep(of: cache.Key) -> None:
            with states.begin() as conn:
                made = review_data.review(of, pin, conn)
                # What only the document says shows where it is read.
                document = document_json(StoredDocument(replace(made, headline="As it was closed."), "EUR"))
                scope, at = review_data.scope_text(of.scope), NOW.replace(tzinfo=None)
                closed = (company.month, of.vertical or COMPANY, scope, at, "ana", "Ana", made.generation, document)
                record_closed_review(conn, ClosedReview(*closed))

        def seen(of: cache.Key) -> str:
            with states.connect() as conn:
                return str(review_data.written_review(of, None, pin, conn).above)

        keep(key(everything))
        assert "As it was closed." in seen(key(everything))
        assert "As it was closed." in seen(key(replace(everything, role="executive")))
        for narrow in (payments, replace(payments, role="analyst"), Scope("account-team", accounts=frozenset({"A03"}))):
            above = seen(key(narrow))
            assert "As it was closed." not in above
            assert "The review of the whole company was closed on 21 November 2026 by ana." in above
        assert "closed" not in seen(key(payments, "Payments"))
        keep(key(payments, "Payments"))
        assert "As it was closed." in seen(key(payments, "Payments"))
        # Beside the company's table the vertical's own could tell by subtraction what is withheld there.
        for other in (everything, Scope("gm", frozenset({"Payments", "Energy"}))):
            above = seen(key(other, "Payments"))
            assert "As it was closed." not in above
            assert "The review of Payments was closed" in above


def reader(role: str, *verticals: str, as_another: bool = False, pages: tuple[str, ...] = ("review",)) -> Viewer:
    known = Audience.model_construct(name=role, label=role, pages=pages, issues=5, figures=12, charts=4, grains=())
    scope = Scope(role, frozenset(verticals) if verticals else None)
    return Viewer(role, scope, known, can_see_as=role == "analyst" or as_another)


@pytest.mark.parametrize(
    ("viewer", "vertical", "may"),
    [
        (reader("executive"), None, True),
        (reader("analyst"), None, True),
        (reader("analyst"), "Payments", False),
        (reader("executive", "Payments"), None, False),
        (reader("gm", "Payments"), "Payments", True),
        (reader("gm", "Payments", "Energy"), "Payments", True),
        (reader("gm", "Payments"), "Energy", False),
        (reader("gm", "Payments"), None, False),
        (reader("gm"), None, False),
        (reader("gm"), "Payments", False),
        (reader("gm", "Payments", as_another=True), "Payments", False),
        (reader("specialist"), None, False),
        (reader("executive", pages=("strategy",)), None, False),
        (Viewer("nobody", Scope("executive")), None, False),
    ],
)
def test_who_may_close_a_review(viewer: Viewer, vertical: str | None, may: bool) -> None:  # noqa: FBT001
    assert may_close(viewer, vertical) is may


def test_a_document_is_read_as_it_was_kept_and_cut_to_its_reader(opened: Opened, company: Company) -> None:
    close(opened(company), company)
    with closing(sqlite3.connect(company.data / "state.db")) as conn:
        (text,) = conn.execute("select document from closed_review").fetchone()
    document = read_document(text)
    assert document_json(document) == text
    assert (document.currency, len(document.review.issues)) == ("EUR", 2)
    cut = within(document.review, PageBudget(1, 3, 1))
    assert (len(cut.issues), cut.further, cut.issues[0].history) == (1, 1, ())
    assert len(cut.improved) + cut.more_improved == len(document.review.improved)


def test_a_document_of_before_has_the_defaults_of_what_was_added_since(opened: Opened, company: Company) -> None:
    close(opened(company), company)
    with closing(sqlite3.connect(company.data / "state.db")) as conn:
        (text,) = conn.execute("select document from closed_review").fetchone()
    document = read_document(text.replace('"months"', '"of_another_version"'))
    assert document.review.months == ()
    assert document.review.issues == read_document(text).review.issues


def test_both_databases_keep_a_closed_review(tmp_path: Path, new_state: NewState, postgres_url: str) -> None:
    at = NOW.replace(tzinfo=None)
    kept = ClosedReview(date(2026, 10, 1), "Payments", "[]", at, "ana", "Ana", 3, "{}", None)
    for states in (new_state(tmp_path), new_state(tmp_path, postgres_url)):
        with states.begin() as conn:
            record_closed_review(conn, kept)
            assert read_closed_review(conn, kept.month, "Payments") == kept
            assert read_closed_review(conn, kept.month, COMPANY) is None
