"""The accounts page as Streamlit runs it, over a company whose every figure is known."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from html import unescape
from pathlib import Path
from shutil import copytree
from typing import Final

import pytest
import streamlit as st
from sqlalchemy import Engine, event
from streamlit.testing.v1 import AppTest

from config.reading import read_catalog
from config.settings import CHECKOUT
from dashboard import stores
from dashboard.accounts import files
from queries.engine import disposing
from queries.loading.publish import derive, generation_key, record_generation
from queries.state import (
    HistoryEntry,
    Incident,
    NewAction,
    TickRecord,
    incident_id,
    open_state,
    record_action,
    write,
)
from queries.warehouse import COLUMNS, EmbeddedWarehouse, LoadReport, tables
from tests.accounts.test_portfolio import ACCOUNTS, company
from tests.support.handmade import Rows, fill

APP: Final = str(CHECKOUT / "dashboard" / "app.py")
ZONE: Final = "UTC"
QUIET: Final = "A05"
OTHER: Final = "A11"
FOUND: Final = datetime.combine(date(2026, 6, 29), time(6), UTC)
LADDER: Final = '[{"after": "0m", "notify": "channel"}]'
NOBODY: Final = "The account in this link does not exist, or you have no access to it."

Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped configuration, a company, and one incident at each of two of its accounts."""
    return install(tmp_path_factory.mktemp("accounts"), tokens(4), {QUIET: 1, OTHER: 1})


def install(folder: Path, company: Rows, actions: Mapping[str, int]) -> Path:
    """The shipped configuration, a company, and an incident at each of some accounts, with so many actions."""
    copytree(CHECKOUT / "config", folder / "config", ignore=lambda _, names: [n for n in names if n.endswith(".py")])
    catalog = read_catalog(folder / "config", COLUMNS)
    warehouse = EmbeddedWarehouse(folder / "warehouse")
    with warehouse.draft(lambda _: None) as draft:
        for name, rows in company.items():
            fill(draft.conn, tables.warehouse.tables[name], rows, ZONE)
        derive(draft.conn, catalog, None)
        key, report = generation_key(ZONE, catalog), LoadReport("made").json()
        record_generation(draft.conn, draft.number, key, "made", report, datetime(2026, 7, 5, tzinfo=UTC))
    warehouse.close()
    with disposing(open_state(folder)) as states, states.begin() as conn:
        found = tuple(incident(id_, company) for id_ in actions)
        entries = (HistoryEntry(one.id, 1, FOUND, "opened", "nothing was heard", None, 1, {}) for one in found)
        write(conn, TickRecord(opened=found, entries=tuple(entries)))
        for one in found:
            for turn in range(actions[one.account_id or ""]):
                what = f"call {one.account_id} about its token-{one.account_id}, time {turn + 1}"
                new = NewAction(what, "relationship-lead", FOUND.date(), incident_id=one.id)
                record_action(conn, new, "ana", FOUND)
    return folder


def incident(account: str, company: Rows | None = None) -> Incident:
    """An account that has gone quiet."""
    return Incident(
        id=incident_id("quiet-key-account", f"account_id={account}", FOUND.date()),
        rule="quiet-key-account",
        rule_hash="0",
        slice=f"account_id={account}",
        class_="customer",
        severity=1,
        route="relationship",
        ladder=LADDER,
        vertical=next(
            row["vertical"] for row in (company or tokens(4))["account_history"] if row["account_id"] == account
        ),
        touchpoint=None,
        account_id=account,
        state="open",
        episode=1,
        opened_at=FOUND,
        slot=FOUND.date(),
        resolved_at=None,
        acknowledged_at=None,
        acknowledged_by=None,
        next_step=1,
        next_step_at=None,
        value=40.0,
        n=1,
        origin="live",
        version=1,
    )


def tokens(seed: int) -> Rows:
    """The company of the portfolio; what an account's people say names it."""
    rows = company(seed)
    for row in rows["response"]:
        row["comment"] = f"Nobody calls token-{row['account_id']} back."
        row["touchpoint"] = f"desk-{row['account_id']}"
    return rows


