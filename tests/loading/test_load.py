"""A load: what comes in, what differs, what is put aside, and what is refused before anybody sees it."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select

from config import EarshotError
from config.models import Calendar
from config.reading import read_catalog
from queries.loading import load as loading
from queries.loading.load import load
from queries.loading.sources import LoadRefusedError
from queries.warehouse import COLUMNS, EmbeddedWarehouse, LoadReport, NoWarehouseError, settle, tables
from queries.warehouse.generations.generation import summaries
from tests.support.deliveries import (
    CATALOG,
    NOW,
    WHEN_LOADED,
    Row,
    Rows,
    aside,
    column,
    company,
    count,
    deliver,
    held,
    number,
)

LATER: Final = NOW + timedelta(days=1)
CONFIG: Final = Path(__file__).parents[2] / "config"


def at(day: int, hour: int = 10, minute: int = 0) -> datetime:
    """An instant in January 2026."""
    return datetime(2026, 1, day, hour, minute)  # noqa: DTZ001 - the warehouse stores naive UTC


def contact(key: str, day: int, account: str = "A", **more: Any) -> Row:
    about = {"journey_id": "J1", "touchpoint": "visit", "direction": "in", "vertical": "North"}
    return {"id": key, "account_id": account, **about, "occurred_at": at(day), **more}


def few() -> Rows:
    """Three accounts, a journey and four contacts."""
    return {
        "account": [{"account_id": key, "name": f"Account {key}"} for key in "ABC"],
        "journey": [{"id": "J1", "account_id": "A", "journey_type": "order", "started_at": at(1)}],
        "contact": [contact(f"c{i}", i, account) for i, account in enumerate("AABC", start=1)],
    }


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[EmbeddedWarehouse]:
    """Nothing has been loaded."""
    opened = EmbeddedWarehouse(tmp_path / "warehouse")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the few rows have been loaded."""
    folder = tmp_path_factory.mktemp("first")
    opened = EmbeddedWarehouse(folder / "warehouse")
    deliver(folder, few()).load(opened)
    opened.close()
    return folder / "warehouse"


@pytest.fixture
def loaded(first: Path, warehouse: EmbeddedWarehouse) -> EmbeddedWarehouse:
    """The few rows have been loaded from the source `crm`."""
    shutil.copytree(first, warehouse.folder)
    return warehouse


@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_the_same_data_again_changes_nothing(tmp_path: Path, warehouse: EmbeddedWarehouse, mode: str) -> None:
    """In any order, with rows put aside: also loaded_at and the quarantine stay. (On both engines: conformance.)"""
    rows = company()
    rows["contact"].append(rows["contact"][0] | {"id": "odd", "account_id": "nobody"})
    deliver(tmp_path, rows, mode=mode).load(warehouse)
    before = held(warehouse)
    for found in rows.values():
        found.reverse()
    again = deliver(tmp_path, rows, mode=mode).load(warehouse, LATER)
    assert (again.published, number(warehouse)) == (False, 1)
    assert again.total("unchanged") == again.total("read") - 1
    assert again.reasons == {"contact: unknown account '…'": 1}
    assert held(warehouse) == before


@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_new_changed_and_absent_rows(tmp_path: Path, loaded: EmbeddedWarehouse, mode: str) -> None:
    rows = few()
    rows["contact"] = [contact("c2", 2, vertical="South"), contact("c3", 3, "B", emotion=-2), contact("c4", 4, "C")]
    rows["contact"].append(contact("new", 5))
    table = deliver(tmp_path, rows, mode=mode).load(loaded, LATER).tables["contact"]
    is_snapshot = mode == "snapshot"
    figures = (table.read, table.added, table.changed, table.unchanged, table.removed)
    assert figures == (4, 1, 2, 1, int(is_snapshot))
    first, second = NOW.replace(tzinfo=None), LATER.replace(tzinfo=None)
    absent = {} if is_snapshot else {"c1": first}
    assert column(loaded, "contact", "loaded_at") == absent | {"c2": second, "c3": second, "c4": first, "new": second}
    first_loaded = {"c2": first, "c3": first, "c4": first, "new": second}
    assert column(loaded, "contact", "first_loaded_at") == absent | first_loaded


