"""An account or a person that is forgotten is gone everywhere, and no load brings it back."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, insert, select, update

from queries.operations import erase as forgetting
from queries.operations.drop_source import drop
from queries.operations.erase import Forgotten, forget
from queries.operations.redaction import Redacted, Redaction, redact
from queries.state import HistoryEntry, Incident, Queued, TickRecord, open_state, read_incident, read_incidents, write
from queries.state import tables as state_tables
from queries.warehouse import EVERYTHING, EmbeddedWarehouse, Kind, Warehouse, hash_of, tables
from tests.counterparts.slack import CHANNELS, TOKEN, Slack
from tests.support.company import catalog, noon, rows_of, rule, weeks
from tests.support.company import warehouse as company_of
from tests.support.loading import CATALOG, COMPANY, NOW, bring, contents, opened, order, rows
from triggers.incidents.tick import tick
from triggers.messages import CardReader, DeliveryWorker
from triggers.slack import client

LATER: Final = NOW + timedelta(hours=1)
MARK: Final = f"erased-{hash_of('account', 'A1')[:8]}"
Pair = tuple[Warehouse, Engine]


@pytest.fixture(params=["embedded", "shared"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Warehouse and state, both embedded or both in one PostgreSQL database."""
    url = request.getfixturevalue("postgres_url") if request.param == "shared" else None
    made, states = opened(tmp_path, url), open_state(tmp_path, url)
    yield made, states
    made.close()
    states.dispose()


@pytest.fixture
def loaded(stores: Pair, tmp_path: Path) -> Pair:
    bring(stores[0], order(tmp_path / "crm", COMPANY))
    return stores


def gone(stores: Pair, kind: Kind, key: str, now: datetime = LATER) -> Forgotten:
    return forget(*stores, kind, key, CATALOG, now, lambda _: None)


def without(*keys: str) -> dict[str, str]:
    """The company's files without the lines of those keys, and with C3 of nobody."""
    lines = {name: text.splitlines(keepends=True) for name, text in COMPANY.items()}
    kept = {name: "".join(line for line in of if not set(line.split(",")) & set(keys)) for name, of in lines.items()}
    return {**kept, "contact": kept["contact"].replace("C3,A2,P1", "C3,A2,")}


