"""`python -m queries metric`: what it prints, and what it says when it cannot."""

import csv
import json
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config import EarshotError
from queries.operations import run_command
from queries.operations.metric_command import add_arguments
from queries.operations.metric_command import show_metric as run_metric
from queries.warehouse import EmbeddedWarehouse, typed
from tests.support.handmade import company, warehouse

Run = Callable[..., tuple[int, str, str]]
NASTY = "=cmd|' /C calc'!A0"
LONG = "x" * 300
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A published warehouse in which one touchpoint has a formula for a name, and one is very long."""
    rows = company()
    for i, row in enumerate(rows["contact"]):
        row["touchpoint"] = (NASTY, LONG, "visit")[i % 3]
    stored = EmbeddedWarehouse(tmp_path / "warehouse")
    with stored.draft() as draft:
        warehouse_into(draft.conn, tmp_path, rows)
    stored.close()
    return tmp_path


def warehouse_into(conn: Any, folder: Path, rows: Any) -> None:
    warehouse(folder / "made.duckdb", rows).dispose()
    conn.execute(text(f"attach '{folder / 'made.duckdb'}' as made (read_only)"))
    for (name,) in conn.execute(text("select table_name from duckdb_tables() where database_name = 'made'")).all():
        conn.execute(text(f'insert into "{name}" select * from made."{name}"'))


def _status(*words: str) -> int:
    parser = ArgumentParser()
    add_arguments(parser)
    parser.set_defaults(run=lambda arguments: run_metric(arguments, NOW))
    try:
        return run_command(parser, words)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("EARSHOT_DATA", str(data))
    monkeypatch.setenv("EARSHOT_CONFIG", str(Path(__file__).parents[2] / "config"))

    def command(*words: str) -> tuple[int, str, str]:
        status = _status(*words)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


def test_csv_is_what_it_says(run: Run) -> None:
    status, out, err = run(
        "contacts", "--by", "vertical", "--format", "csv", "--since", "2025-10-01", "--until", "2026-01-01"
    )
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(StringIO(out)))
    assert list(rows[0]) == ["period", "vertical", "n", "value", "low", "high", "status"]
    assert {row["period"] for row in rows} == {"2025-10-01", "2025-11-01", "2025-12-01"}
    assert {row["vertical"] for row in rows} == {"North", "South", "unknown"}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows)


def test_csv_never_runs_and_negative_numbers_stay_numbers(run: Run) -> None:
    _, out, _ = run("contacts", "--by", "touchpoint", "--grain", "all", "--format", "csv")
    assert {row["touchpoint"] for row in csv.DictReader(StringIO(out))} == {f"'{NASTY}", LONG, "visit"}
    _, out, _ = run("emotion-net", "--format", "csv")
    lows = [row["low"] for row in csv.DictReader(StringIO(out)) if row["low"]]
    assert min(map(float, lows)) < 0
    assert not any("'" in low for low in lows)


def test_too_few_keeps_n_and_empties_the_value(run: Run) -> None:
    _, out, _ = run("nps", "--format", "csv")
    few = [row for row in csv.DictReader(StringIO(out)) if row["status"] == "too_few"]
    assert few
    assert all(int(row["n"]) > 0 and row["value"] == row["low"] == row["high"] == "" for row in few)


def test_json_has_numbers_and_nulls(run: Run) -> None:
    _, out, _ = run("nps", "--format", "json", "--by", "vertical,touchpoint")
    rows = json.loads(out)
    assert set(rows[0]) == {"period", "vertical", "touchpoint", "n", "value", "low", "high", "status"}
    # Where the figure is private, how many answers there are is so, too.
    assert {type(row["n"]) for row in rows if row["status"] != "private"} == {int}
    assert {row["n"] for row in rows if row["status"] == "private"} == {None}
    assert None in {row["value"] for row in rows}


def test_the_table_is_aligned_and_in_the_unit_of_the_metric(run: Run) -> None:
    _, out, _ = run("context-seen", "--by", "touchpoint", "--grain", "all")
    lines = out.splitlines()
    assert lines[0] == "Staff had seen what was sent before (context-seen)"
    table = lines[3:]
    assert len({len(line.rstrip()) for line in table[1:]}) <= 3
    assert all(len(line) < 130 and "%" in line for line in table[1:])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("contacts", "--where", "vertical=North"), {"North"}),
        (("contacts", "--where", "vertical=North", "--where", "vertical=unknown"), {"North", "unknown"}),
        (("contacts", "--where", "account.tier=small"), {"North", "South", "unknown"}),
        (("contacts", "--where", "journey.journey_type=repair", "--where", "emotion=2"), {"North", "South", "unknown"}),
        (("journeys", "--where", "multi_channel=true"), {"North", "South", "unknown"}),
        (("defects", "--where", "severity=3"), {"North", "South", "unknown"}),
        (("contacts", "--where", "day=2025-11-05"), {"North", "South", "unknown"}),
    ],
)
def test_where(run: Run, words: tuple[str, ...], names: set[str]) -> None:
    _, every, _ = run(words[0], "--grain", "all", "--format", "json")
    status, out, _ = run(*words, "--grain", "all", "--format", "json", "--by", "vertical")
    assert status == 0
    rows = json.loads(out)
    assert {row["vertical"] for row in rows} <= names
    assert 0 < sum(row["n"] for row in rows) < json.loads(every)[0]["n"]


def test_a_reading_from_rows_is_noticed_on_the_other_stream(run: Run) -> None:
    _, out, err = run("contacts", "--by", "account.tier", "--format", "csv")
    assert "read from the rows of contact" in err
    assert "note" not in out


def test_what_was_known_then(run: Run) -> None:
    _, now, _ = run("contacts", "--grain", "all", "--format", "json")
    _, then, _ = run("contacts", "--grain", "all", "--format", "json", "--as-of", "2025-11-20T12:00:00+01:00")
    assert json.loads(then)[0]["n"] < json.loads(now)[0]["n"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("csta",), "no metric named 'csta'; did you mean 'csat'?"),
        (("csat", "--by", "verticl"), "no column 'verticl'; did you mean 'vertical'?"),
        (("promise-kept", "--by", "touchpoint"), "promise-kept is read from journey, which has no column 'touchpoint'"),
        (("csat", "--since", "2026-01-01", "--until", "2025-01-01"), "it must come after --since"),
        (("csat", "--where", "vertical"), "'vertical' is not a filter; write --where COLUMN=VALUE"),
        (("contacts", "--where", "vertical=Nrth"), "no row has vertical 'Nrth'; did you mean 'North'?"),
        (("contacts", "--where", "vertical=North", "--where", "account.tier=huge"), "no row has account.tier 'huge'"),
        (("csat", "--where", "score=good"), "'good' is not a valid value for score"),
        (("csat", "--where", "responded_at=2026-01-01"), "responded_at is a point in time"),
        (("csat", "--where", "day=0001-01-01"), "day=0001-01-01: 0001-01-01 is too far away; write a day from 1900"),
        (("csat", "--where", "score=10000000000000000"), "score=10000000000000000: the number is too large"),
    ],
)
def test_mistakes_are_one_line_that_tells_what_to_do(run: Run, words: tuple[str, ...], said: str) -> None:
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("csat", "--since", "1.1.2026"), "'1.1.2026' is not a valid date; write one such as 2026-01-31"),
        (("csat", "--since", "2026-02-30"), "is not a valid date"),
        (("csat", "--until", "9999-12-31"), "is too far away; write a day from 1900-01-01 to 2199-12-31"),
        (("csat", "--as-of", "0001-01-01"), "is too far away"),
        (("csat", "--as-of", "noon"), "'noon' is not a time"),
    ],
)
def test_what_is_no_day_is_refused_with_its_option(run: Run, words: tuple[str, ...], said: str) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert f"argument {words[1]}: " in err
    assert said in err


def test_without_a_warehouse_it_says_how_to_get_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "empty"))
    status, _, err = run("csat")
    assert status == 1
    assert "make run" in err


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1e400", "write a finite number"),
        ("nan", "write a finite number"),
        ("-1e16", "too large"),
        ("1e-300", "too small"),
    ],
)
def test_a_typed_number_that_nobody_means_is_refused(written: str, said: str) -> None:
    with pytest.raises(EarshotError, match=f"amount={written}: .*{said}"):
        typed("revenue", "amount", written)
