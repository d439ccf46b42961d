"""On which days something was heard of whom: the same on both engines, and nothing that was not known yet."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, Table, create_engine, insert, text
from sqlalchemy.pool import StaticPool

from config.models import Condition, Conditions
from queries.metrics import UnratedRevenueError, read_revenue, revenue_of
from queries.monitoring.activity import (
    Signals,
    account_signals,
    account_verticals,
    cadence_of,
    instrument_cadences,
    instrument_signals,
    source_signals,
)
from queries.monitoring.evidence import last_contact
from queries.monitoring.revenue_coverage import Coverage, revenue_coverage
from queries.sample import generate
from queries.warehouse import EVERYTHING, Scope, tables
from queries.warehouse.rollups import rebuild_rollups
from triggers.evaluation.kinds import alpha_of, stale, unit_silences

ROOT: Final = Path(__file__).parents[2]
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
LOADED: Final = datetime(2026, 6, 1)  # noqa: DTZ001 - as the warehouse stores it
YEAR: Final = timedelta(days=365)
Rows = Mapping[Table, list[dict[str, Any]]]


def at(day: str) -> datetime:
    return datetime.fromisoformat(f"2026-{day} 12:00")


def fact(key: str, account: str, vertical: str | None, **other: Any) -> dict[str, Any]:
    loaded = {"first_loaded_at": LOADED, "loaded_at": LOADED}
    return {"source": "crm", "id": key, "account_id": account, "vertical": vertical, **loaded, **other}


def contact(key: str, account: str, day: str, vertical: str | None = "Retail", **other: Any) -> dict[str, Any]:
    when = {"occurred_at": at(day), "day": at(day).date()}
    return fact(
        key, account, vertical, **{"touchpoint": "repair", "channel": "phone", "direction": "in", **when, **other}
    )


def response(key: str, account: str, invited: str, answered: str | None, **other: Any) -> dict[str, Any]:
    late = {"responded_at": answered and at(answered), "responded_day": answered and at(answered).date()}
    status = "answered" if answered else "invited"
    when = {"invited_at": at(invited), "day": at(invited).date(), **late, "status": status}
    return fact(
        key, account, other.pop("vertical", "Retail"), **{"kind": "relationship", "instrument": "nps", **when, **other}
    )


def account(name: str) -> dict[str, Any]:
    return {"account_id": name, "source": "crm", "name": name, "first_loaded_at": LOADED, "loaded_at": LOADED}


def history(name: str, since: date, vertical: str | None, tier: str, until: date | None = None) -> dict[str, Any]:
    when = {"valid_from": since, "valid_to": until, "first_loaded_at": LOADED, "loaded_at": LOADED}
    return {"source": "crm", "account_id": name, "vertical": vertical, "tier": tier, **when}


def money(name: str, month: str, amount: float, currency: str = "EUR") -> dict[str, Any]:
    when = {"month": date.fromisoformat(month), "first_loaded_at": LOADED, "loaded_at": LOADED}
    return {"source": "crm", "account_id": name, "amount": amount, "currency": currency, **when}


def survey(name: str, version: str, cadence: str | None, changed: date | None = None) -> dict[str, Any]:
    made = {"source": "crm", "first_loaded_at": LOADED, "loaded_at": LOADED}
    return {"instrument": name, "version": version, "cadence": cadence, "wording_changed_at": changed, **made}


MOVED: Final = date(2026, 4, 1)
COMPANY: Final[Rows] = {
    tables.account: [account(name) for name in ("A", "B", "C", "D")],
    tables.account_history: [
        history("A", date(2020, 1, 1), "Retail", "key"),
        history("B", date(2020, 1, 1), "Retail", "standard", MOVED),
        history("B", MOVED, "Payments", "key"),
        history("C", date(2020, 1, 1), None, "standard"),
    ],
    tables.contact: [
        contact("1", "A", "03-02"),
        contact("2", "A", "03-02", channel="mail"),  # the same day once
        contact("3", "A", "03-05", direction="out"),  # ours is no sign of life
        contact("4", "A", "05-31"),
        contact("5", "B", "03-10"),
        contact("6", "B", "04-10", "Payments", channel="mail"),
        contact("7", "C", "04-02", "Lending"),
        contact("8", "C", "05-02", "Wealth", touchpoint="visit"),
    ],
    tables.response: [
        response("1", "A", "03-20", "03-25"),
        response("2", "A", "04-20", None),  # nor is an invitation
        response("3", "B", "05-01", "05-30", kind="transaction", instrument="csat"),
        response("4", "D", "05-01", "05-04", vertical="Wealth", instrument=None),
    ],
    tables.journey: [fact("1", "A", "Retail", journey_type="repair", started_at=at("01-07"), day=at("01-07").date())],
    tables.defect: [fact("1", "A", "Retail", code="x", occurred_at=at("01-09"), day=at("01-09").date())],
    tables.instrument: [
        survey("nps", "1", "monthly", date(2024, 1, 1)),
        survey("nps", "2", "quarterly", date(2025, 1, 1)),
        survey("csat", "1", "after repair"),
        survey("never", "1", "P1Y"),
    ],
    tables.revenue: [
        money("A", "2025-04-01", 1000),  # too long ago in May
        money("A", "2025-05-01", 100),
        money("A", "2026-04-01", 100),
        money("A", "2026-05-01", 5000),  # not over yet in May
        money("B", "2026-03-01", 40),
        money("B", "2026-04-01", 60),
        money("C", "2026-04-01", 300),
    ],
}


def fill(engine: Engine, rows: Rows) -> None:
    with engine.begin() as conn:
        tables.warehouse.create_all(conn)
        for table, values in rows.items():
            for value in values:
                conn.execute(insert(table), value)
        rebuild_rollups(conn)


@pytest.fixture(params=["duckdb", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn."""
    embedded = request.param == "duckdb"
    url = "duckdb:///:memory:" if embedded else request.getfixturevalue("postgres_url")
    engine = create_engine(url, poolclass=StaticPool)
    yield engine
    engine.dispose()


