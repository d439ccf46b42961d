"""Guess first: no figure before the guess, no other guess after the figure, and the gap is for who guessed alone."""

import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event
from streamlit.testing.v1 import AppTest

from config.settings import CHECKOUT
from dashboard import stores
from queries.__main__ import main
from queries.engine import disposing
from queries.operations.redaction import Redaction, redact
from queries.state import COMPANY, Guess, GuessError, open_state, read_guesses, record_guesses, was_shown
from tests.counterparts import oidc
from tests.dashboard.browser.test_sign_in import AUDIENCES, PEOPLE
from tests.dashboard.browser.test_sign_in import TODAY as SIGNED
from tests.support import forks
from tests.support.readers import Reader, ReaderTab, Site, serving, words
from tests.support.small_company import BROKEN, Company, found, load_late
from tests.support.states import NewState

TODAY: Final = date(2026, 11, 21)
NOW: Final = datetime(2026, 11, 21, 9, tzinfo=UTC)
OCTOBER: Final = date(2026, 10, 1)
SEPTEMBER: Final = date(2026, 9, 1)
Opened = Callable[..., AppTest]
ASKED: Final = "What do you expect of October 2026?"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    made = found(tmp_path, TODAY, months=6)
    with (made.config / "audiences.toml").open("a", encoding="utf-8") as file:
        file.write("guess_first = true\n")
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    def open_(company: Company, **query: str) -> AppTest:
        for name, value in company.environ.items():
            monkeypatch.setenv(name, value)
        at = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=60)
        at.query_params.update({"month": "2026-10", **query})
        return at.run()

    yield open_
    stores.close()


def page(at: AppTest) -> str:
    assert not at.exception, at.exception[0].stack_trace
    return "\n".join(element.proto.body for element in at.get("html"))


def sent(at: AppTest) -> str:
    """All that the page sends, without the names that only this session has."""
    text = "\n".join(str(getattr(element, "proto", "")) for element in at.main)
    return re.sub(r"\$\$ID-[0-9a-f]+", "", text.replace(at.session_state["secret"], ""))


def guess(at: AppTest, *numbers: float | None) -> AppTest:
    for field, number in zip(at.number_input, numbers, strict=False):
        field.set_value(number)
    return next(button for button in at.button if button.label == "Show the figures").click().run()


def kept(company: Company, person: str = "open mode") -> tuple[Guess, ...]:
    with disposing(open_state(company.data)) as states, states.connect() as conn:
        return read_guesses(conn, person)


def a_guess(month: date = OCTOBER, review: str = COMPANY, metric: str = "nps", guessed: float | None = 30.0) -> Guess:
    return Guess("ana", month, review, metric, "[]", guessed, 28.0, 21.0, 35.0, 1, NOW.replace(tzinfo=None))


# The page


def test_nobody_is_asked_where_the_audience_does_not_say_so(opened: Opened, company: Company) -> None:
    text = (company.config / "audiences.toml").read_text("utf-8")
    (company.config / "audiences.toml").write_text(text.replace("guess_first = true\n", ""), "utf-8")
    at = opened(company)
    assert "Key issues" in page(at)
    assert not at.number_input
    assert "guess" not in page(at).lower()


@pytest.mark.parametrize("more", [{}, {"meeting": "0"}, {"vertical": "Payments", "figures": "newest"}])
def test_what_is_sent_before_the_guess_does_not_hang_on_the_figures(
    opened: Opened, company: Company, more: dict[str, str]
) -> None:
    at = opened(company, **more)
    assert ASKED in page(at)
    before = sent(at)
    stores.close()
    load_late(company)
    assert sent(opened(company, **more)) == before
    # And they do differ: what follows the guess says so.
    assert "You guessed 95%; it is" in page(guess(opened(company, **more), None, 95.0))


