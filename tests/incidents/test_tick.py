"""The tick against real stores: what it records, that it records it once, and that nothing looks ahead."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, func, select

from config.models import Catalog, EventRule
from queries.engine import disposing
from queries.messages import lease_holder, outbox, take_lease
from queries.state import Incident, RacedError, entries, open_state, read_incidents, remembered
from queries.state import tables as state_tables
from queries.warehouse import EVERYTHING, Pin, Scope, SharedWarehouse, Warehouse
from queries.warehouse import tables as warehouse_tables
from tests.counterparts.postgres import NewDatabase
from tests.support.company import LOADED, METRIC, Rows, Week, catalog, noon, publish, rows_of, rule, warehouse, weeks
from tests.support.states import NewState
from triggers.commands.incidents import explain
from triggers.data_faults.scan import NAME
from triggers.evaluation import event_rules
from triggers.incidents.tick import OldGenerationError, Report, tick
from triggers.lab import HEAD
from triggers.lab.backtest import Row, backtest, only
from triggers.processes import lease

FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
BEFORE, OPENS, OVER = date(2025, 12, 15), date(2025, 12, 22), date(2026, 2, 16)
WEEK: Final = timedelta(weeks=1)
Made = Callable[[Catalog, Rows], AbstractContextManager[Warehouse]]


@pytest.fixture(params=["embedded", pytest.param("shared", marks=pytest.mark.postgres)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Made, Engine]]:
    """A way to make a warehouse, and an empty state: DuckDB and SQLite, or PostgreSQL for both."""
    with ExitStack() as stack:
        if request.param == "embedded":
            states = stack.enter_context(disposing(open_state(tmp_path)))
            yield (lambda config, rows: warehouse(tmp_path, config, rows)), states
        else:
            new: NewDatabase = request.getfixturevalue("new_database")
            made = SharedWarehouse(stack.enter_context(new()))
            states = open_state(tmp_path, stack.enter_context(new()))
            stack.callback(made.close)
            stack.callback(states.dispose)
            yield (lambda config, rows: _shared(made, config, rows)), states


@contextmanager
def _shared(made: SharedWarehouse, config: Catalog, rows: Rows) -> Iterator[Warehouse]:
    publish(made, config, rows)
    yield made


@contextmanager
def pinned(tmp_path: Path, config: Catalog, rows: Rows) -> Iterator[Pin]:
    with warehouse(tmp_path, config, rows) as made, made.pin() as pin:
        yield pin


def found(states: Engine) -> tuple[Incident, ...]:
    """The incidents of the rules; the made data stops in the end, which is an incident of its own."""
    return tuple(i for i in everything(states) if i.rule != NAME)


def everything(states: Engine) -> tuple[Incident, ...]:
    with states.connect() as conn:
        return read_incidents(conn, EVERYTHING)


def would_be(pin: Pin, config: Catalog, since: date, until: date) -> tuple[Row, ...]:
    return tuple(row for row in backtest(pin, config, since, until) if row.rule != NAME)


def kinds(states: Engine, id_: str) -> list[str]:
    with states.connect() as conn:
        return [entry.kind for entry in entries(conn, id_)]


def size(states: Engine) -> dict[str, int]:
    tables = (
        state_tables.eval_slot,
        state_tables.instance,
        state_tables.incident,
        state_tables.incident_event,
        state_tables.outbox,
    )
    with states.connect() as conn:
        return {t.name: int(conn.execute(select(func.count()).select_from(t)).scalar_one()) for t in tables}


def test_an_incident_from_opening_to_recovery(stores: tuple[Made, Engine]) -> None:
    make, states = stores
    config = catalog(rule())
    with make(config, rows_of(weeks(FIRST, STORY))) as made, made.pin() as pin:
        for week in range(12):
            tick(states, pin, config, noon(BEFORE + week * WEEK))
    (incident,) = found(states)
    assert (incident.state, incident.origin, incident.vertical) == ("resolved", "live", "Retail")
    assert incident.opened_at == datetime.combine(OPENS, time(), UTC)
    assert incident.slot == OPENS - 2 * WEEK  # the metric matures 14 days
    assert kinds(states, incident.id) == ["opened", "worsened", "worsened", "resolved"]


def test_a_second_tick_writes_nothing(stores: tuple[Made, Engine]) -> None:
    make, states = stores
    config = catalog(rule())
    with make(config, rows_of(weeks(FIRST, STORY))) as made, made.pin() as pin:
        tick(states, pin, config, noon(OPENS))
        before = size(states)
        report = tick(states, pin, config, noon(OPENS))
    assert size(states) == before
    assert report == Report(1, open=1)


def test_weekly_ticks_and_one_tick_come_to_the_same_incidents(stores: tuple[Made, Engine], new_state: NewState) -> None:
    make, states = stores
    config = catalog(rule(false_alarms_per_year=2, keep_firing="14d"))
    company = [w for i, shift in enumerate((0, 3, 9)) for w in weeks(FIRST, STORY[shift:] + STORY, vertical=f"V{i}")]
    with make(config, rows_of(company)) as made, made.pin() as pin:
        for week in range(50):
            tick(states, pin, config, noon(FIRST + week * WEEK))
        at_once = new_state()
        tick(at_once, pin, config, noon(FIRST + 49 * WEEK))
    weekly = [replace(i, origin="", next_step_at=None) for i in everything(states)]
    assert weekly == [replace(i, origin="", next_step_at=None) for i in everything(at_once)]
    # Two verticals end before the third: that, and nothing else, is a fault of the data.
    assert sorted(Counter(i.rule for i in everything(states)).items()) == [(NAME, 2), ("defects", 6)]


def test_a_backtest_says_what_live_ticks_did(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule()), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        for week in range(30):
            tick(states, pin, config, noon(FIRST + week * WEEK))
        rows = would_be(pin, config, FIRST, date(2026, 4, 1))
        assert would_be(pin, config, FIRST, OPENS) == ()  # the slot is known as the day begins, not before
        (then,) = would_be(pin, config, FIRST, OPENS + timedelta(days=1))
        assert would_be(pin, config, OPENS + timedelta(days=1), date(2026, 4, 1)) == ()  # it did not open there
    (live,) = found(states)
    (row,) = rows
    assert (row.opened_at, row.resolved_at) == (live.opened_at, live.resolved_at)
    assert (then.opened_at, then.resolved_at, then.value, then.n) == (row.opened_at, None, row.value, row.n)
    assert [",".join(cells) for cells in (HEAD, row.cells)] == [
        "rule,slice,class,opened_at,resolved_at,value,n",
        "defects,vertical=Retail,customer,2025-12-22T00:00:00+00:00,2026-02-02T00:00:00+00:00,0.4,200",
    ]


def test_one_rule_can_be_tested_alone_also_when_it_is_off(tmp_path: Path) -> None:
    config = catalog(rule(name="a", enabled=False), rule(name="b"))
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        assert [row.rule for row in would_be(pin, config, FIRST, OVER)] == ["b"]
        assert [row.rule for row in would_be(pin, only(config, "a"), FIRST, OVER)] == ["a"]


@pytest.mark.parametrize("cut", [0, 3, 10, 13, 14, 20])
def test_nothing_looks_ahead(tmp_path: Path, cut: int, new_state: NewState) -> None:
    """A tick over the whole warehouse says what one over a warehouse says that ends at that moment."""
    config, moment = catalog(rule()), noon(OPENS) + timedelta(days=cut)
    every = weeks(FIRST, STORY)
    past = [week for week in every if week.monday + timedelta(days=2) < moment.date()]
    whole, part = new_state(), new_state()
    with pinned(tmp_path / "whole", config, rows_of(every)) as pin:
        tick(whole, pin, config, moment)
    with pinned(tmp_path / "part", config, rows_of(past)) as pin:
        tick(part, pin, config, moment)
    assert found(whole) == found(part)
    assert [kinds(whole, i.id) for i in found(whole)] == [kinds(part, i.id) for i in found(part)]


def test_only_what_changed_is_written(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule()), new_state()
    company = [w for i in range(20) for w in weeks(FIRST, (4,) * 24, vertical=f"V{i}")]
    with pinned(tmp_path, config, rows_of(company)) as pin:
        assert tick(states, pin, config, noon(BEFORE)).instances == 20
        assert tick(states, pin, config, noon(BEFORE + WEEK)).instances == 0


def test_an_older_warehouse_is_refused(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule()), new_state()
    with warehouse(tmp_path, config, rows_of(weeks(FIRST, STORY))) as made:
        publish(made, config, rows_of(weeks(FIRST, STORY)))
        with made.pin() as pin:
            tick(states, pin, config, noon(BEFORE))
            old = Pin(pin.conn, replace(pin.generation, number=1))
            with pytest.raises(OldGenerationError, match=r"generation 1\) is older than the last one evaluated \(2\)"):
                tick(states, old, config, noon(OPENS))


def test_newer_data_may_change_what_the_newest_slot_says(tmp_path: Path, new_state: NewState) -> None:
    """Late rows open an incident in a slot that was quiet; it opens when that was known."""
    config, states = catalog(rule()), new_state()
    early = [replace(week, journeys=50) if week.monday < date(2025, 12, 1) else week for week in weeks(FIRST, STORY)]
    quiet = [week if week.monday != date(2025, 12, 1) else replace(week, journeys=2, defective=0) for week in early]
    with warehouse(tmp_path, config, rows_of(quiet)) as made:
        with made.pin() as pin:
            tick(states, pin, config, noon(OPENS))
        assert found(states) == ()
        publish(made, config, rows_of(early))
        with made.pin() as pin:
            tick(states, pin, config, noon(OPENS) + timedelta(hours=5))
            assert tick(states, pin, config, noon(OPENS) + timedelta(hours=6)).slots == 0
    (incident,) = found(states)
    assert incident.opened_at == noon(OPENS) + timedelta(hours=5)
    assert incident.slot == OPENS - 2 * WEEK


def test_consecutive_counts_slots_and_not_looks(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule(consecutive=2)), new_state()
    with warehouse(tmp_path, config, rows_of(weeks(FIRST, STORY))) as made:
        for hour in range(4):
            with made.pin() as pin:
                tick(states, pin, config, noon(OPENS) + timedelta(hours=hour))
            publish(made, config, rows_of(weeks(FIRST, STORY)))
        assert found(states) == ()
        with made.pin() as pin:
            tick(states, pin, config, noon(OPENS + WEEK))
    assert [i.opened_at for i in found(states)] == [datetime.combine(OPENS + WEEK, time(), UTC)]


def test_an_open_incident_stays_under_the_rule_that_it_opened_under(tmp_path: Path, new_state: NewState) -> None:
    """A recover limit that is tightened meanwhile is for the next one."""
    before, after, states = catalog(rule()), catalog(rule(recover=0.01)), new_state()
    with pinned(tmp_path, before, rows_of(weeks(FIRST, STORY))) as pin:
        tick(states, pin, before, noon(BEFORE))
        tick(states, pin, before, noon(OPENS))
        for week in range(1, 9):
            tick(states, pin, after, noon(OPENS + week * WEEK))
    assert [i.state for i in found(states)] == ["resolved"]
    with states.connect() as conn:
        rules = conn.execute(select(state_tables.rule_version.c.rule)).scalars()
        assert Counter(rules) == {"defects": 2, NAME: 1}


def test_an_incident_survives_that_its_rule_slices_otherwise(tmp_path: Path, new_state: NewState) -> None:
    before, after, states = catalog(rule()), catalog(rule(by=["vertical", "journey_type"])), new_state()
    with pinned(tmp_path, before, rows_of(weeks(FIRST, STORY))) as pin:
        tick(states, pin, before, noon(BEFORE))
        tick(states, pin, before, noon(OPENS))
        for week in range(1, 9):
            tick(states, pin, after, noon(OPENS + week * WEEK))
    assert {i.slice: i.state for i in found(states)}["vertical=Retail"] == "resolved"


@pytest.mark.parametrize("without", [(), (rule(enabled=False),)])
def test_the_incidents_of_a_rule_that_is_gone_are_closed(
    tmp_path: Path, without: tuple[Any, ...], new_state: NewState
) -> None:
    config, states = catalog(rule()), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        tick(states, pin, config, noon(BEFORE))
        tick(states, pin, config, noon(OPENS))
        tick(states, pin, catalog(*without), noon(OPENS + WEEK))
    (incident,) = found(states)
    assert incident.state == "closed"
    with states.connect() as conn:
        assert entries(conn, incident.id)[-1].reason == "its rule was removed or turned off"


def test_a_metric_without_data_is_no_mistake(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule(name="nothing", metric="nps", limit=0, recover=10)), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        assert tick(states, pin, config, noon(OPENS)) == Report(1, slots=1)  # the one in which faults are looked for
        assert would_be(pin, config, FIRST, OVER) == ()


def test_a_quantile_is_compared_as_it_is(tmp_path: Path, new_state: NewState) -> None:
    """It cannot be added up over days, so each window is read as known at its slot."""
    slow = rule(name="slow", metric="journey-days-median", limit=0.5, recover=0.4, gate="none", by=["vertical"])
    config, states = catalog(slow), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, (4,) * 10))) as pin:
        for week in range(4, 10):
            tick(states, pin, config, noon(FIRST + week * WEEK))
        (row,) = would_be(pin, config, FIRST, OVER)
        (incident,) = found(states)
        with states.connect() as conn:
            lines = list(explain(conn, pin, config, incident.id, noon(OPENS)))
    assert (row.slice, row.value, row.n) == ("vertical=Retail", 1.0, 200)
    assert row.opened_at == incident.opened_at == datetime.combine(FIRST + 5 * WEEK, time(), UTC)
    assert any("then: 1.0 days" in line for line in lines)


def test_a_filter_that_is_no_name_is_part_of_the_question(tmp_path: Path) -> None:
    """`where` on numbers, truths and other tables' columns; two rules with different filters share one query."""
    company = rows_of([*weeks(FIRST, STORY), *(replace(w, journey_type="repair") for w in weeks(FIRST, (2,) * 24))])
    config = catalog(
        rule(name="all"),
        rule(name="type", where={"journey_type": "installation"}),
        rule(name="truth", where={"journey_type": {"any_of": ["installation"], "known": True}}),
        rule(name="number", where={"days": {"at_most": 2}, "journey_type": "installation"}),
        rule(name="none", where={"days": {"at_least": 2}}),
    )
    with pinned(tmp_path, config, company) as pin:
        names = [row.rule for row in would_be(pin, config, FIRST, OVER)]
    assert sorted(names) == ["number", "truth", "type"]  # half of all are repairs, and whole


