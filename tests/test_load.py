"""A load: what comes in, what differs, what is put aside, and what is refused before anybody sees it."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.catalog import Calendar
from config.errors import EarshotError
from queries import load as loading
from queries import schema
from queries.generations import EmbeddedWarehouse, NoWarehouseError, Warehouse
from queries.load import LoadRefusedError, load
from queries.summary import kept, settle
from tests.shop import (
    LATER,
    NOW,
    WHEN_LOADED,
    Books,
    Shop,
    books,
    column,
    content,
    count,
    few,
    generation,
    open_at,
    our_catalog,
    quarantined,
    same,
)

Naive = str


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = open_at(tmp_path / "warehouse")
    yield opened
    opened.close()


def line(table: Books, name: str, key: str) -> dict[str, str]:
    return next(line for line in table[name] if line.get("id", line["account_id"]) == key)


@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_the_same_data_again_changes_nothing(tmp_path: Path, warehouse: Warehouse, mode: str) -> None:
    shop = Shop(tmp_path, books(), mode=mode)
    shop.books["contact"].append({**shop.books["contact"][0], "id": "odd", "account_id": "nobody"})
    first = shop.load(warehouse)
    before = content(warehouse)
    again = shop.load(warehouse, LATER)
    assert (first.published, again.published, generation(warehouse)) == (True, False, 1)
    assert {name: (t.unchanged, t.added) for name, t in again.tables.items()} == {
        name: (t.added, 0) for name, t in first.tables.items()
    }
    assert again.reasons == first.reasons == {"contact: unknown account '…'": 1}
    same(content(warehouse), before)  # also loaded_at, also the quarantine


def test_a_source_in_any_order_is_the_same_source(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, books(20), mode="snapshot")
    shop.load(warehouse)
    for lines in shop.books.values():
        lines.reverse()
    assert not shop.load(warehouse, LATER).published


@pytest.mark.parametrize(("mode", "removed", "left"), [("append", 0, 5), ("snapshot", 1, 4)])
def test_new_changed_and_absent_rows(tmp_path: Path, warehouse: Warehouse, mode: str, removed: int, left: int) -> None:
    shop = Shop(tmp_path, few(), mode=mode)
    shop.load(warehouse)
    contacts = shop.books["contact"]
    contacts[1]["vertical"] = "South"
    contacts[2]["emotion"] = "-2"
    gone, new = contacts.pop(0), {**contacts[0], "id": "new"}
    contacts.append(new)
    table = shop.load(warehouse, LATER).tables["contact"]
    figures = (table.read, table.added, table.changed, table.unchanged, table.removed)
    assert figures == (4, 1, 2, 1, removed)
    assert count(warehouse, "contact") == left
    first, second = NOW.replace(tzinfo=None), LATER.replace(tzinfo=None)
    there = {} if removed else {gone["id"]: first}
    assert column(warehouse, "contact", "loaded_at") == there | {"c2": first, "c3": second, "c4": second, "new": second}
    kept_first = there | {"c2": first, "c3": first, "c4": first, "new": second}
    assert column(warehouse, "contact", "first_loaded_at") == kept_first


def test_a_snapshot_that_no_longer_fills_a_table_empties_it(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), mode="snapshot")
    shop.load(warehouse)
    del shop.books["contact"]
    assert shop.load(warehouse, LATER).tables["contact"].removed == 4
    assert (count(warehouse, "contact"), count(warehouse, "roll_contact"), count(warehouse, "journey")) == (0, 0, 1)


def test_the_same_key_twice_puts_both_aside_until_it_comes_once(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), settings={"max_rejected": "0.5"})
    twice = {**shop.books["contact"][0], "vertical": "South"}
    shop.books["contact"].append(twice)
    summary = shop.load(warehouse)
    reason = "same key twice in one load; keep one row for each id"
    assert (summary.quarantined, summary.reasons) == (2, {f"contact: {reason}": 2})
    assert quarantined(warehouse) == [("contact", "c1", reason)] * 2
    assert sorted(_rows_aside(warehouse), key=repr) == [{**_aside(shop.books, "c1"), "vertical": v} for v in ("North", "South")]
    assert set(column(warehouse, "contact", "id")) == {"c2", "c3", "c4"}
    shop.books["contact"] = [twice]
    assert shop.load(warehouse, LATER).tables["contact"].added == 1
    assert quarantined(warehouse) == []
    assert column(warehouse, "contact", "vertical")["c1"] == "South"


def _aside(from_: Books, key: str) -> dict[str, str]:
    """A contact as the quarantine holds it: cast, in UTC, with what the load made."""
    said = line(from_, "contact", key)
    return {**said, "source": "shop", "occurred_at": "2025-10-01 08:00:00", "day": "2025-10-01"}


def _rows_aside(warehouse: Warehouse) -> list[dict[str, Any]]:
    with warehouse.pin() as pin:
        return [json.loads(row) for row in pin.conn.scalars(select(schema.quarantine.c.row))]


def test_identical_rows_are_one_key_twice_too(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), settings={"max_rejected": "0.5"})
    shop.books["contact"] *= 2
    assert shop.load(warehouse).tables["contact"].quarantined == 8
    assert count(warehouse, "contact") == 0


def test_what_refers_to_nothing_waits_for_it(tmp_path: Path, warehouse: Warehouse) -> None:
    """A person of an unknown account is unknown too, and so are the person's contacts. All come in with the account."""
    shop = Shop(tmp_path, few(), settings={"max_rejected": "0.6"})
    shop.books["person"] = [{"person_id": "P", "account_id": "Z", "role": "user"}]
    shop.books["contact"] += [
        {**shop.books["contact"][0], "id": "z1", "account_id": "Z"},
        {**shop.books["contact"][0], "id": "z2", "person_id": "P", "vertical": "", "emotion": "-1"},
        {**shop.books["contact"][0], "id": "z3", "journey_id": "gone"},
    ]
    summary = shop.load(warehouse)
    expected = [
        ("contact", "z1", "unknown account 'Z'"),
        ("contact", "z2", "unknown person 'P'"),
        ("contact", "z3", "unknown journey 'gone'"),
        ("person", "P", "unknown account 'Z'"),
    ]
    assert (quarantined(warehouse), summary.quarantined) == (expected, 4)
    late = Shop(tmp_path / "late", {"account": [{"account_id": "Z", "name": "Late"}]})
    assert late.load(warehouse, LATER).quarantined == 1
    assert quarantined(warehouse) == [expected[2]]
    assert set(column(warehouse, "contact", "id")) == {"c1", "c2", "c3", "c4", "z1", "z2"}
    with warehouse.pin() as pin:
        contact = schema.contact.c
        row = pin.conn.execute(select(contact.person_id, contact.day, contact.emotion).where(contact.id == "z2")).one()
    assert tuple(row) == ("P", date(2025, 10, 1), -1)