def found_in(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, but for the lines in which rejected rows stood: other files have other lines."""
    with warehouse.pin() as pin:
        held = contents(pin.conn, frozenset({"generation", "erased"}))
    held["quarantine"] = [(*row[:-1], re.sub(r', "line": "[^"]*"', "", row[-1])) for row in held["quarantine"]]
    return held


# The warehouse


def test_an_account_leaves_what_would_be_there_without_it(loaded: Pair, tmp_path: Path) -> None:
    """Its person goes with it, also from another account's contact; journeys and rollups are those of the rest."""
    done = gone(loaded, "account", "A1")
    assert (done.rows, done.facts, done.people, done.quarantined, done.was_known) == (8, 1, 1, 1, True)
    with closing(EmbeddedWarehouse(tmp_path / "other")) as other:
        bring(other, order(tmp_path / "other-crm", without("A1")))
        assert found_in(loaded[0]) == found_in(other)
    with loaded[0].pin() as pin:
        assert pin.generation.number == done.generation == 2
        marks = {row[0] for row in rows(pin.conn, tables.erased, "hash")}
    assert marks == {hash_of("account", "A1"), hash_of("person", "P1")}
    other.close()


def test_a_person_leaves_the_facts(loaded: Pair) -> None:
    done = gone(loaded, "person", "P1")
    assert (done.rows, done.facts, done.people, done.quarantined) == (1, 3, 0, 1)
    with loaded[0].pin() as pin:
        assert rows(pin.conn, tables.person, "person_id") == [("P2",), ("P3",)]
        assert rows(pin.conn, tables.contact, "id", "person_id") == [
            ("C1", None),
            ("C2", "P2"),
            ("C3", None),
            ("C4", "P3"),
        ]
        answers = rows(pin.conn, tables.response, "id", "person_id", "score", "comment")
    assert answers == [("R1", None, 2, None), ("R2", "P2", 9, "fine")]


@pytest.mark.parametrize(("kind", "key"), [("account", "A1"), ("person", "P1")])
def test_a_load_cannot_undo_it(loaded: Pair, tmp_path: Path, kind: Kind, key: str) -> None:
    """Neither the same files again, nor a load into the warehouse emptied by `drop`, nor an append."""
    warehouse, company = loaded[0], order(tmp_path / "crm", COMPANY)
    gone(loaded, kind, key)
    before = found_in(warehouse)
    bring(warehouse, company, LATER)
    again = found_in(warehouse)
    assert {**again, "quarantine": []} == {**before, "quarantine": []}
    drop(warehouse, "crm", CATALOG, LATER, lambda _: None)
    bring(warehouse, company, LATER)
    assert found_in(warehouse) == again
    bring(warehouse, replace(company, source=company.source.model_copy(update={"mode": "append"})), LATER)
    assert found_in(warehouse) == again
    assert key not in {value for found in again.values() for row in found for value in row}


def test_no_file_keeps_it(tmp_path: Path) -> None:
    """A generation that is being read is removed as well; whoever reads it keeps it no longer than the reading."""
    stores = EmbeddedWarehouse(tmp_path / "warehouse"), open_state(tmp_path)
    bring(stores[0], order(tmp_path / "crm", COMPANY))
    assert _files_with(tmp_path / "warehouse", b"Acme & Sons") == ["generation-1.duckdb"]
    with stores[0].pin() as pin:
        gone(stores, "account", "A1")
        assert _files_with(tmp_path / "warehouse", b"Acme & Sons") == []
        assert len(rows(pin.conn, tables.account, "account_id")) == 3
    assert sorted(file.name for file in (tmp_path / "warehouse").glob("*.duckdb*")) == ["generation-2.duckdb"]
    assert (tmp_path / "warehouse" / "generation-2.duckdb").stat().st_mode & 0o777 == 0o600
    stores[0].close()
    stores[1].dispose()


def test_a_load_into_an_empty_warehouse_leaves_nothing_of_it_in_the_file(tmp_path: Path) -> None:
    stores = EmbeddedWarehouse(tmp_path / "warehouse"), open_state(tmp_path)
    gone(stores, "account", "A1")
    bring(stores[0], order(tmp_path / "crm", COMPANY))
    assert _files_with(tmp_path / "warehouse", b"Acme & Sons") == []
    assert _files_with(tmp_path / "warehouse", b"Beta") == ["generation-2.duckdb"]
    stores[0].close()
    stores[1].dispose()


def _files_with(folder: Path, text: bytes) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and text in file.read_bytes())


def test_a_second_time_changes_nothing(loaded: Pair) -> None:
    first = gone(loaded, "account", "A1")
    before = found_in(loaded[0])
    again = gone(loaded, "account", "A1", LATER + timedelta(days=1))
    assert (again.rows, again.facts, again.quarantined, again.was_known) == (0, 0, 0, False)
    assert again.generation == first.generation + 1
    assert found_in(loaded[0]) == before
    with loaded[0].pin() as pin:
        assert {row[0] for row in rows(pin.conn, tables.erased, "at")} == {LATER.replace(tzinfo=None)}


def test_an_unknown_key_gets_its_tombstone(loaded: Pair, tmp_path: Path) -> None:
    """C5 is of A9: it waits in quarantine for an account that may not come any more."""
    before, said = found_in(loaded[0]), list[str]()
    forget(*loaded, "account", "A8", CATALOG, LATER, said.append)
    assert said[0] == "the warehouse had no account A8; later loads leave it out"
    assert found_in(loaded[0]) == before
    more = {**COMPANY, "account": COMPANY["account"] + "A8,Epsilon\n"}
    assert bring(loaded[0], order(tmp_path / "crm", more)).erased == 1
    assert found_in(loaded[0]) == before


def test_a_key_can_be_forgotten_before_the_first_load(stores: Pair, tmp_path: Path) -> None:
    assert not gone(stores, "person", "P1").was_known
    lisbon = order(tmp_path / "crm", COMPANY)
    lisbon = replace(lisbon, source=lisbon.source.model_copy(update={"zone": "Europe/Lisbon"}))
    bring(stores[0], lisbon)
    with stores[0].pin() as pin:
        assert pin.generation.zone == "Europe/Lisbon"
        assert rows(pin.conn, tables.person, "person_id") == [("P2",), ("P3",)]


# The state