def test_two_processes_at_once_write_once(tmp_path: Path, new_state: NewState) -> None:
    """The second one read the state before the first one wrote."""
    config, states = catalog(rule()), new_state()
    with pinned(tmp_path, config, rows_of(weeks(FIRST, STORY))) as pin:
        tick(states, pin, config, noon(BEFORE))

        def first(_: Any) -> None:
            if not first_done:
                first_done.append(True)
                tick(other, pin, config, noon(OPENS))

        first_done = list[bool]()
        other = states
        with pytest.raises(RacedError):
            tick(states, pin, config, noon(OPENS), first)
    assert len(found(states)) == 1


def test_the_lease_goes_to_one_and_is_taken_from_the_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, now = open_state(tmp_path), noon(OPENS)
    mine = lease.acquire(states, now)
    assert mine is not None
    monkeypatch.setattr(lease, "holder", lambda: "elsewhere 1 1")
    assert lease.acquire(states, now) is None
    assert lease.acquire(states, now + lease.LENGTH) is not None  # its time is over
    with states.begin() as conn, pytest.raises(RacedError, match="taken over"):
        mine.guard(conn)
    monkeypatch.undo()
    with states.begin() as conn:
        held = lease_holder(conn, lease.NAME)
        assert held is not None
        dead = replace(held, holder=lease.holder().replace(" ", " 4", 1), until=now + lease.LENGTH)
        assert take_lease(conn, dead, held)
    assert lease.acquire(states, now) is not None
    states.dispose()