def test_the_figure_follows_the_guess_and_the_gap_is_kept(opened: Opened, company: Company) -> None:
    at = opened(company)
    assert [field.label for field in at.number_input] == [
        "Net promoter score, in points (goal 20)",
        "Promises kept, in % (goal 90%)",
        "Journeys with a defect, in % (goal 12%)",
    ]
    after = page(guess(at, 30.0, 93.5))
    assert "You guessed 30; it is 28 (23 to 32).</td>" in after
    said = 'You guessed 93.5%; it is 89.9% (88.9 to 90.8%).</td><td class="num" data-label="Off by">+3.6 points'
    assert said in after
    assert "You made no guess; it is" in after
    assert "Key issues" in after
    guesses = {one.metric: one for one in kept(company)}
    assert {name: one.guessed for name, one in guesses.items()} == {
        "nps": 30.0,
        "promise-kept": 0.935,
        "defect-rate": None,
    }
    assert {(one.month, one.review, one.generation) for one in guesses.values()} == {(OCTOBER, COMPANY, 1)}
    # What newer data says of the month does not move the gap.
    stores.close()
    load_late(company)
    assert "You guessed 93.5%; it is 89.9%" in page(opened(company))
    assert {one.metric: one for one in kept(company)} == guesses


def test_a_form_without_a_guess_shows_nothing(opened: Opened, company: Company) -> None:
    at = guess(opened(company))
    assert "enter at least one guess" in at.error[0].value
    assert ASKED in page(at)
    assert kept(company) == ()


def test_of_two_windows_the_first_counts_and_the_second_is_told(opened: Opened, company: Company) -> None:
    first, second = opened(company), opened(company)
    guess(first, 30.0)
    told = page(guess(second, 28.0))
    assert "You had guessed in another window before." in told
    assert "You guessed 30; it is 28" in told
    assert "You had guessed in another window before." not in page(second.run())
    assert [one.guessed for one in kept(company) if one.metric == "nps"] == [30.0]
    assert "another window" not in page(first.run())


def test_earlier_guesses_stand_below_and_months_before_are_known(opened: Opened, company: Company) -> None:
    guess(opened(company, month="2026-09"), 30.0, 50.0)
    at = opened(company)
    assert ASKED in page(at)
    assert "Your guesses of earlier months" not in page(at)
    after = page(guess(at, 10.0))
    rows = after.split("Your guesses of earlier months")[1].split("</table>")[0]
    assert "<td>September 2026</td><td>Net promoter score, All verticals</td>" in rows
    assert "1 of 2</td>" in rows
    # October's page shows its verticals and the months before: nobody can guess those any more.
    for query in ({"vertical": BROKEN}, {"month": "2026-08"}, {"month": "2026-08", "vertical": BROKEN}):
        assert not opened(company, **query).number_input


def test_a_vertical_guessed_alone_says_nothing_of_the_company(opened: Opened, company: Company) -> None:
    guess(opened(company, vertical=BROKEN), None, 90.0)
    assert {one.review for one in kept(company)} == {BROKEN}
    assert not opened(company, vertical=BROKEN).number_input
    assert opened(company).number_input
    assert opened(company, vertical="Payments").number_input


# What is kept


@pytest.mark.parametrize(
    ("month", "review", "shown"),
    [
        (OCTOBER, COMPANY, True),
        (OCTOBER, "Energy", True),
        (SEPTEMBER, "Energy", True),
        (date(2026, 11, 1), COMPANY, False),
        (date(2026, 11, 1), "Energy", False),
    ],
)
def test_the_company_shows_its_verticals_and_a_month_those_before(month: date, review: str, shown: bool) -> None:  # noqa: FBT001
    assert was_shown([a_guess()], month, review) is shown


def test_one_vertical_shows_no_other() -> None:
    guessed = [a_guess(review="Energy")]
    assert was_shown(guessed, OCTOBER, "Energy")
    assert not was_shown(guessed, OCTOBER, "Payments")
    assert not was_shown(guessed, OCTOBER, COMPANY)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str | None]:
    return tmp_path, request.getfixturevalue("postgres_url") if request.param == "postgresql" else None