@pytest.fixture
def conn(empty: Engine) -> Iterator[Connection]:
    fill(empty, COMPANY)
    with empty.connect() as connection:
        yield connection


def read(signals: Signals) -> dict[str, list[str]]:
    """The days of each unit as month and day."""
    found: dict[str, list[str]] = {unit: [] for unit in signals.units}
    for unit, day in zip(signals.unit.tolist(), signals.day.tolist(), strict=True):
        found[signals.units[unit]].append(f"{date.fromordinal(day):%m-%d}")
    return found


def test_an_account_was_last_heard_of_when_it_came_to_us(conn: Connection) -> None:
    """What we sent is no sign, and nothing is known before it happened."""
    assert last_contact(conn, "B", NOW) == date(2026, 4, 10)
    assert last_contact(conn, "B", datetime(2026, 4, 1, tzinfo=UTC)) == date(2026, 3, 10)
    assert (last_contact(conn, "A", datetime(2026, 5, 31, tzinfo=UTC)) or NOW.date()) < date(2026, 3, 5)
    assert last_contact(conn, "nobody", NOW) is None


def asking(column: str, *values: str) -> Conditions:
    return (Condition(column=column, any_of=values),)


EVERYONE: Final = {
    "A": ["03-02", "03-25", "05-31"],
    "B": ["03-10", "04-10", "05-30"],
    "C": ["04-02", "05-02"],
    "D": ["05-04"],
}


@pytest.mark.parametrize(
    ("where", "accounts"),
    [
        ((), "ABCD"),
        (asking("account.tier", "key"), "AB"),  # B became one, with all that was heard of it before
        (asking("account.tier", "standard"), "C"),
        (asking("account.tier", "unknown"), "D"),
        (asking("vertical", "Retail"), "A"),  # B moved on: it is not silent here
        (asking("vertical", "Payments"), "B"),
        (asking("vertical", "Wealth"), "CD"),  # where no history says so, the newest fact does
        ((*asking("vertical", "Payments"), *asking("account.tier", "standard")), ""),
    ],
)
def test_accounts_are_chosen_by_what_is_newest_of_them(conn: Connection, where: Conditions, accounts: str) -> None:
    assert read(account_signals(conn, where, EVERYTHING, NOW)) == {name: EVERYONE[name] for name in accounts}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (asking("channel", "mail"), {"A": ["03-02"], "B": ["04-10"]}),  # answers have no channel
        (asking("touchpoint", "visit"), {"C": ["05-02"]}),  # answers have a touchpoint, and these have another
    ],
)
def test_other_conditions_choose_contacts(conn: Connection, where: Conditions, found: dict[str, list[str]]) -> None:
    assert read(account_signals(conn, where, EVERYTHING, NOW)) == found