def test_who_may_see_an_incident(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule()), new_state()
    company = [w for name in ("Retail", "Energy") for w in weeks(FIRST, STORY, vertical=name)]
    with pinned(tmp_path, config, rows_of(company)) as pin:
        tick(states, pin, config, noon(OPENS + 2 * WEEK))
    with states.connect() as conn:
        for scope, seen in (
            (Scope("gm", frozenset({"Retail"})), {"Retail"}),
            (Scope("gm", frozenset()), set()),
            (Scope("account-team", accounts=frozenset({"Retail-0"})), set()),
            (EVERYTHING, {"Retail", "Energy"}),
        ):
            assert {i.vertical for i in read_incidents(conn, scope)} == seen


def test_explain_shows_the_figures_then_and_now(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule()), new_state()
    with warehouse(tmp_path, config, rows_of(weeks(FIRST, STORY))) as made:
        with made.pin() as pin:
            tick(states, pin, config, noon(OPENS))
        (incident,) = found(states)
        corrected = [w if w.monday != date(2025, 12, 1) else replace(w, defective=4) for w in weeks(FIRST, STORY)]
        publish(made, config, rows_of(corrected))
        with made.pin() as pin, states.connect() as conn:
            told, detailed = (
                "\n".join(explain(conn, pin, config, incident.id, noon(OPENS), details=details))
                for details in (False, True)
            )
    assert "then: 40.0% (29 to 53%), n = 200\n" in told
    assert not re.search(r"p = |generation|version|design|threshold", told)
    assert "then: 40.0% (29 to 53%), n = 200, design effect 3.33, p = 0.00749, threshold 0.00958" in detailed
    assert "(data generation 1)" in detailed
    for text in (told, detailed):
        assert "now:  32.0%" in text
        assert "rows were added, removed or corrected since" in text