@pytest.fixture
def opened(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """A function that opens the page: `opened(id="A05")`."""

    def open_(**query: str) -> AppTest:
        monkeypatch.setenv("EARSHOT_DATA", str(installed))
        monkeypatch.setenv("EARSHOT_CONFIG", str(installed / "config"))
        monkeypatch.setenv("EARSHOT_DASHBOARD__OPEN_MODE", "true")
        at = AppTest.from_file(APP, default_timeout=120)
        at.run().switch_page("views/accounts.py")
        # The review has a vertical in its address, too: a link leads to the accounts at once.
        at.query_params.update(query)
        return at.run()

    yield open_
    stores.close()


def text(at: AppTest) -> str:
    """What the page writes, as a person reads it."""
    assert not at.exception, at.exception[0].stack_trace
    html = "\n".join(element.proto.body for element in at.get("html"))
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def test_who_has_something_open_is_to_be_called(opened: Opened) -> None:
    said = text(opened())
    assert "Company 5" in said
    assert "A key account has gone quiet found 29 June 2026" in said
    listed = said.partition("Whom to call")[2].partition("Portfolio")[0]
    assert "A large account may be At Risk" in listed or "A large account is At Risk" in listed


def test_the_quadrants_hold_all_accounts_and_all_revenue(opened: Opened) -> None:
    said = text(opened())
    table = said.partition("Of all revenue")[2].partition("All accounts")
    numbers = re.findall(r"(\d+) (\d+) [\d.]+ [Mk]? ?EUR", table[0])
    assert sum(int(now) for now, _ in numbers) == ACCOUNTS
    assert table[2].split()[:2] == [str(ACCOUNTS), str(ACCOUNTS)]


def test_a_vertical_and_a_quadrant_come_from_the_link(opened: Opened) -> None:
    at = opened(vertical="Energy", state="growth")
    said = text(at)
    own = [row["account_id"] for row in tokens(4)["account_history"] if row["vertical"] == "Energy"]
    assert "Accounts · Energy" in said
    assert re.findall(r"All accounts (\d+)", said) == [str(len(own))]
    shown = said.rpartition("Revenue")[2]
    assert {f"A{number}" for number in re.findall(r"Company (\d+)", shown)} <= {f"A{int(id_[1:])}" for id_ in own}
    assert at.selectbox(key="state").value == "Growth"


def test_one_account_is_told_with_its_incidents_and_bands(opened: Opened) -> None:
    at = opened(id=QUIET)
    said = text(at)
    assert "Company 5 bought for" in said
    assert "A key account has gone quiet found 29 June 2026, with nobody yet" in said
    assert len(at.get("vega_lite_chart")) >= 3
    assert "Around it Conditions, incidents and actions." in said


def test_an_account_that_does_not_exist_is_not_told_apart_from_one_out_of_reach(opened: Opened) -> None:
    said = text(opened(id="A99"))
    assert NOBODY in said
    assert "Whom to call" in said


def sheet(account: str) -> str:
    made = files.sheet_file(files.SHEETS[0], {"id": account}, {}, lambda _session: "")
    assert made.status_code == 200, made.body
    return bytes(made.body).decode()


def test_a_sheet_holds_only_what_its_own_account_said_and_what_is_done_for_it(opened: Opened) -> None:
    opened()
    answered = {row["account_id"] for row in tokens(4)["response"]}
    for number in range(ACCOUNTS):
        account = f"A{number:02}"
        named = set(re.findall(r"(?:token|desk)-(A\d\d)", sheet(account)))
        own = {account} if account in answered | {QUIET, OTHER} else set[str]()
        assert named == own or (not named and account not in {QUIET, OTHER})
    assert f"call {QUIET} about its" in sheet(QUIET)
    assert "You have not answered us" in sheet("A07")


def test_a_sheet_of_no_account_is_refused(opened: Opened) -> None:
    opened()
    assert files.sheet_file(files.SHEETS[0], {"id": "A99"}, {}, lambda _session: "").status_code == 404
    assert files.sheet_file(files.SHEETS[0], {"id": QUIET}, {}, lambda _session: "Not yours.").status_code == 403


def test_an_action_that_was_not_shared_is_a_reason_to_call_until_it_is_shared(opened: Opened) -> None:
    said = text(opened())
    assert said.count("was not shared with the customer for 30 days") == 2
    at = opened(id=QUIET)
    assert "not shared with the customer" in text(at)
    (button,) = (one for one in at.button if one.label == "Shared with the customer")
    assert "by open mode" in text(button.click().run())
    assert text(opened()).count("was not shared with the customer for 30 days") == 1


FACTS: Final = re.compile(r"\b(?:from|join) (contact|response|journey|journey_fact|defect|revenue)\b", re.IGNORECASE)


def facts_read(at: AppTest) -> set[str]:
    """The tables of single rows that a page reads where nothing is cached."""
    read = set[str]()

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        read.update(FACTS.findall(statement))

    st.cache_resource.clear()
    st.cache_data.clear()
    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert not at.run().exception
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return {name.casefold() for name in read}


def test_the_list_reads_no_single_rows(opened: Opened) -> None:
    assert facts_read(opened()) == set()
    # The page of one account does: the check sees what there is to see.
    assert "response" in facts_read(opened(id=QUIET))


def test_the_review_names_what_could_be_gained(opened: Opened) -> None:
    opened()
    said = text(AppTest.from_file(APP, default_timeout=120).run())
    _, _, gained = said.partition("Opportunities")
    number = re.search(
        r"(\d+) accounts have a good relationship with us and spend less than 50% of their wallet", gained
    )
    assert number
    names = re.findall(r"Company \d+", gained.partition("Actions carried over")[0])
    assert len(names) == min(3, int(number[1]))
    growth = text(opened(state="growth")).partition("Coloured: At Risk")[2].partition("What became")[0]
    assert set(names) <= set(re.findall(r"Company \d+", growth))