def test_what_came_later_is_not_known(conn: Connection) -> None:
    then = datetime(2026, 3, 25, 12, tzinfo=UTC)  # the very instant of A's answer
    assert read(account_signals(conn, (), EVERYTHING, then)) == {"A": ["03-02"], "B": ["03-10"]}
    assert read(account_signals(conn, asking("vertical", "Retail"), EVERYTHING, then)) == {
        "A": ["03-02"],
        "B": ["03-10"],
    }
    just_after = then + timedelta(microseconds=1)
    assert read(account_signals(conn, (), EVERYTHING, just_after))["A"] == ["03-02", "03-25"]
    assert read(instrument_signals(conn, EVERYTHING, then))["nps"] == ["03-20"]
    assert read(source_signals(conn, datetime(2026, 3, 1, tzinfo=UTC))) == {"crm": ["01-07", "01-09"]}


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (Scope(accounts=frozenset("C")), {"C": EVERYONE["C"]}),
        (Scope(verticals=frozenset({"Payments"})), {"B": ["04-10"]}),
        (Scope(touchpoints=frozenset({"visit"})), {"C": ["05-02"]}),
        (Scope(verticals=frozenset()), {}),
    ],
)
def test_only_what_is_in_scope_is_read(conn: Connection, scope: Scope, found: dict[str, list[str]]) -> None:
    assert read(account_signals(conn, (), scope, NOW)) == found


def test_instruments_and_sources(conn: Connection) -> None:
    expected = {"csat": ["05-01", "05-30"], "never": [], "nps": ["03-20", "03-25", "04-20"]}
    assert read(instrument_signals(conn, EVERYTHING, NOW)) == expected
    assert instrument_cadences(conn) == {"nps": timedelta(days=92), "never": timedelta(days=366)}
    days = read(source_signals(conn, NOW))["crm"]
    assert {"01-07", "01-09", "03-02", "03-05", "03-20", "03-25", "04-20", "05-31"} <= set(days)
    assert days == sorted(set(days))


def test_the_newest_vertical_of_accounts(conn: Connection) -> None:
    newest = {"A": "Retail", "B": "Payments", "C": "Wealth", "D": "Wealth"}
    assert account_verticals(conn, ["A", "B", "C", "D", "nobody"]) == newest
    assert account_verticals(conn, []) == {}


def covered(conn: Connection, by: Any, *slots: str, scope: Scope = EVERYTHING, days: int = 60) -> tuple[Coverage, ...]:
    chosen = [date.fromisoformat(slot) for slot in slots]
    as_ofs = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in chosen]
    return revenue_coverage(conn, timedelta(days=days), chosen, as_ofs, by, scope)


def test_whose_revenue_answers(conn: Connection) -> None:
    april, may = date(2026, 4, 6), date(2026, 5, 18)
    assert covered(conn, "vertical", "2026-04-06", "2026-05-18") == (
        Coverage(april, "Retail", 2, 1140, 1100),  # B had not answered a relationship survey, and A's April is not over
        Coverage(may, "Payments", 1, 60, 0),
        Coverage(may, "Retail", 2, 240, 200),  # B's revenue before it moved stays here
        Coverage(may, "unknown", 1, 300, 0),
    )
    assert covered(conn, "company", "2026-05-18") == (Coverage(may, None, 3, 600, 200),)
    assert covered(conn, "company", "2026-05-18", days=30) == (Coverage(may, None, 3, 600, 0),)
    payments = Scope(verticals=frozenset({"Payments"}))
    assert covered(conn, "company", "2026-05-18", scope=payments) == (Coverage(may, None, 1, 60, 0),)
    assert covered(conn, "company", "2026-05-18", scope=Scope(touchpoints=frozenset({"visit"}))) == ()
    assert covered(conn, "company") == ()


def test_an_answer_counts_from_its_day_on(conn: Connection) -> None:
    for slot, answered in (("2026-03-25", 0), ("2026-03-26", 1100)):
        assert [one.answered for one in covered(conn, "company", slot)] == [answered]


def rate(currency: str, month: str, value: float) -> dict[str, Any]:
    when = {"month": date.fromisoformat(month), "first_loaded_at": LOADED, "loaded_at": LOADED}
    return {"source": "crm", "currency": currency, "rate": value, **when}