# Events.


def event(**changes: Any) -> EventRule:
    body = {
        "name": "detractor",
        "kind": "event",
        "table": "response",
        "dated_by": "responded_at",
        "where": {"score": {"at_most": 6}},
        "resolve_after": "10d",
        "severity": 1,
        "route": "delivery",
        "owner": "delivery-lead",
    }
    return EventRule.model_validate(body | changes)


def answer(number: int, score: int, at: datetime, invited: datetime | None = None) -> dict[str, Any]:
    shared = {"source": "made", "account_id": "A", "vertical": "Retail", "first_loaded_at": LOADED, "loaded_at": LOADED}
    sent = invited or at - timedelta(days=1)
    asked = {"invited_at": sent, "day": sent.date(), "kind": "relationship", "scale": "nps", "status": "answered"}
    return {**shared, **asked, "id": str(number), "score": score, "responded_at": at, "responded_day": at.date()}


def contact(number: int, at: datetime, direction: str = "in", journey: str | None = "j", **more: Any) -> dict[str, Any]:
    shared = {"source": "made", "account_id": "A", "vertical": "Retail", "first_loaded_at": LOADED, "loaded_at": LOADED}
    named = {"journey_id": journey, "touchpoint": "call", "direction": direction, "occurred_at": at, "day": at.date()}
    return {**shared, **named, "id": str(number), **more}