def test_a_later_load_that_is_good_clears_the_key_and_no_other(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), settings={"max_rejected": "0.6"})
    for i in (0, 1):
        shop.books["contact"][i]["direction"] = "sideways"
    shop.load(warehouse)
    assert [key for _, key, _ in quarantined(warehouse)] == ["c1", "c2"]
    shop.books["contact"] = [{**shop.books["contact"][0], "direction": "in"}]
    shop.load(warehouse, LATER)
    assert [key for _, key, _ in quarantined(warehouse)] == ["c2"]


def test_a_snapshots_quarantine_is_that_of_its_last_load(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), mode="snapshot", settings={"max_rejected": "0.6"})
    shop.books["contact"][0]["direction"] = "sideways"
    shop.load(warehouse)
    shop.books["contact"] = shop.books["contact"][1:]
    assert shop.load(warehouse, LATER).published
    assert quarantined(warehouse) == []


def test_a_row_that_turns_bad_leaves_a_snapshot(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), mode="snapshot", settings={"max_rejected": "0.6"})
    shop.load(warehouse)
    shop.books["contact"][0]["occurred_at"] = "soon"
    table = shop.load(warehouse, LATER).tables["contact"]
    assert (table.removed, table.quarantined, count(warehouse, "contact")) == (1, 1, 3)