def test_a_snapshot_that_no_longer_fills_a_table_empties_it(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    rows = few()
    del rows["contact"]
    assert deliver(tmp_path, rows).load(loaded, LATER).tables["contact"].removed == 4
    assert (count(loaded, "contact"), count(loaded, "roll_contact"), count(loaded, "journey")) == (0, 0, 1)


def test_the_same_key_twice_puts_both_aside_until_it_comes_once(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    rows = few()
    rows["contact"].append(contact("c1", 1, vertical="South"))
    summary = deliver(tmp_path, rows, mode="append").load(warehouse)
    reason = "same key twice in one load; keep one row for each id"
    assert (summary.quarantined, summary.reasons) == (2, {f"contact: {reason}": 2})
    assert aside(warehouse) == [("contact", "c1", reason)] * 2
    with warehouse.pin() as pin:
        kept_rows = [json.loads(row) for row in pin.conn.scalars(select(tables.quarantine.c.row))]
    assert sorted(row["vertical"] for row in kept_rows) == ["North", "South"]
    assert {row["occurred_at"] for row in kept_rows} == {"2026-01-01 10:00:00"}
    assert set(column(warehouse, "contact", "id")) == {"c2", "c3", "c4"}
    again = deliver(tmp_path, {"contact": [contact("c1", 1, vertical="South")]}, mode="append").load(warehouse, LATER)
    assert again.tables["contact"].added == 1
    assert (aside(warehouse), column(warehouse, "contact", "vertical")["c1"]) == ([], "South")


def test_equal_rows_are_one_key_twice_too(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    """Also a key of two columns."""
    rows = few()
    rows["contact"] *= 2
    rows["revenue"] = [{"account_id": "A", "month": date(2026, month, 1), "amount": 1.0} for month in (1, 1, 2)]
    summary = deliver(tmp_path, rows).load(warehouse)
    assert {name: table.quarantined for name, table in summary.tables.items() if table.quarantined} == {
        "contact": 8,
        "revenue": 2,
    }
    reason = "same key twice in one load; keep one row for each account_id and month"
    assert ("revenue", "A|2026-01-01", reason) in aside(warehouse)
    assert (count(warehouse, "contact"), count(warehouse, "revenue")) == (0, 1)


@pytest.mark.parametrize("is_empty", [True, False])  # an empty warehouse is loaded in place
@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_what_refers_to_nothing_waits_for_it(
    tmp_path: Path, warehouse: EmbeddedWarehouse, first: Path, mode: str, *, is_empty: bool
) -> None:
    """A person of an unknown account is unknown too, and so are the person's contacts. All come in with the account."""
    if not is_empty:
        shutil.copytree(first, warehouse.folder)
    rows = few() | {"person": [{"person_id": "P", "account_id": "Z", "role": "user"}]}
    rows["contact"] += [
        contact("z1", 1, "Z"),
        contact("z2", 1, person_id="P", emotion=-1, context_seen=False),
        contact("z3", 1, journey_id="gone"),
    ]
    summary = deliver(tmp_path, rows, mode=mode).load(warehouse)
    expected = [
        ("contact", "z1", "unknown account 'Z'"),
        ("contact", "z2", "unknown person 'P'"),
        ("contact", "z3", "unknown journey 'gone'"),
        ("person", "P", "unknown account 'Z'"),
    ]
    assert (aside(warehouse), summary.quarantined) == (expected, 4)
    late: Rows = {"account": [{"account_id": "Z", "name": "Late"}]}
    if mode == "snapshot":
        late = rows | {"account": [*rows["account"], *late["account"]]}
    assert deliver(tmp_path, late, mode=mode).load(warehouse, LATER).quarantined == 1
    assert aside(warehouse) == [expected[2]]
    assert set(column(warehouse, "contact", "id")) == {"c1", "c2", "c3", "c4", "z1", "z2"}
    with warehouse.pin() as pin:
        c = tables.contact.c
        came = pin.conn.execute(select(c.person_id, c.day, c.emotion, c.context_seen).where(c.id == "z2")).one()
    assert tuple(came) == ("P", date(2026, 1, 1), -1, False)


def test_a_good_row_clears_its_key_and_no_other(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    rows = few()
    rows["contact"][:2] = [contact("c1", 1, direction="up"), contact("c2", 2, direction="up")]
    deliver(tmp_path, rows, mode="append").load(warehouse)
    assert [key for _, key, _ in aside(warehouse)] == ["c1", "c2"]
    deliver(tmp_path, {"contact": [contact("c1", 1)]}, mode="append").load(warehouse, LATER)
    assert [key for _, key, _ in aside(warehouse)] == ["c2"]
    # A snapshot's quarantine is that of its last load.
    rows["contact"] = rows["contact"][2:]
    assert deliver(tmp_path, rows).load(warehouse, LATER).published
    assert aside(warehouse) == []


def test_a_row_that_turns_bad_leaves_a_snapshot(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    rows = few()
    rows["contact"][0]["answered_at"] = at(1, 9)
    table = deliver(tmp_path, rows).load(loaded, LATER).tables["contact"]
    assert (table.removed, table.quarantined, count(loaded, "contact")) == (1, 1, 3)


def test_too_many_rejected_rows_stop_the_load(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    before, rows = held(loaded), few()
    rows["contact"][:2] = [contact("c1", 1, "nobody"), contact("c2", 2, "no one")]
    with pytest.raises(LoadRefusedError) as error:
        deliver(tmp_path, rows, max_rejected=0.2).load(loaded, LATER)
    assert str(error.value) == (
        "2 of 8 rows of crm are invalid, more than the allowed share of 0.2: 2 x contact: unknown account '…'; "
        "nothing was loaded; `python -m queries quarantine` lists them; correct the source, "
        "or raise max_rejected in its source.toml"
    )
    assert (number(loaded), held(loaded)) == (1, before)
    rows["contact"][1] = contact("c2", 2)  # 1 of 8 is few enough
    assert deliver(tmp_path, rows, max_rejected=0.2).load(loaded, LATER).quarantined == 1


def many() -> Rows:
    """A hundred accounts with a contact each, and a few answers."""
    accounts = [f"A{number}" for number in range(100)]
    return {
        "account": [{"account_id": key, "name": key} for key in accounts],
        "contact": [contact(f"c{key}", 1, key, journey_id=None) for key in accounts],
        "response": [
            {"id": f"r{i}", "account_id": "A0", "kind": "relationship", "invited_at": at(1), "status": "invited"}
            for i in range(4)
        ],
    }


def _less(table: str, left: int) -> Rows:
    rows = many()
    return {**rows, table: rows[table][:left]}


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ({name: [] for name in many()}, "204 of the 204 rows of crm"),
        ({name: rows[: len(rows) // 2] for name, rows in many().items()}, "102 of the 204 rows of crm"),
        ({name: rows for name, rows in many().items() if name != "contact"}, "100 of the 204 rows of crm"),
        (_less("contact", 89), "11 of the 100 rows of contact of crm"),
        (_less("response", 0), "4 of the 4 rows of response of crm"),
        ({**_less("account", 89), "contact": _less("contact", 89)["contact"]}, "22 of the 204 rows of crm"),
    ],
    ids=["empty", "cut off", "one table fewer", "a file fewer", "one empty", "fewer accounts"],
)
def test_a_delivery_that_lacks_much_stops_until_it_is_allowed(
    tmp_path: Path, warehouse: EmbeddedWarehouse, rows: Rows, what: str
) -> None:
    deliver(tmp_path, many(), max_removed=0.1).load(warehouse)
    before, less = held(warehouse), deliver(tmp_path, rows, max_removed=0.1)
    with pytest.raises(LoadRefusedError) as error:
        less.load(warehouse, LATER)
    assert str(error.value) == (
        f"{what} would be removed, more than the allowed share of 0.1: nothing was loaded; "
        "check that its files are complete, or load with --allow-removal"
    )
    assert (number(warehouse), held(warehouse)) == (1, before)
    less.load(warehouse, LATER, allow_removal=True)
    assert count(warehouse, "contact") == len(rows.get("contact", []))


def test_accounts_that_go_are_counted_by_themselves(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    rows = few()
    rows["contact"] = [contact(f"c{i}", 1) for i in range(100)]
    deliver(tmp_path, rows, max_removed=0.1).load(warehouse)
    with pytest.raises(LoadRefusedError, match="1 of the 3 accounts of crm would be removed"):
        deliver(tmp_path, {**rows, "account": rows["account"][:2]}, max_removed=0.1).load(warehouse, LATER)


def test_a_little_may_go_and_so_may_what_is_only_added_to(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    deliver(tmp_path, many(), max_removed=0.1).load(warehouse)
    less = {**_less("contact", 91), "response": many()["response"][:3]}
    assert deliver(tmp_path, less, max_removed=0.1).load(warehouse, LATER).total("removed") == 10
    empty = deliver(tmp_path, {name: [] for name in many()}, mode="append", max_removed=0.0)
    assert empty.load(warehouse, LATER).total("removed") == 0


def test_a_first_load_that_is_refused_leaves_no_warehouse(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    rows = few()
    rows["account"].pop()
    with pytest.raises(LoadRefusedError, match="1 of 7 rows of crm are invalid"):
        deliver(tmp_path, rows, max_rejected=0.1).load(warehouse)
    with pytest.raises(NoWarehouseError):
        number(warehouse)
    assert [file.name for file in warehouse.folder.iterdir()] == ["lock"]


def _history(since: date, vertical: str, until: date | None = None) -> Row:
    return {"account_id": "A", "valid_from": since, "valid_to": until, "vertical": vertical}


def test_facts_take_their_vertical_from_the_account_as_of_the_event(
    tmp_path: Path, warehouse: EmbeddedWarehouse
) -> None:
    """A later word of the history moves the facts of its days, and no others."""
    north = _history(date(2026, 1, 2), "North")
    south = _history(date(2026, 1, 4), "South", until=date(2026, 1, 5))
    days = {"before": at(1, 23, 59), "first": at(2, 0), "still": at(3, 23), "moved": at(4, 0), "after": at(5, 0)}
    facts = [contact(key, 1, vertical=None, occurred_at=when) for key, when in days.items()]
    facts.append(contact("own", 2, vertical="West"))
    deliver(tmp_path, few() | {"account_history": [north, south], "contact": facts}, mode="append").load(warehouse)
    filled = {"before": None, "first": "North", "still": "North", "moved": "South", "after": None, "own": "West"}
    assert column(warehouse, "contact", "vertical") == filled
    news: Rows = {"account_history": [_history(date(2026, 1, 3), "East")]}
    summary = deliver(tmp_path, news, mode="append").load(warehouse, LATER)
    assert (summary.refilled, column(warehouse, "contact", "vertical")) == (1, filled | {"still": "East"})
    when = column(warehouse, "contact", "loaded_at")
    assert [key for key in when if when[key] == LATER.replace(tzinfo=None)] == ["still"]
    rolled = {None: 1, "North": 1, "East": 1, "South": 1, "West": 1}
    assert column(warehouse, "roll_contact", "c", key="vertical") == rolled


def test_history_that_comes_after_the_facts_is_as_if_it_had_come_before(
    tmp_path: Path, warehouse: EmbeddedWarehouse
) -> None:
    rows, both = company(), EmbeddedWarehouse(tmp_path / "both")
    deliver(tmp_path, rows, mode="append").load(both)
    history = rows.pop("account_history")
    deliver(tmp_path, rows, mode="append").load(warehouse)
    assert deliver(tmp_path, {"account_history": history}, mode="append").load(warehouse).refilled > 0
    assert held(warehouse, WHEN_LOADED) == held(both, WHEN_LOADED)
    both.close()


def test_the_sample_does_not_mix(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    sample = deliver(tmp_path, company(), name="made", sample=True)
    sample.load(warehouse)
    real = deliver(tmp_path, few())
    with pytest.raises(LoadRefusedError) as error:
        real.load(warehouse)
    assert str(error.value) == "the warehouse holds the sample company; add --replace-sample to replace it with crm"
    real.load(warehouse, LATER, replace_sample=True)
    fresh = EmbeddedWarehouse(tmp_path / "fresh")
    real.load(fresh, LATER)
    assert held(warehouse) == held(fresh)
    fresh.close()
    with pytest.raises(LoadRefusedError, match="the warehouse holds crm; to see the sample, set EARSHOT_DATA"):
        sample.load(warehouse)


def test_the_reporting_zone_is_that_of_the_first_source(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    """In Tokyo it is 8 hours later than in Berlin: what happens there before 8 was the day before here."""
    deliver(tmp_path, few(), zone="Europe/Berlin").load(warehouse)
    rows = few()
    hours = {"late": at(10, 23, 30), "early": at(10, 1), "seven": at(10, 7, 59), "eight": at(10, 8)}
    rows["contact"] = [contact(key, 1, occurred_at=when) for key, when in hours.items()]
    deliver(tmp_path, rows, name="abroad", zone="Asia/Tokyo").load(warehouse, LATER)
    with warehouse.pin() as pin:
        assert pin.generation.zone == "Europe/Berlin"
    days = column(warehouse, "contact", "day")
    assert {key: days[key].day for key in hours} == {"late": 10, "early": 9, "seven": 9, "eight": 10}
    with pytest.raises(LoadRefusedError) as error:
        deliver(tmp_path, few()).load(warehouse, zone="Asia/Tokyo")
    assert str(error.value) == (
        "the warehouse counts days in Europe/Berlin, not Asia/Tokyo; set zone back, or run "
        "python -m queries drop abroad && python -m queries drop crm and load again"
    )


def test_another_zone_moves_the_days_of_the_only_snapshot(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    company_, fresh = deliver(tmp_path, company()), EmbeddedWarehouse(tmp_path / "fresh")
    company_.load(warehouse)
    assert company_.load(warehouse, LATER, zone="Asia/Tokyo").total("changed") > 0
    company_.load(fresh, zone="Asia/Tokyo")
    assert held(warehouse, WHEN_LOADED) == held(fresh, WHEN_LOADED)
    fresh.close()


def test_another_calendar_and_other_metrics_are_another_generation(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    """Also where the rows stay as they are."""
    same, april = deliver(tmp_path, few()), CATALOG.model_copy(update={"calendar": Calendar(fiscal_year_start=4)})
    ours = april.model_copy(update={"metrics": read_catalog(CONFIG, COLUMNS).metrics})
    fates = [same.load(loaded, LATER, catalog=one).published for one in (CATALOG, april, april, ours, ours)]
    assert fates == [False, True, False, True, False]
    assert set(column(loaded, "calendar", "fiscal_year", key="day").values()) == {date(2025, 4, 1), date(2026, 4, 1)}
    with loaded.pin() as pin:
        table = tables.generation.c
        bases = pin.conn.execute(select(table.calendar_hash, table.metrics_hash).order_by(table.number)).all()
    assert [len({basis[i] for basis in bases}) for i in (0, 1)] == [2, 2]


def test_an_account_belongs_to_the_source_that_brought_it_first(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    """When that source lets go of it, one that still needs it takes it over."""
    rows = few()
    rows["account"] = [{"account_id": key, "name": f"Other {key}"} for key in "ABC"]
    rows["contact"] = rows["contact"][:3]
    second = deliver(tmp_path, rows, name="second")
    table = second.load(loaded, LATER).tables["account"]
    assert (table.added, table.changed, table.unchanged, count(loaded, "contact")) == (0, 0, 3, 7)
    assert set(column(loaded, "account", "name", "account_id").values()) == {"Account A", "Account B", "Account C"}
    fewer: Rows = {name: [row for row in found if row["account_id"] == "A"] for name, found in few().items()}
    assert deliver(tmp_path, fewer).load(loaded, LATER).tables["account"].removed == 1
    assert column(loaded, "account", "source", "account_id") == {"A": "crm", "B": "second"}
    table = second.load(loaded, LATER).tables["account"]
    assert (table.added, table.changed) == (1, 1)
    assert column(loaded, "account", "name", "account_id") == {"A": "Account A", "B": "Other B", "C": "Other C"}


def test_a_source_may_refer_to_the_accounts_of_another_but_not_to_its_journeys(
    tmp_path: Path, loaded: EmbeddedWarehouse
) -> None:
    facts = [contact("c1", 1, journey_id=None), contact("c2", 1)]
    summary = deliver(tmp_path, {"contact": facts}, name="second", mode="append").load(loaded, LATER)
    assert (summary.tables["contact"].added, aside(loaded)) == (1, [("contact", "c2", "unknown journey 'J1'")])


HOLDER: Final = """
import sys
from pathlib import Path
from queries.warehouse.generations.embedded_warehouse import EmbeddedWarehouse
warehouse = EmbeddedWarehouse(Path(sys.argv[1]))
with warehouse.draft() as draft:
    print("holding", flush=True)
    sys.stdin.read()
    draft.discard()
warehouse.close()
"""


def test_a_second_load_waits_and_says_for_whom(tmp_path: Path, warehouse: EmbeddedWarehouse) -> None:
    """On PostgreSQL: test_generations."""
    order, said, waits = deliver(tmp_path, few()).order(), list[str](), threading.Event()

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    command = [sys.executable, "-c", HOLDER, str(warehouse.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "holding\n"
        second = threading.Thread(target=load, args=(warehouse, order, NOW, say))
        second.start()
        assert waits.wait(20)
        second.join(0.2)
        assert second.is_alive()
        assert said == [f"another load is running (process {holder.pid}: -c {warehouse.folder}); waiting for it"]
        holder.stdin.close()
        second.join(60)
    assert (number(warehouse), said[-1]) == (1, "publishing")


def test_two_loads_at_once_lose_nothing(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    opened = [EmbeddedWarehouse(loaded.folder) for _ in "ab"]
    orders = [deliver(tmp_path, few(), name=name).order() for name in ("a", "b")]
    loads = [
        threading.Thread(target=load, args=(one, order, NOW, lambda _: None))
        for one, order in zip(opened, orders, strict=True)
    ]
    for each in loads:
        each.start()
    for each in loads:
        each.join(60)
    for one in opened:
        one.close()
    assert (number(loaded), count(loaded, "contact"), count(loaded, "account")) == (3, 12, 3)


def test_what_a_load_says_and_keeps(
    tmp_path: Path, warehouse: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stages as they begin, how far a long read is, a table at the end, and the same with the generation."""
    monkeypatch.setattr(loading, "_EVERY_S", 0.0)
    said = list[str]()
    summary = load(warehouse, deliver(tmp_path, few(), settle="14d").order(), NOW, said.append)
    assert said.index("reading contact") < said.index("reading contact: 4 rows so far") < said.index("publishing")
    assert said[-1] == "publishing"
    printed = list(summary.lines())
    assert printed[0].split() == ["table", "read", "added", "changed", "unchanged", "removed", "quarantined"]
    assert printed[-1].split() == ["contact", "4", "4", "0", "0", "0", "0"]
    assert (summary.total("read"), summary.seconds > 0) == (8, True)
    assert {"reading contact", "checking keys and references"} <= summary.stages.keys()
    with warehouse.pin() as pin:
        (stored,), after = summaries(pin.conn), settle(pin.conn)
    assert (stored["tables"]["contact"]["added"], after) == (4, timedelta(days=14))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Billing", "billing", "Tech  nical", "Technical"), ["Billing, billing", "Tech  nical, Technical"]),
        (("Billing", "Building", "Technical"), []),
    ],
)
def test_a_load_warns_of_verticals_that_are_spelled_alike(
    tmp_path: Path, warehouse: EmbeddedWarehouse, names: tuple[str, ...], said: list[str]
) -> None:
    told, facts = list[str](), [contact(f"c{i}", 1, vertical=name) for i, name in enumerate(names)]
    load(warehouse, deliver(tmp_path, few() | {"contact": facts}).order(), NOW, told.append)
    alike = [line for line in told if line.startswith("verticals that differ only in case or spaces: ")]
    assert [line.split(": ")[1].split(";")[0] for line in alike] == said


def test_a_summary_tells_what_was_put_aside() -> None:
    lines = list(
        LoadReport("crm", reasons={"contact: direction: '…' is none of in, out": 1200}, erased=3, refilled=2).lines()
    )
    assert lines[1:] == [
        "quarantined 1,200: contact: direction: '…' is none of in, out",
        "2 rows moved to the vertical that the account's history now gives",
        "3 rows of erased accounts and people were left out",
    ]


def test_a_load_that_fails_leaves_everything_as_it_was(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    """A SELECT that fails at its last row: by then other tables have been read."""
    before, delivery = held(loaded), deliver(tmp_path, few())
    sql = "select * replace (if(id = 'c4', 'x', '1')::int as emotion) from contact"
    (delivery.folder / "contact.sql").write_text(sql, encoding="utf-8")
    with pytest.raises(EarshotError, match=r"contact.sql: Conversion Error: Could not convert string 'x' to INT32"):
        delivery.load(loaded, LATER)
    assert held(loaded) == before
    left = {file.name for file in loaded.folder.iterdir() if file.suffix != ".pin"}
    assert left == {"current", "generation-1.duckdb", "lock"}


def test_files_are_for_their_owner_only(tmp_path: Path, loaded: EmbeddedWarehouse) -> None:
    deliver(tmp_path, few() | {"contact": []}).load(loaded, LATER)
    files = [loaded.folder, *loaded.folder.glob("*.duckdb")]
    assert (len(files), {file.stat().st_mode & 0o077 for file in files}) == (3, {0})