ACCOUNT: Final = {
    warehouse_tables.account: [
        {"account_id": "A", "source": "made", "name": "A plc", "first_loaded_at": LOADED, "loaded_at": LOADED}
    ]
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


ANSWERED: Final = utc("2026-03-02T15:00:00")


def test_a_severe_case_opens_once_for_ever_when_it_is_known(stores: tuple[Made, Engine]) -> None:
    make, states = stores
    config = catalog(event())
    rows = ACCOUNT | {warehouse_tables.response: [answer(1, 3, ANSWERED), answer(2, 9, ANSWERED)]}
    with make(config, rows) as made, made.pin() as pin:
        tick(states, pin, config, noon(date(2026, 2, 1)))
        tick(states, pin, config, ANSWERED.replace(tzinfo=UTC))  # known at that instant is not known before it
        assert found(states) == ()
        for hour in (1, 2, 30):
            tick(states, pin, config, ANSWERED.replace(tzinfo=UTC) + timedelta(hours=hour))
        (incident,) = found(states)
        assert (incident.slice, incident.account_id) == ("response=made/1", "A")
        assert incident.opened_at == ANSWERED.replace(tzinfo=UTC)
        tick(states, pin, config, noon(date(2026, 3, 20)))
    (incident,) = found(states)
    # A case has no figure that could recover, and its end is no news.
    assert (incident.state, kinds(states, incident.id)[-1]) == ("closed", "closed")
    with states.connect() as conn:
        assert {message.kind for message in outbox.unsent(conn)} <= {"root", "update"}
    assert incident.resolved_at == ANSWERED.replace(tzinfo=UTC) + timedelta(days=10)


def test_an_answer_counts_from_when_it_came_not_from_the_invitation(tmp_path: Path) -> None:
    config = catalog(event(dated_by="invited_at"))
    rows = ACCOUNT | {warehouse_tables.response: [answer(1, 3, ANSWERED, invited=ANSWERED - timedelta(days=9))]}
    with pinned(tmp_path, config, rows) as pin:
        (row,) = would_be(pin, config, date(2026, 1, 1), date(2026, 4, 1))
    assert row.opened_at == ANSWERED.replace(tzinfo=UTC)


def test_what_is_missing_is_judged_once_at_its_time(tmp_path: Path, new_state: NewState) -> None:
    """A reply after two days is no excuse for a rule that allows one; a reply within the day is."""
    wait = event(
        name="unanswered", table="inbound", dated_by="occurred_at", where={"replied_at": {"known": False}}, settle="1d"
    )
    config, at = catalog(wait), utc("2026-03-02T09:00:00")
    contacts = [
        contact(1, at, journey="a"),
        contact(2, at + timedelta(days=2), "out", "a"),
        contact(3, at, journey="b"),
        contact(4, at + timedelta(hours=20), "out", "b"),
        contact(5, at, journey="c"),
    ]
    with pinned(tmp_path, config, ACCOUNT | {warehouse_tables.contact: contacts}) as pin:
        rows = would_be(pin, config, date(2026, 1, 1), date(2026, 4, 1))
        live = new_state()
        for hour in range(0, 24 * 6, 3):
            tick(live, pin, config, at.replace(tzinfo=UTC) + timedelta(hours=hour))
    due = at.replace(tzinfo=UTC) + timedelta(days=1)
    assert [(row.slice, row.opened_at) for row in rows] == [("inbound=made/1", due), ("inbound=made/5", due)]
    assert sorted((i.slice, i.opened_at) for i in found(live)) == [(row.slice, row.opened_at) for row in rows]


def test_data_that_was_scanned_is_not_scanned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_state: NewState
) -> None:
    """Unless the rule waits: then time alone makes cases."""
    config, states = catalog(event(), event(name="waits", settle="1d")), new_state()
    scanned = list[str]()

    def cases(_: Any, of: EventRule, *__: Any) -> tuple[()]:
        scanned.append(of.name)
        return ()

    monkeypatch.setattr(event_rules, "cases", cases)
    with pinned(tmp_path, config, ACCOUNT) as pin:
        for hour in range(3):
            tick(states, pin, config, LOADED.replace(tzinfo=UTC) + timedelta(hours=hour))
    assert scanned == ["detractor", "waits", "waits", "waits"]