def test_too_many_rejected_rows_stop_the_load(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), settings={"max_rejected": "0.2"})
    shop.load(warehouse)
    before = content(warehouse)
    for contact in shop.books["contact"][:2]:
        contact["account_id"] = "nobody"
    with pytest.raises(LoadRefusedError) as error:
        shop.load(warehouse, LATER)
    assert str(error.value) == (
        "2 of 8 rows of shop are wrong, more than the share of 0.2 that source.toml allows: "
        "2 x contact: unknown account '…'. Nothing was loaded; correct the source or raise max_rejected"
    )
    assert generation(warehouse) == 1
    same(content(warehouse), before)
    shop.books["contact"][0]["account_id"] = "A"  # 1 of 8 is few enough
    assert shop.load(warehouse, LATER).quarantined == 1


def test_a_first_load_that_is_refused_leaves_no_warehouse(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few())
    shop.books["account"] = shop.books["account"][:1]
    with pytest.raises(LoadRefusedError, match="2 of 6 rows of shop are wrong"):
        shop.load(warehouse)
    with pytest.raises(NoWarehouseError):
        generation(warehouse)
    assert [file.name for file in (tmp_path / "warehouse").iterdir()] == ["lock"]


HISTORY = {"account_id": "A", "valid_from": "2025-10-01", "valid_to": "", "vertical": "North", "tier": "key"}


def test_facts_take_their_vertical_from_the_account_as_of_the_event(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few())
    shop.books["account_history"] = [
        HISTORY,
        {**HISTORY, "valid_from": "2025-10-03", "valid_to": "2025-10-04", "vertical": "South"},
    ]
    contact = {**shop.books["contact"][0], "vertical": ""}
    days = {"before": "09-30 12", "first": "10-01 00", "still": "10-02 23", "moved": "10-03 00", "after": "10-04 12"}
    shop.books["contact"] = [{**contact, "id": key, "occurred_at": f"2025-{at}:00:00"} for key, at in days.items()]
    shop.books["contact"].append({**contact, "id": "own", "vertical": "West"})
    shop.load(warehouse)
    filled = {"before": None, "first": "North", "still": "North", "moved": "South", "after": None, "own": "West"}
    assert column(warehouse, "contact", "vertical") == filled
    shop.books = {"account_history": [{**HISTORY, "valid_from": "2025-10-02", "valid_to": "", "vertical": "East"}]}
    summary = Shop(tmp_path, shop.books).load(warehouse, LATER)
    assert summary.refilled == 1
    assert column(warehouse, "contact", "vertical") == filled | {"still": "East"}
    moved = {key for key, at in column(warehouse, "contact", "loaded_at").items() if at == LATER.replace(tzinfo=None)}
    assert moved == {"still"}
    assert column(warehouse, "roll_contact", "c", key="vertical") == {None: 2, "North": 1, "East": 1, "South": 1, "West": 1}


def test_history_that_comes_before_or_after_the_facts_is_the_same(tmp_path: Path) -> None:
    both, apart = open_at(tmp_path / "both"), open_at(tmp_path / "apart")
    shop = Shop(tmp_path, books(30))
    shop.load(both)
    history = shop.books.pop("account_history")
    shop.load(apart)
    assert Shop(tmp_path, {"account_history": history}).load(apart).refilled > 0
    same(content(apart, WHEN_LOADED), content(both, WHEN_LOADED))
    both.close()
    apart.close()


def test_the_sample_does_not_mix(tmp_path: Path, warehouse: Warehouse) -> None:
    sample, real = Shop(tmp_path, few(), "made-up", settings={"sample": "true"}), Shop(tmp_path, few())
    sample.load(warehouse)
    with pytest.raises(LoadRefusedError, match="the warehouse holds the sample; add --replace-sample to replace it by shop"):
        real.load(warehouse)
    real.books["account"].pop()
    real.books["contact"].pop()
    summary = real.load(warehouse, LATER, replace_sample=True)
    assert (summary.tables["account"].added, count(warehouse, "account"), count(warehouse, "contact")) == (2, 2, 3)
    fresh = open_at(tmp_path / "fresh")
    real.load(fresh, LATER)
    same(content(warehouse), content(fresh))
    fresh.close()
    with pytest.raises(LoadRefusedError, match="the warehouse holds shop; the sample does not mix with it"):
        sample.load(warehouse)