def seed(states: Engine) -> None:
    """An event incident of A1, threshold incidents sliced by account or vertical, and all that people wrote of them."""
    a1, a10 = _case("i-case", "A1"), _case("i-other", "A10")
    sliced = replace(_rate("i-account"), slice="vertical=Retail|account_id=A1")
    entries = tuple(
        HistoryEntry(one.id, 1, NOW, "opened", "a severe case", sample=_sample(one)) for one in (a1, a10, sliced)
    )
    said = "Acme & Sons, that is A1, not A10 or B-A1"
    note = HistoryEntry("i-rate", 1, NOW, "closed", said, "ana", sample={"value": 0.5})
    with states.begin() as conn:
        write(conn, TickRecord(opened=(a1, a10, sliced, _rate("i-rate")), entries=(*entries, note)))
        for table, values in _written().items():
            for value in values:
                conn.execute(insert(table), value)


def _case(id_: str, account: str) -> Incident:
    return replace(_rate(id_), rule="detractor", slice=f"response=crm/R-{account}", account_id=account, n=1, value=None)


def _rate(id_: str) -> Incident:
    where: dict[str, Any] = {"vertical": "Retail", "touchpoint": None, "account_id": None}
    times: dict[str, Any] = {"opened_at": NOW, "slot": date(2026, 3, 1), "resolved_at": None, "next_step_at": LATER}
    taken: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": None, "next_step": 1, "origin": "live"}
    kind: dict[str, Any] = {"class_": "customer", "severity": 2, "route": "delivery", "ladder": "[]", "rule_hash": "h"}
    figures: dict[str, Any] = {"value": 0.5, "n": 40, "state": "open", "episode": 1, "version": 1}
    return Incident(id=id_, rule="defects", slice="vertical=Retail", **where, **times, **taken, **kind, **figures)


def _sample(of: Incident) -> dict[str, Any]:
    return {"slice": of.slice, "key": of.slice, "account_id": of.account_id, "tally": [1, 2]}


def _written() -> dict[Any, list[dict[str, Any]]]:
    at, day = NOW.replace(tzinfo=None), date(2026, 3, 1)
    told = {"author": "ana", "at": at}
    instance = {"rule": "defects", "state": "firing", "health": "ok", "body": "{}"}
    return {
        state_tables.instance: [
            {**instance, "slice": "vertical=Retail|account_id=A1", "incident_id": "i-account"},
            {**instance, "slice": "vertical=Retail|account_id=A10", "incident_id": None},
        ],
        state_tables.action: [
            {"id": "a", "what": "Call A1 (Acme & Sons).", "owner": "ana", "started_on": day, "recorded_at": at}
            | {"author": "ana"},
            {"id": "b", "month": day, "review": "*", "issue": "defects|vertical=Retail|account_id=A1", "seq": 1}
            | {"what": "visit A1; A10 can wait", "owner": "ana", "started_on": day, "recorded_at": at, "author": "ana"},
        ],
        state_tables.override: [{"month": day, "vertical": "*", "reason": "A1 is calling", **told}],
        state_tables.silence: [
            {"id": "s", "matchers": json.dumps({"account_id": ["A1", "A10"]}), "reason": "A1 moves", "author": "ana"}
            | {"starts_at": at, "ends_at": at}
        ],
        state_tables.rule_version: [
            {"hash": "h", "rule": "defects", "body": '{"where": {"account_id": {"any_of": ["A1"]}}}', "stored_at": at}
        ],
    }


def texts(states: Engine) -> str:
    """Everything that stands in the state."""
    with states.connect() as conn:
        return "\n".join(
            str(tuple(row)) for table in state_tables.state.sorted_tables for row in conn.execute(select(table))
        )


def redacted(states: Engine, key: str = "A1", kind: Kind = "account", *, may_be_named: bool = True) -> Redacted:
    """Erase a key, and P1 and the name of A1 with it, from the state alone."""
    account, people = (key, {"P1"}) if kind == "account" else (None, {key})
    name = "Acme & Sons" if key == "A1" else None
    at = LATER.replace(tzinfo=None)
    with states.begin() as conn:
        return redact(conn, Redaction(hash_of(kind, key), at, account, frozenset(people), name, may_be_named), LATER)