def test_a_guess_is_not_changed(new_state: NewState, place: tuple[Path, str | None]) -> None:
    first = (a_guess(), a_guess(metric="csat", guessed=None))
    with new_state(*place).begin() as conn:
        record_guesses(conn, first)
        for again in (first[:1], (a_guess(guessed=28.0),), (a_guess(metric="csat"),), (a_guess(month=SEPTEMBER),)):
            with pytest.raises(GuessError, match="you have guessed already and seen the figures"):
                record_guesses(conn, again)
        assert set(read_guesses(conn, "ana")) == set(first)
        assert read_guesses(conn, "ben") == ()
        record_guesses(conn, [replace(first[0], person="ben", guessed=1.0)])
        assert [one.guessed for one in read_guesses(conn, "ben")] == [1.0]
        assert set(read_guesses(conn, "ana")) == set(first)


def test_of_many_at_once_one_counts(new_state: NewState, place: tuple[Path, str | None]) -> None:
    states = new_state(*place)

    def try_(number: int) -> bool:
        try:
            with states.begin() as conn:
                record_guesses(conn, [a_guess(metric=name, guessed=float(number)) for name in ("nps", "csat")])
        except GuessError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(try_, range(6)))
    assert done.count(True) == 1
    with states.connect() as conn:
        assert [one.guessed for one in read_guesses(conn, "ana")] == [float(done.index(True))] * 2


def _killed_at(folder: str, number: int) -> None:
    """Record, and be killed before that statement of it; the last one is the commit."""
    with disposing(open_state(Path(folder))) as states:
        numbers = count()

        def kill(*_: Any) -> None:
            if next(numbers) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(states, "before_cursor_execute", kill)
        event.listen(states, "commit", kill)
        with states.begin() as conn:
            record_guesses(conn, [a_guess(), a_guess(metric="csat")])


def test_a_kill_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    """And what was not kept was not shown: it is asked for once more."""
    for number in count():
        process = forks.start(_killed_at, str(tmp_path), number)
        process.join(60)
        with disposing(open_state(tmp_path)) as states, states.begin() as conn:
            guesses = read_guesses(conn, "ana")
            assert was_shown(guesses, OCTOBER, COMPANY) == bool(guesses)
        if process.exitcode == 0:
            assert len(guesses) == 2
            break
        assert process.exitcode == -signal.SIGKILL
        assert guesses == ()
    assert number >= 3


def test_an_erasure_takes_the_name_and_a_backup_has_the_guesses(
    tmp_path: Path, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody of our own may be called as a customer's person is."""
    with disposing(open_state(company.data)) as states:
        with states.begin() as conn:
            record_guesses(conn, [a_guess(), a_guess(metric="csat")])
            record_guesses(conn, [replace(a_guess(), person="ben")])
        with states.begin() as conn:
            at = NOW.replace(tzinfo=None)
            redact(conn, Redaction("0123456789", at, None, frozenset({"ana"}), None, may_be_named=True), NOW)
    for name, value in company.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["backup", "--to", str(tmp_path / "saved")]) == 0
    with closing(sqlite3.connect(tmp_path / "saved" / "state.db")) as conn:
        rows = conn.execute("select person, metric, guessed, value from guess order by person, metric").fetchall()
    assert rows == [
        ("ben", "nps", 30.0, 28.0),
        ("erased-01234567", "csat", 30.0, 28.0),
        ("erased-01234567", "nps", 30.0, 28.0),
    ]


# Signed in


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if reason := oidc.missing():
        pytest.skip(reason)
    company = found(tmp_path_factory.mktemp("company"), SIGNED, months=3)
    person = 'name = "two"\nlabel = "GM of two"\naudience = "gm"\nemail = "two@example.com"'
    people = f'[[person]]\n{person}\nverticals = ["{BROKEN}", "Payments"]\n'
    asking = AUDIENCES.replace('grains = ["month"]\n', 'grains = ["month"]\nguess_first = true\n')
    for name, text in (("routing", f"{PEOPLE}\n{people}"), ("audiences", asking)):
        with (company.config / f"{name}.toml").open("a", encoding="utf-8") as file:
            file.write(text)
    with serving(company) as made:
        yield made