def test_the_reporting_zone_is_that_of_the_first_source(tmp_path: Path, warehouse: Warehouse) -> None:
    """A contact at 23:30 in Tokyo is one of that day in Tokyo and in Berlin; at 01:00 it is the day before in Berlin."""
    shop = Shop(tmp_path, few())
    shop.load(warehouse)
    abroad = Shop(tmp_path, few(), "abroad", zone="Asia/Tokyo")
    for contact, hour in zip(abroad.books["contact"], ("23:30", "01:00", "07:00", "06:59"), strict=True):
        contact["occurred_at"] = f"2025-10-10 {hour}:00"
    abroad.load(warehouse, LATER)
    with warehouse.pin() as pin:
        where = schema.contact.c.source == "abroad"
        days = dict(pin.conn.execute(select(schema.contact.c.id, schema.contact.c.day).where(where)).tuples().all())
        assert pin.generation.zone == "Europe/Berlin"
    assert days == {"c1": date(2025, 10, 10), "c2": date(2025, 10, 9), "c3": date(2025, 10, 10), "c4": date(2025, 10, 9)}
    with pytest.raises(LoadRefusedError) as error:
        shop.load(warehouse, zone="Asia/Tokyo")
    assert str(error.value) == (
        "the days in the warehouse are those of Europe/Berlin, not Asia/Tokyo; set zone back, or "
        "python -m queries drop abroad && python -m queries drop shop and load again"
    )


def test_another_zone_moves_the_days_of_a_snapshot(tmp_path: Path, warehouse: Warehouse) -> None:
    shop, fresh = Shop(tmp_path, books(20), mode="snapshot"), open_at(tmp_path / "fresh")
    shop.load(warehouse)
    summary = shop.load(warehouse, LATER, zone="Asia/Tokyo")
    assert summary.total("changed") > 0
    shop.load(fresh, zone="Asia/Tokyo")
    same(content(warehouse, WHEN_LOADED), content(fresh, WHEN_LOADED))
    fresh.close()


@pytest.mark.parametrize("what", ["calendar", "metrics"])
def test_another_calendar_or_metric_is_another_generation(tmp_path: Path, warehouse: Warehouse, what: str) -> None:
    shop, ours = Shop(tmp_path, books(20)), our_catalog()
    other = {"calendar": Calendar(fiscal_year_start=4), "metrics": ours.metrics[1:]}
    shop.load(warehouse)
    with warehouse.pin() as pin:
        before = pin.generation
    changed = ours.model_copy(update={what: other[what]})
    assert shop.load(warehouse, LATER, changed).published
    assert not shop.load(warehouse, LATER, changed).published
    with warehouse.pin() as pin:
        assert pin.generation.number == before.number + 1
        hashes = {getattr(pin.generation, f"{name}_hash") == getattr(before, f"{name}_hash") for name in (what,)}
        years = set(pin.conn.scalars(select(schema.calendar.c.fiscal_year)))
    assert hashes == {False}
    assert (date(2025, 4, 1) in years) == (what == "calendar")


def test_an_account_belongs_to_the_source_that_brought_it_first(tmp_path: Path, warehouse: Warehouse) -> None:
    first, second = (Shop(tmp_path, few(), name, mode="snapshot") for name in ("first", "second"))
    for account in second.books["account"]:
        account["name"] = "Another name"
    first.load(warehouse)
    table = second.load(warehouse, LATER).tables["account"]
    assert (table.added, table.changed, table.unchanged) == (0, 0, 3)
    assert set(column(warehouse, "account", "name", "account_id").values()) == {"Account A", "Account B", "Account C"}
    assert count(warehouse, "contact") == 8
    # The first source lets go of two: the one that the second needs stays, and is the second's from now on.
    first.books["account"] = [account for account in first.books["account"] if account["account_id"] != "B"]
    first.books["contact"] = [contact for contact in first.books["contact"] if contact["account_id"] != "B"]
    first.load(warehouse, LATER)
    assert column(warehouse, "account", "source", "account_id") == {"A": "first", "B": "second", "C": "first"}
    assert second.load(warehouse, LATER).tables["account"].changed == 1
    assert column(warehouse, "account", "name", "account_id")["B"] == "Another name"


def test_a_second_source_may_refer_to_the_accounts_of_the_first(tmp_path: Path, warehouse: Warehouse) -> None:
    Shop(tmp_path, few()).load(warehouse)
    second = Shop(tmp_path, {"contact": [{**few()["contact"][0], "journey_id": ""}]}, "second")
    assert second.load(warehouse, LATER).tables["contact"].added == 1
    second.books["contact"][0]["journey_id"] = "J1"  # a journey's key holds its source: the first source's is another
    with pytest.raises(LoadRefusedError, match="unknown journey"):
        second.load(warehouse, LATER)


