"""The default rules on the sample company: what is planted is found, and where nothing happens nothing is."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from scipy.stats import poisson
from sqlalchemy import Table, create_engine, func, select, text
from sqlalchemy.pool import StaticPool

from config.models import Catalog, ChartRule, GapRule, RateRule, Rule, WatchRule
from config.reading import read_catalog
from queries.engine import disposing
from queries.loading.publish import derive, generation_key, record_generation
from queries.monitoring.drivers import question_of, read_drivers
from queries.sample import generate
from queries.state import Incident, passing_state, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING, LoadReport, Pin, latest, tables
from tests.support.company import LOADED
from triggers.incidents.notification_load import notifications
from triggers.incidents.tick import tick

ROOT: Final = Path(__file__).resolve().parents[2]
PLANTED: Final = tomllib.loads((ROOT / "tests" / "sample" / "planted.toml").read_text(encoding="utf-8"))
NULL: Final = PLANTED["null"]["vertical"]
SETTLE: Final = 14 * 86400.0
CONTACTS: Final = 200_000
MOST_A_WEEK, RARELY = 3, 0.05
YEARS: Final = 2
ENDS: Final = (
    date(2026, 11, 21),
    date(2024, 3, 1),  # no month in progress, after a 29 February
    date(2024, 2, 29),
    date(2025, 12, 31),  # the longest month in progress
    date(2025, 1, 1),
    date(2025, 3, 31),  # a month and a quarter that are not quite over
)


def some(few: int) -> list[Any]:
    """The first ends; the others with --prove."""
    return [pytest.param(end, marks=() if i < few else pytest.mark.proof) for i, end in enumerate(ENDS)]


@contextmanager
def loaded(folders: Mapping[str, Path], catalog: Catalog, only: str | None = None) -> Iterator[Pin]:
    """A warehouse in memory that holds the files that are in these folders, each company under its name.

    With `only`, of each company that vertical alone, as a vertical called `VERTICAL NAME`.
    """
    engine = create_engine("duckdb:///:memory:", poolclass=StaticPool)
    with engine.connect() as conn:
        tables.warehouse.create_all(conn)
        for name, folder in folders.items():
            for table in tables.CANONICAL:
                if (file := folder / f"{table.name}.parquet").exists():
                    conn.execute(text(_insert(table, name, file, only)))
        derive(conn, catalog, None)
        summary = LoadReport("sample", settle=SETTLE).json()
        record_generation(conn, 1, generation_key("UTC", catalog), "sample", summary, LOADED)
        generation = latest(conn)
        assert generation is not None
        yield Pin(conn, generation)
    engine.dispose()


def _insert(table: Table, name: str, file: Path, only: str | None) -> str:
    """Rows as the loader would store them: the reporting zone is that of the files."""
    made = {
        "source": f"'{name}'",
        "first_loaded_at": "timestamp '2020-01-01'",
        "loaded_at": "timestamp '2020-01-01'",
        **{column.name: f"cast({of} as date)" for column in table.c if (of := column.info.get("day_of"))},
    }
    added = ", ".join(f"{value} as {column}" for column, value in made.items() if column in table.c)
    own = {column: f"'{name}-' || {column}" for column in ("account_id", "person_id") if column in table.c}
    if only and "vertical" in table.c:
        own["vertical"] = f"vertical || ' {name}'"
    replaced = ", ".join(f"{value} as {column}" for column, value in own.items())
    chosen = f"* replace ({replaced})" if own else "*"
    where = f" where vertical = '{only}'" if only and "vertical_filled" in table.c else ""
    return f"insert into {table.name} by name select {chosen}, {added} from '{file}'{where}"


def found(pin: Pin, catalog: Catalog, end: date) -> tuple[Incident, ...]:
    """What one run over the sample finds at its end."""
    with disposing(passing_state()) as states:
        tick(states, pin, catalog, datetime.combine(end, time(), UTC))
        with states.connect() as conn:
            return read_incidents(conn, EVERYTHING)


@pytest.fixture(scope="module")
def rules() -> Catalog:
    return read_catalog(ROOT / "config", COLUMNS)


def months_before(end: date, months: int) -> date:
    first = end.replace(day=1)
    for _ in range(months):
        first = (first - timedelta(days=1)).replace(day=1)
    return first


@pytest.mark.slow(minutes=2)
@pytest.mark.parametrize("end", some(1), ids=str)
def test_what_is_planted_is_found(tmp_path: Path, rules: Catalog, end: date) -> None:
    seed = ENDS.index(end) + 1
    generate(tmp_path, end=end, seed=seed, contacts=CONTACTS)
    with loaded({"sample": tmp_path}, rules) as pin:
        opened = found(pin, rules, end)
    broken, unhappy = PLANTED["installation_break"], PLANTED["key_account_detractor"]
    (installation,) = [i for i in opened if i.rule == "installation-defects" and i.vertical == broken["vertical"]]
    began = months_before(end, -broken["since"])
    assert began < installation.opened_at.date() <= began + timedelta(days=70)
    assert installation.is_open
    detractors = [
        i for i in opened if i.rule == "key-account-detractor" and i.account_id == f"sample-{unhappy['account_id']}"
    ]
    assert any(i.opened_at.date() >= months_before(end, -unhappy["month"]) for i in detractors)
    assert [i for i in opened if i.vertical == NULL and i.class_ == "customer"] == []
    for reader, weeks in _told_in_weeks(opened, rules, end).items():
        assert sum(told > MOST_A_WEEK for told in weeks) <= RARELY * len(weeks), reader
    elsewhere = [i for i in opened if i.rule == "installation-defects" and i.vertical != broken["vertical"]]
    assert elsewhere == []
    _stories(opened, end)


def _told_in_weeks(opened: tuple[Incident, ...], rules: Catalog, end: date) -> Mapping[str, list[int]]:
    """How often each reader is told something in each week, if nobody ever acknowledges."""
    until = datetime.combine(end, time(), UTC)
    told = {
        (n.reader, n.rule, n.at) if n.is_gathered else (n.reader, n.incident, n.at): n
        for n in notifications(opened, rules, ZoneInfo("UTC"), until)
    }
    since = until - timedelta(days=365 * YEARS)
    weeks: dict[str, list[int]] = {n.reader: [0] * (365 * YEARS // 7 + 1) for n in told.values()}
    for note in told.values():
        if note.at >= since:
            weeks[note.reader][(note.at - since).days // 7] += 1
    assert any(reader.endswith("-lead") for reader in weeks)  # who is next is counted too
    return weeks


def _stories(opened: tuple[Incident, ...], end: date) -> None:
    """Each story is found by the kind of rule that is made for it."""
    quiet, failing = PLANTED["quiet_account"], PLANTED["failing_journey"]
    silent, moves = months_before(end, -quiet["silent"]), months_before(end, -quiet["score_moves"])
    heard = [i for i in opened if i.rule == "quiet-key-account" and i.account_id == f"sample-{quiet['account_id']}"]
    assert heard, "the largest account of its vertical fell silent, and nobody noticed"
    assert silent < heard[-1].opened_at.date() <= silent + timedelta(days=84) < moves
    assert heard[-1].vertical == quiet["vertical"]
    (gap,) = [i for i in opened if i.rule == "journey-gap"]
    assert (gap.vertical, gap.is_open) == (failing["vertical"], True)
    (channels,) = [i for i in opened if i.rule == "channel-gap"]
    assert channels.is_open
    shifted = [
        i for i in opened if i.rule == "defects-shift" and i.vertical == PLANTED["installation_break"]["vertical"]
    ]
    assert shifted
    first = min(i.opened_at for i in shifted)
    assert first <= next(i.opened_at for i in opened if i.rule == "installation-defects")


@pytest.mark.slow
@pytest.mark.parametrize("end", some(1), ids=str)
def test_where_nothing_happens_nothing_is_found(
    tmp_path: Path, rules: Catalog, end: date, record_property: Any, *, prove: bool
) -> None:
    """Two years of the null vertical of two companies; with --prove of twenty.

    Each is a slice of one warehouse, and each rule may be wrong that many times as often: so every company's rules ask
    for as much evidence as if they watched that vertical alone, which is the least they can ask for.
    """
    seeds = 20 if prove else 2
    folders = {str(seed): tmp_path / str(seed) for seed in range(seeds)}
    for seed, folder in enumerate(folders.values()):
        generate(folder, end=end, seed=1000 + seed, contacts=CONTACTS)
    alone = rules.model_copy(update={"rules": tuple(_by_company(rule, seeds) for rule in rules.rules)})
    with loaded(folders, alone, NULL) as pin:
        opened = found(pin, alone, end)
        plain = found(pin, _without_gates(alone), end)
        assert _journeys(pin) == seeds
    own = (i for i in opened if i.class_ == "customer" and (i.vertical or NULL).startswith(NULL))
    counted = Counter(incident.rule for incident in own)
    record_property("incidents", dict(counted))
    declared = {r.name: r.false_alarms_per_year * YEARS for r in alone.rules if isinstance(r, WatchRule)}
    assert {name: n for name, n in counted.items() if n > _most(declared.get(name, 0))} == {}
    cried = Counter(incident.rule for incident in plain)
    assert any(
        n > _most(declared.get(name, n)) for name, n in cried.items()
    )  # the same limits without the gate cry wolf


def _most(declared: float) -> float:
    """How many a rule that keeps exactly what it declares opens at most, but once in a thousand times."""
    return float(poisson.isf(0.001, declared))


def _without_gates(catalog: Catalog) -> Catalog:
    gated = tuple(rule for rule in catalog.rules if isinstance(rule, RateRule) and not isinstance(rule, ChartRule))
    return catalog.model_copy(update={"rules": tuple(rule.model_copy(update={"gate": "none"}) for rule in gated)})


def _by_company(rule: Rule, companies: int) -> Rule:
    if not isinstance(rule, WatchRule):
        return rule
    wider: dict[str, Any] = {"false_alarms_per_year": rule.false_alarms_per_year * companies}
    if isinstance(rule, RateRule) and "vertical" not in rule.by:
        wider["by"] = ("vertical", *rule.by)
    if isinstance(rule, GapRule):
        wider["strata"] = tuple(column for column in rule.strata if column != "vertical")
    return rule.model_copy(update=wider)


def _journeys(pin: Pin) -> int:
    """How many companies there is anything of."""
    named = select(func.count(tables.journey_fact.c.vertical.distinct()))
    return int(pin.conn.execute(named).scalar_one())


def test_the_break_comes_from_the_planted_crew_and_fault(tmp_path: Path) -> None:
    """The team and the code of the break come first."""
    end, plant, default = ENDS[0], PLANTED["installation_break"], read_catalog(ROOT / "config", COLUMNS)
    generate(tmp_path, end=end)
    rule = next(rule for rule in default.rules if rule.name == "installation-defects")
    window = {"since": "2026-08-17", "until": "2026-10-12"}
    with loaded({"sample": tmp_path}, default) as pin:
        by = {"vertical": plant["vertical"]}
        asked = question_of(rule, default.metric("defect-rate"), date(2026, 10, 12), by, window)
        as_of = datetime.combine(end, time(), UTC)
        found = read_drivers(pin.conn, asked, EVERYTHING, as_of)
        assert found is not None
        known = [(cell.part - cell.even, one.name, cell.value) for one in found.dimensions if (cell := one.first)]
        first = {(name, value) for _, name, value in sorted(known, reverse=True)[:2]}
        assert first == {("code", plant["code"]), ("team", plant["team"])}
        elsewhere = replace(EVERYTHING, verticals=frozenset({NULL}))
        assert read_drivers(pin.conn, asked, elsewhere, as_of) is None