def test_amounts_in_several_currencies_need_their_rates(empty: Engine) -> None:
    revenue = [money("A", "2026-03-01", 100), money("B", "2026-03-01", 100, "USD")]
    fill(empty, {**COMPANY, tables.revenue: revenue, tables.fx_rate: [rate("USD", "2026-03-01", 0.5)]})
    slot = [date(2026, 5, 18)]
    with empty.connect() as conn:
        (found,) = revenue_coverage(conn, YEAR, slot, [NOW], "company", EVERYTHING, "EUR")
        assert (found.revenue, found.answered) == (150, 100)
        with pytest.raises(
            UnratedRevenueError, match=r"^revenue in EUR for 2026-03 has no rate; load .* into fx_rate$"
        ):
            revenue_coverage(conn, YEAR, slot, [NOW], "company", EVERYTHING)


def test_an_unrated_currency_is_refused_with_its_name_and_months(empty: Engine) -> None:
    """Whoever asks: no amount is counted at par, and none is left out."""
    revenue = [
        money("A", "2026-03-01", 100),
        *(money("B", f"2026-0{month}-01", 10, "USD") for month in (1, 2, 3, 4)),
        money("C", "2026-04-01", 7, "CHF"),
        money("D", "2025-11-01", 5, "USD"),
    ]
    fill(empty, {**COMPANY, tables.revenue: revenue, tables.fx_rate: [rate("USD", "2026-04-01", 0.5)]})
    slot = [date(2026, 5, 18)]
    named = "in CHF for 2026-04 and in USD for 2025-11, 2026-01, 2026-02 and 1 more has no rate"
    with empty.connect() as conn:
        with pytest.raises(UnratedRevenueError, match=named):
            read_revenue(conn, ("vertical",), EVERYTHING, NOW, "EUR")
        with pytest.raises(UnratedRevenueError, match=named):
            revenue_coverage(conn, YEAR, slot, [NOW], "company", EVERYTHING, "EUR")
        with pytest.raises(UnratedRevenueError, match="in USD for 2026-01, 2026-02 and 2026-03 has no rate"):
            revenue_of(conn, ("A", "B"), "EUR", EVERYTHING, NOW)
        # Only what is asked for needs a rate.
        assert revenue_of(conn, ("A",), "EUR", EVERYTHING, NOW) == {"A": 100}
        april = read_revenue(
            conn, ("account_id",), EVERYTHING, NOW, "EUR",
            lambda rows: (rows.c.month == date(2026, 4, 1)) & (rows.c.account_id == "B"),
        )  # fmt: skip
        known = datetime(2026, 5, 1)  # noqa: DTZ001 - as the warehouse stores it
        assert april.to_pylist() == [{"month": date(2026, 4, 1), "account_id": "B", "known": known, "amount": 5}]


def test_the_reporting_currency_needs_no_rate(empty: Engine) -> None:
    """Nor does an amount without a currency; and where one is loaded for it, it changes nothing."""
    nameless = {**money("B", "2026-03-01", 10), "currency": None}
    revenue = [money("A", "2026-02-01", 100), money("A", "2026-03-01", 100), nameless]
    fill(empty, {**COMPANY, tables.revenue: revenue, tables.fx_rate: [rate("EUR", "2026-03-01", 0.5)]})
    with empty.connect() as conn:
        assert revenue_of(conn, ("A", "B", "C"), "EUR", EVERYTHING, NOW) == {"A": 200, "B": 10}


def _loaded(number: int, at: datetime, source: str, **summary: Any) -> dict[str, Any]:
    text = json.dumps({"source": source, **summary})
    basis = {"zone": "Europe/Zurich", "calendar_hash": "", "metrics_hash": ""}
    return {"number": number, "published_at": at, "source": source, "summary": text, **basis}


def test_a_source_that_lost_every_row_was_heard_of_when_it_last_had_some(empty: Engine) -> None:
    """One that was dropped, or replaced as a sample, is none any more; one that never brought a row still is."""
    full, none, stages = {"contact": {"read": 5}}, {"contact": {"read": 0}}, {"reading contact": 0.1}
    loads: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("crm", full, {}),
        ("crm", none, {}),
        ("shop", full, {}),
        ("shop", none, {"stages": {}}),
        ("demo", full, {"sample": True}),
        ("never", none, {}),
        ("never", none, {}),
    ]
    rows = [
        _loaded(n, datetime(2026, 3, n, 23, 30), source, **{"tables": counts, "stages": stages, **more})  # noqa: DTZ001
        for n, (source, counts, more) in enumerate(loads, start=1)
    ]
    fill(empty, {tables.generation: rows})
    with empty.connect() as conn:
        signals = source_signals(conn, NOW)
        assert read(signals) == {"crm": ["03-02"], "never": ["03-07"]}  # after midnight in Zurich
        assert read(source_signals(conn, datetime(2026, 3, 3, tzinfo=UTC))) == {"crm": ["03-02"]}
        noon = date(2026, 3, 6).toordinal()
        late = stale(signals, timedelta(days=3), np.array([noon - 1, noon, noon + 5]))
        assert late.units == ("crm", "never")
        assert late.late.tolist() == [[False, False], [True, False], [True, True]]