@pytest.fixture(params=["embedded", "shared"])
def states(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = request.getfixturevalue("postgres_url") if request.param == "shared" else None
    made = open_state(tmp_path, url)
    yield made
    made.dispose()


def test_the_state_forgets_an_account_and_keeps_its_incidents(states: Engine) -> None:
    seed(states)
    done = redacted(states)
    assert (done.incidents, done.messages) == (2, 0)
    after = texts(states)
    assert after.count("A1") == after.count("A10") + after.count("B-A1")
    assert "Acme" not in after
    assert "R-A1'" not in after
    with states.connect() as conn:
        found = {one.id: one for one in read_incidents(conn, EVERYTHING)}
    case, sliced = found["i-case"], found["i-account"]
    assert (case.slice, case.account_id, case.state, case.version) == (f"response={MARK}/i-case", None, "closed", 2)
    assert (sliced.slice, sliced.state, sliced.next_step_at) == (f"vertical=Retail|account_id={MARK}", "closed", None)
    assert (found["i-other"], found["i-rate"]) == (_case("i-other", "A10"), _rate("i-rate"))


def test_what_people_wrote_stays_readable(states: Engine) -> None:
    seed(states)
    redacted(states)
    with states.connect() as conn:
        taken = conn.execute(select(state_tables.action.c.what, state_tables.action.c.issue).order_by("id")).all()
        assert [tuple(row) for row in taken] == [
            (f"Call {MARK} ({MARK}).", None),
            (f"visit {MARK}; A10 can wait", f"defects|vertical=Retail|account_id={MARK}"),
        ]
        assert json.loads(conn.scalar(select(state_tables.silence.c.matchers)) or "") == {"account_id": [MARK, "A10"]}
        assert conn.scalar(select(state_tables.instance.c.slice)) == "vertical=Retail|account_id=A10"


def test_the_state_is_redacted_once(states: Engine) -> None:
    seed(states)
    redacted(states)
    before = texts(states)
    again = redacted(states)
    assert (again.incidents, again.texts, again.messages) == (0, 0, 0)
    assert texts(states) == before


@pytest.mark.parametrize("key", ["a|b", "x\\y", "50%_", "Å 'q\"", "/", "(.*)"])
def test_any_text_can_be_a_key(states: Engine, key: str) -> None:
    """What has a meaning in a slice, in JSON or in a pattern is a key like any other."""
    escaped = key.replace("\\", "\\\\").replace("|", "\\|")
    sliced = replace(_rate("i"), slice=f"account_id={escaped}|vertical=Retail")
    with states.begin() as conn:
        entry = HistoryEntry(
            "i", 1, NOW, "opened", "x", sample={"slice": sliced.slice, "account_id": key, "other": "ab"}
        )
        write(conn, TickRecord(opened=(sliced,), entries=(entry,)))
    redacted(states, key)
    mark = f"erased-{hash_of('account', key)[:8]}"
    with states.connect() as conn:
        assert read_incident(conn, "i", EVERYTHING).slice == f"account_id={mark}|vertical=Retail"
        first = select(state_tables.incident_event.c.sample).where(state_tables.incident_event.c.seq == 1)
        sample = json.loads(conn.scalar(first) or "")
    assert sample == {"slice": f"account_id={mark}|vertical=Retail", "account_id": mark, "other": "ab"}


def test_no_file_of_the_state_keeps_it(tmp_path: Path) -> None:
    stores = EmbeddedWarehouse(tmp_path / "warehouse"), open_state(tmp_path)
    bring(stores[0], order(tmp_path / "crm", COMPANY))
    seed(stores[1])
    state_files = tmp_path.glob("state.db*")
    assert any(b"Acme & Sons" in file.read_bytes() for file in state_files)
    gone(stores, "account", "A1")
    assert not any(b"Acme & Sons" in file.read_bytes() for file in tmp_path.glob("state.db*"))
    stores[0].close()
    stores[1].dispose()


def test_what_was_stopped_half_way_is_finished(loaded: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the warehouse and before the state: the second run still has the messages updated."""
    states = loaded[1]
    seed(states)
    _post(states, "i-case", "i-rate", "i-other")
    with monkeypatch.context() as killed:
        killed.setattr(forgetting, "redact", _die)
        with pytest.raises(KeyboardInterrupt):
            gone(loaded, "account", "A1")
    done = gone(loaded, "account", "A1", LATER + timedelta(hours=1))
    assert (done.rows, done.redacted.incidents, done.redacted.messages) == (0, 2, 2)
    assert _owed(states) == {"i-case", "i-rate"}


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def _post(states: Engine, *ids: str) -> None:
    at = NOW.replace(tzinfo=None)
    sent = {"episode": 1, "kind": "root", "step": 0, "target": "delivery", "state": "sent", "version": 1, "attempts": 1}
    with states.begin() as conn:
        conn.execute(
            insert(state_tables.outbox),
            [{**sent, "id": f"m-{id_}", "incident_id": id_, "due_at": at, "created_at": at} for id_ in ids],
        )


def _owed(states: Engine) -> set[str]:
    with states.connect() as conn:
        query = select(state_tables.outbox.c.incident_id).where(state_tables.outbox.c.kind == "update")
        return set(conn.scalars(query.where(state_tables.outbox.c.state == "pending")))


# What Slack shows


def test_messages_that_may_have_named_it_are_due_to_be_updated_once(states: Engine) -> None:
    """The case's own, and figures whose accounts are named; not the case of another account, nor what was not sent."""
    seed(states)
    _post(states, "i-case", "i-rate", "i-other")
    with states.begin() as conn:
        write(conn, TickRecord(queued=(Queued("m", "i-account", 1, "root", 0, "delivery", 1, LATER, NOW),)))
    assert redacted(states).messages == 2
    assert _owed(states) == {"i-case", "i-rate"}
    assert redacted(states).messages == 0


def test_what_is_done_about_another_ones_case_and_names_it_is_shown_anew(states: Engine) -> None:
    """Its message says it in the words that were typed."""
    seed(states)
    _post(states, "i-case", "i-rate", "i-other")
    with states.begin() as conn:
        conn.execute(update(state_tables.action).where(state_tables.action.c.id == "b").values(incident_id="i-other"))
    assert redacted(states).messages == 3
    assert _owed(states) == {"i-case", "i-rate", "i-other"}
    assert redacted(states).messages == 0


def test_a_person_and_an_unknown_account_were_named_by_no_message(states: Engine) -> None:
    seed(states)
    _post(states, "i-case", "i-rate", "i-other")
    assert redacted(states, "P2", "person", may_be_named=False).messages == 0
    assert redacted(states, "A8", may_be_named=False).messages == 0


def test_slack_shows_it_no_more(tmp_path: Path, slack: Slack) -> None:
    """A card that named an account is updated in place: the other accounts stay, and there is no second message."""
    rules = catalog(rule())
    story = (4,) * 10 + (20,) * 4
    with company_of(tmp_path, rules, rows_of(weeks(date(2025, 9, 1), story))) as warehouse:
        states, now = open_state(tmp_path), noon(date(2025, 12, 22))
        _tick(warehouse, states, rules, now - timedelta(weeks=1))
        _tick(warehouse, states, rules, now)
        _deliver(warehouse, states, rules, slack, now)
        (before,) = slack.history(CHANNELS["service-quality"])
        assert "Retail-1 plc" in json.dumps(before)
        done = forget(warehouse, states, "account", "Retail-1", rules, now, lambda _: None)
        assert done.redacted.messages == 1
        # A channel takes one call a second, and what is new goes first: here two faults of the data.
        for minutes in (1, 2, 3):
            _deliver(warehouse, states, rules, slack, now + timedelta(minutes=minutes))
        (after,) = (one for one in slack.history(CHANNELS["service-quality"]) if "Retail" in one["text"])
        assert after["ts"] == before["ts"]
        assert "Retail-1 plc" not in json.dumps(after)
        assert "Retail-2 plc" in json.dumps(after)
        assert slack.replies(CHANNELS["service-quality"], after["ts"]) == []
        _deliver(warehouse, states, rules, slack, now + timedelta(hours=1))
        states.dispose()


def _tick(warehouse: Warehouse, states: Engine, rules: Any, now: datetime) -> None:
    with warehouse.pin() as pin:
        tick(states, pin, rules, now)


def _deliver(warehouse: Warehouse, states: Engine, rules: Any, slack: Slack, now: datetime) -> None:
    with warehouse.pin() as pin:
        cards = CardReader(pin, rules, "https://earshot.example", now, "EUR")
        DeliveryWorker(states, client.Slack(TOKEN, slack.base_url, 5), cards, rules, 5.0, lambda: now).deliver()