HOLDER = """
import sys
from pathlib import Path
from queries.generations import EmbeddedWarehouse
warehouse = EmbeddedWarehouse(Path(sys.argv[1]))
with warehouse.draft() as draft:
    print("holding", flush=True)
    sys.stdin.read()
    draft.discard()
warehouse.close()
"""


def test_a_second_load_waits_and_says_for_whom(tmp_path: Path, warehouse: Warehouse) -> None:
    """On PostgreSQL: test_generations."""
    shop, said = Shop(tmp_path, few()), list[str]()
    shop.write()
    waits = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    command = [sys.executable, "-c", HOLDER, str(tmp_path / "warehouse")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "holding\n"
        second = threading.Thread(target=load, args=(warehouse, shop.order(), NOW, say))
        second.start()
        assert waits.wait(20)
        second.join(0.2)
        assert second.is_alive()
        assert said == [f"another load is running (process {holder.pid}: -c {tmp_path / 'warehouse'}); waiting for it"]
        holder.stdin.close()
        second.join(30)
    assert generation(warehouse) == 1
    assert said[-1] == "publishing"


def test_two_loads_at_once_lose_nothing(tmp_path: Path, warehouse: Warehouse) -> None:
    shops = [Shop(tmp_path, few(), name) for name in ("one", "two")]
    for shop in shops:
        shop.write()
    opened = [open_at(tmp_path / "warehouse") for _ in shops]
    pairs = zip(opened, shops, strict=True)
    threads = [threading.Thread(target=load, args=(w, s.order(), NOW, lambda _: None)) for w, s in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (generation(warehouse), count(warehouse, "contact"), count(warehouse, "account")) == (2, 8, 3)
    for one in opened:
        one.close()


def test_a_long_read_says_how_far_it_is(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_EVERY_S", 0.0)
    shop, said = Shop(tmp_path, few()), list[str]()
    shop.write()
    load(warehouse, shop.order(), NOW, said.append)
    assert "reading contact: 4 rows so far" in said
    assert said.index("reading contact") < said.index("reading contact: 4 rows so far")
    assert said[-1] == "publishing"


def test_the_summary_is_printed_and_kept(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few(), settings={"settle": '"14d"'})
    summary = shop.load(warehouse)
    printed = list(summary.lines())
    assert printed[0].split() == ["table", "read", "added", "changed", "unchanged", "removed", "quarantined"]
    assert printed[-1].split() == ["contact", "4", "4", "0", "0", "0", "0"]
    assert (summary.total("read"), summary.seconds > 0) == (8, True)
    with warehouse.pin() as pin:
        stored = kept(pin.conn)[-1]
        assert settle(pin.conn) == timedelta(days=14)
    assert (stored["source"], stored["tables"]["contact"]["added"]) == ("shop", 4)


def test_a_load_that_fails_leaves_everything_as_it_was(tmp_path: Path, warehouse: Warehouse) -> None:
    """A SELECT that fails in its last row: by then two tables have been read."""
    shop = Shop(tmp_path, few())
    shop.load(warehouse)
    before = content(warehouse)
    broken = replace(shop, books=few() | {"contact": [{**few()["contact"][0], "id": "x", "emotion": "y"}]},
                     selects={"contact": "select * replace (emotion::integer as emotion) from contact"})  # fmt: skip
    with pytest.raises(EarshotError, match=r"contact.sql: Conversion Error: Could not convert string 'y' to INT32"):
        broken.load(warehouse, LATER)
    same(content(warehouse), before)
    assert sorted(file.name for file in (tmp_path / "warehouse").glob("*") if file.suffix != ".pin") == [
        "current",
        "generation-1.duckdb",
        "lock",
    ]


def test_files_are_for_their_owner_only(tmp_path: Path, warehouse: Warehouse) -> None:
    shop = Shop(tmp_path, few())
    shop.load(warehouse)
    shop.books["contact"].pop()
    replace(shop, mode="snapshot").load(warehouse, LATER)
    files = [tmp_path / "warehouse", *(tmp_path / "warehouse").glob("*.duckdb")]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