def test_late_rows_are_found_as_far_back_as_the_rule_says(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(event(scan_back="5d")), new_state()
    rows = [answer(i, 3, ANSWERED - timedelta(days=i)) for i in (1, 4, 9)]
    with warehouse(tmp_path, config, ACCOUNT) as made:
        with made.pin() as pin:
            tick(states, pin, config, noon(date(2026, 3, 3)))
        publish(made, config, ACCOUNT | {warehouse_tables.response: rows})
        with made.pin() as pin:
            tick(states, pin, config, noon(date(2026, 3, 3)))
    assert sorted(i.slice for i in found(states)) == ["response=made/1", "response=made/4"]


def test_the_first_run_tells_only_of_fresh_cases(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(event(resolve_after="90d")), new_state()
    rows = [answer(i, 3, ANSWERED - timedelta(days=i)) for i in (2, 6, 8, 40)]
    with pinned(tmp_path, config, ACCOUNT | {warehouse_tables.response: rows}) as pin:
        tick(states, pin, config, noon(date(2026, 3, 3)))
    with states.connect() as conn:
        told = {message.incident_id for message in outbox.unsent(conn)}
        (first,) = (i for i in found(states) if i.id in told)
        joined = [entry.reason for entry in entries(conn, first.id) if entry.kind == "joined"]
    # Of one account: the older of the two that are fresh speaks for the other.
    assert (first.slice, len(joined), joined[0].count(";")) == ("response=made/6", 1, 0)
    assert joined[0].endswith("found 28 February 2026)")  # not when the run noted it
    assert {i.slice: i.next_step for i in found(states)}["response=made/2"] == 0
    assert {i.origin for i in found(states)} == {"backfill"}


def test_no_data_is_remembered_as_health(tmp_path: Path, new_state: NewState) -> None:
    config, states = catalog(rule()), new_state()
    with pinned(tmp_path, config, rows_of([*weeks(FIRST, STORY[:12]), Week(FIRST + 20 * WEEK, 50, 4)])) as pin:
        tick(states, pin, config, noon(FIRST + 18 * WEEK))
    with states.connect() as conn:
        assert [(row.state, row.health) for row in remembered(conn)] == [("ok", "no_data")]


def test_the_metric_of_these_tests_is_the_projects() -> None:
    assert catalog().metric("defect-rate") == METRIC