def fields(messages: list[Any]) -> dict[str, str]:
    """The fields for numbers, by label."""
    elements = (one.delta.new_element for one in messages)
    return {one.number_input.label: one.number_input.id for one in elements if one.HasField("number_input")}


def submit(tab: ReaderTab, asked: list[Any], *numbers: float, **query: str) -> str:
    """Guess, and what the page says then."""
    button = next(
        one.delta.new_element.button.id for one in asked if one.delta.new_element.button.label == "Show the figures"
    )
    tab.filled = dict(zip(fields(asked).values(), numbers, strict=False))
    tab.run(pressed=button, **query)
    return words(tab.run(**query))


@pytest.mark.slow
def test_neither_socket_nor_file_has_a_figure_before_the_guess(site: Site) -> None:
    files = [f"files/{name}?month=2026-10" for name in ("figures.csv", "issues.csv", "minutes.html", "revenue.csv")]
    files += [f"files/goals.{kind}?month=2026-10&metric=promise-kept" for kind in ("svg", "png")]
    files += [f"{file}&vertical={BROKEN}" for file in files[:3]]
    with Reader(site.url) as reader:
        reader.sign_in("chief@example.com")
        with reader.tab() as tab:
            for name, value in (("vertical", BROKEN), ("meeting", "1"), ("metric", "promise-kept")):
                assert ASKED in words(tab.run(month="2026-10", **{name: value}))
            asked = tab.run(month="2026-10")
            for file in files:
                answer = reader.get(file)
                assert (answer.status_code, answer.text) == (
                    403,
                    "the review asks for your guess before it shows a figure; open its page and guess first\n",
                )
            before = b"\n".join(reader.sent)
            # Others go on undisturbed, and see nothing of it.
            after = submit(tab, asked, 30.0, 95.0, month="2026-10")
            assert "You guessed 30; it is" in after
            # What the style says in percent is no figure.
            shown = re.sub(r"(?s)<style>.*?</style>|goal [\d.]+%|95%", "", after)
            figures, bare = set(re.findall(r"[\d.]+%", shown)), re.sub(rb"(?s)<style>.*?</style>", b"", before)
            assert len(figures) > 5
            assert {one for one in figures if re.search(rb"(?<![\d.])" + re.escape(one.encode()), bare)} == set()
            assert all(reader.get(file).status_code == 200 for file in files[:3])
    with Reader(site.url) as reader:
        reader.sign_in("ana@example.com")
        with reader.tab() as tab:
            said = words(tab.run(month="2026-10"))
            assert "Key issues" in said
            assert "You guessed" not in said


@pytest.mark.slow
def test_who_sees_some_verticals_is_asked_of_each_and_never_twice(site: Site) -> None:
    """They have no page of the whole; one that they guessed alone is not asked for again."""
    with Reader(site.url) as reader:
        reader.sign_in("two@example.com")
        with reader.tab() as tab:
            assert len(fields(tab.run(month="2026-10"))) > 3
            asked = tab.run(month="2026-10", vertical="Payments")
            assert "You guessed" in submit(tab, asked, 30.0, month="2026-10", vertical="Payments")
            left = tab.run(month="2026-10")
            assert fields(left)
            assert all(BROKEN in label for label in fields(left))
            told = submit(tab, left, 20.0, month="2026-10")
            assert f"Net promoter score, {BROKEN}" in told
            assert "Net promoter score, Payments" in told
            assert not fields(tab.run(month="2026-10"))
            # A person who is moved does not see what they saw before.
            text = site.routing.read_text("utf-8")
            site.routing.write_text(text.replace(f'["{BROKEN}", "Payments"]', '["Payments"]'), "utf-8")
            moved = tab.run(month="2026-10")
            assert BROKEN not in words(moved)
            site.routing.write_text(text, "utf-8")