def test_an_empty_warehouse_is_silent(empty: Engine) -> None:
    fill(empty, {})
    with empty.connect() as conn:
        assert read(account_signals(conn, asking("vertical", "Retail"), EVERYTHING, NOW)) == {}
        assert read(instrument_signals(conn, EVERYTHING, NOW)) == {}
        assert read(source_signals(conn, NOW)) == {}
        assert instrument_cadences(conn) == {}
        assert covered(conn, "vertical", "2026-05-18") == ()


@pytest.mark.parametrize(
    ("text_", "days"),
    [
        ("monthly", 31),
        (" Quarterly ", 92),
        ("every 3 months", 92),
        ("every quarter", 92),
        ("half-yearly", 184),
        ("6 months", 184),
        ("yearly", 366),
        ("every 2 years", 732),
        ("91d", 91),
        ("2w", 14),
        ("every 2 weeks", 14),
        ("P3M", 92),
        ("P1Y6M", 550),
        ("P2W", 14),
        ("P90D", 90),
        ("after repair", None),  # sent when something happens
        ("P", None),
        ("0d", None),
        ("", None),
    ],
)
def test_a_cadence_is_read_in_the_words_people_use(text_: str, days: int | None) -> None:
    assert cadence_of(text_) == (None if days is None else timedelta(days=days))


PLANTED: Final = tomllib.loads((ROOT / "tests" / "sample" / "planted.toml").read_text(encoding="utf-8"))[
    "quiet_account"
]
END: Final = date(2026, 11, 21)


def months_before(months: int) -> date:
    first = END.year * 12 + END.month - 1 + months
    return date(first // 12, first % 12 + 1, 1)


@pytest.fixture(scope="module", params=[1, 2, 3])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The sample's contacts and answers, of a seed."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, end=END, seed=request.param)
    engine = create_engine("duckdb:///:memory:", poolclass=StaticPool)
    with engine.connect() as conn:
        tables.warehouse.create_all(conn)
        for table in (tables.account, tables.account_history, tables.contact, tables.response):
            days = {c.name: c.info["day_of"] for c in table.c if "day_of" in c.info}
            made = "".join(f", cast({of} as date) as {name}" for name, of in days.items())
            loaded = "'sample' as source, now()::timestamp as first_loaded_at, now()::timestamp as loaded_at"
            file = folder / f"{table.name}.parquet"
            conn.execute(text(f"insert into {table.name} by name select *, {loaded}{made} from '{file}'"))
        yield conn
    engine.dispose()


@pytest.mark.parametrize(
    ("where", "lead"),
    [
        (asking("account.tier", "key"), 60),  # until its people answer the next survey that we send them
        ((*asking("account.tier", "key"), *asking("direction", "in")), 65),  # until they come to us again
    ],
)
def test_the_account_that_fell_silent_is_found_before_its_score_moves(
    sample: Connection, where: Conditions, lead: int
) -> None:
    """Key accounts, looked at weekly for a year and a half: it and no other, at one false alarm a year."""
    signals = account_signals(sample, where, EVERYTHING, datetime(END.year, END.month, END.day, tzinfo=UTC))
    slots = np.arange(months_before(-18).toordinal(), END.toordinal(), 7)
    alphas = np.array([alpha_of(1, signals, slot) for slot in slots.tolist()])
    fired = np.less_equal(unit_silences(signals, slots, YEAR.days).p, alphas[:, None])
    assert {signals.units[u] for u in np.flatnonzero(fired.any(axis=0))} == {PLANTED["account_id"]}
    silent_since, moves = months_before(PLANTED["silent"]), months_before(PLANTED["score_moves"])
    first = date.fromordinal(int(slots[np.argmax(fired.any(axis=1))]))
    delay, early = (first - silent_since).days, (moves - first).days
    assert delay > 0, f"found {first}, before it fell silent"
    assert early >= lead, f"found {delay} days after its contacts ceased, {early} days before its score moves"
    still = fired.any(axis=1)[slots >= first.toordinal()].all()
    assert still == ("direction" in {condition.column for condition in where})  # an answer of theirs ends the silence
