"""The real orders loaded day by day and at once, and what the command line counts in them."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Final

import pytest

from config.models import Catalog, Privacy
from config.reading import read_catalog
from queries.__main__ import main
from queries.loading.load import LoadRequest, load
from queries.loading.sources import open_source
from queries.warehouse import COLUMNS, EmbeddedWarehouse, LoadReport, SharedWarehouse, Warehouse
from tests.support.deliveries import WHEN_LOADED, Held, held

CONFIG: Final = Path(__file__).parents[2] / "config"
OURS: Final[Catalog] = read_catalog(CONFIG, COLUMNS)
FIRST, LAST = date(2016, 9, 5), date(2018, 11, 1)  # the last reviews are answered in October
CUTS: Final = (
    date(2016, 10, 5),
    date(2017, 1, 1),  # nothing is in between but two reviews
    date(2017, 2, 15),
    date(2017, 4, 1),
    date(2017, 6, 20),
    date(2017, 9, 1),
    date(2017, 11, 25),  # the morning after Black Friday
    date(2017, 12, 18),
    date(2018, 3, 1),
)
Line = dict[str, str]
Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of the marketplace's files."""

    folder: Path

    def read(self, name: str) -> list[Line]:
        with (self.folder / f"{name}.csv").open(encoding="utf-8", newline="") as text:
            return list(csv.DictReader(text))

    def write(self, name: str, lines: list[Line], heads: list[str]) -> None:
        with (self.folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as text:
            writer = csv.DictWriter(text, heads)
            writer.writeheader()
            writer.writerows(lines)


def cut(whole: Files, folder: Path, day: date) -> Path:
    """The files as the marketplace would have exported them at the beginning of a day."""
    folder.mkdir(exist_ok=True)
    until, part = f"{day} 00:00:00", Files(folder)
    lines = {file.stem: whole.read(file.stem) for file in whole.folder.glob("*.csv")}
    heads = {name: list(found[0]) for name, found in lines.items()}
    orders = [_order(line, until) for line in lines["olist_orders_dataset"] if line["order_purchase_timestamp"] < until]
    known, people = {line["order_id"] for line in orders}, {line["customer_id"] for line in orders}
    reviews = [line for line in lines["olist_order_reviews_dataset"] if line["review_creation_date"] < until]
    lines |= {
        "olist_orders_dataset": orders,
        "olist_order_reviews_dataset": [_review(line, until) for line in reviews if line["order_id"] in known],
        "olist_order_items_dataset": [line for line in lines["olist_order_items_dataset"] if line["order_id"] in known],
        "olist_customers_dataset": [line for line in lines["olist_customers_dataset"] if line["customer_id"] in people],
    }
    for name, found in lines.items():
        part.write(name, found, heads[name])
    return folder


def _order(line: Line, until: str) -> Line:
    stamps = ("order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date")
    late = {name: "" for name in stamps if line[name] >= until}
    return line | late | ({"order_status": "shipped"} if late else {})


def _review(line: Line, until: str) -> Line:
    if line["review_answer_timestamp"] < until:
        return line
    unsaid = ("review_score", "review_comment_title", "review_comment_message", "review_answer_timestamp")
    return line | dict.fromkeys(unsaid, "")


def bring(warehouse: Warehouse, folder: Path, at: date) -> LoadReport:
    source, where = open_source("olist", CONFIG)
    now = datetime(at.year, at.month, at.day, 9, tzinfo=UTC)
    return load(warehouse, LoadRequest(source, where, folder, OURS), now, lambda _: None)


@pytest.fixture(scope="module")
def files(shared_data: Path) -> Files:
    return Files(shared_data / "olist")


@pytest.fixture(scope="module")
def at_once(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder into which the whole files have been loaded."""
    folder = tmp_path_factory.mktemp("olist")
    with closing(EmbeddedWarehouse(folder / "warehouse")) as warehouse:
        assert bring(warehouse, files.folder, LAST).reasons == {}
    return folder


@pytest.fixture(scope="module")
def expected(at_once: Path) -> Held:
    with closing(EmbeddedWarehouse(at_once / "warehouse")) as warehouse:
        return held(warehouse, WHEN_LOADED)


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    made: Warehouse = EmbeddedWarehouse(tmp_path / "warehouse")
    if request.param == "postgresql":
        made = SharedWarehouse(request.getfixturevalue("postgres_url"))
    with closing(made):
        yield made


@pytest.mark.slow
def test_day_by_day_is_at_once(
    warehouse: Warehouse, files: Files, expected: Held, tmp_path: Path, *, prove: bool
) -> None:
    """Row for row in every table, on either engine. `make prove` loads every week of the two years."""
    cuts = CUTS if isinstance(warehouse, EmbeddedWarehouse) else CUTS[::2]
    days = [FIRST + timedelta(weeks=i) for i in range((LAST - FIRST).days // 7)] if prove else cuts
    figures = Counter[str]()
    for day in days:
        summary = bring(warehouse, cut(files, tmp_path / "part", day), day)
        assert summary.reasons == {}
        figures.update({what: summary.total(what) for what in ("added", "changed", "removed")})
    summary = bring(warehouse, files.folder, LAST)
    figures.update({what: summary.total(what) for what in ("added", "changed", "removed")})
    found = held(warehouse, WHEN_LOADED)
    for table, rows in expected.items():
        assert found[table] == rows, table
    assert not bring(warehouse, files.folder, LAST + timedelta(days=1)).published
    assert figures["added"] == sum(
        len(expected[name]) for name in ("account", "person", "journey", "contact", "response")
    )
    assert figures["changed"] > 100, "what was open or unanswered came to its end"
    assert figures["removed"] == 0


def test_the_first_loads_rows_keep_when_they_came(files: Files, tmp_path: Path) -> None:
    with closing(EmbeddedWarehouse(tmp_path / "warehouse")) as warehouse:
        bring(warehouse, cut(files, tmp_path / "part", CUTS[0]), CUTS[0])
        bring(warehouse, cut(files, tmp_path / "part", CUTS[1]), CUTS[1])
        journeys = held(warehouse, tables=["journey"])["journey"]
    loads = {day: datetime(day.year, day.month, day.day, 9) for day in CUTS[:2]}  # noqa: DTZ001 - as stored
    came, changed = (Counter(row[i] for row in journeys) for i in (-2, -1))
    assert came.keys() == changed.keys() == set(loads.values())
    assert changed[loads[CUTS[0]]] < came[loads[CUTS[0]]], "some of the first were delivered meanwhile"


# The counts below share no code with the product.


def test_orders_and_reviews_by_month(
    at_once: Path, files: Files, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(at_once))
    orders, reviews = files.read("olist_orders_dataset"), files.read("olist_order_reviews_dataset")
    placed = Counter(line["order_purchase_timestamp"][:7] for line in orders)
    assert counted(capsys, "journeys") == placed
    assert sum(placed.values()) == 4049
    delivered = Counter(line["order_delivered_customer_date"][:7] for line in orders)
    del delivered[""]
    assert counted(capsys, "journeys-ended") == delivered
    answered = Counter(line["review_answer_timestamp"][:7] for line in reviews)
    assert counted(capsys, "responses") == above_floor(answered)
    assert sum(answered.values()) == 4103
    assert counted(capsys, "invitations") == above_floor(Counter(line["review_creation_date"][:7] for line in reviews))


def test_shares_by_month_and_vertical(
    at_once: Path, files: Files, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(at_once))
    groups, shown = _verticals(files), 0
    kept: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for line in files.read("olist_orders_dataset"):
        if end := line["order_delivered_customer_date"]:
            cell = end[:7], groups.get(line["order_id"], "unknown")
            kept[cell].append(end <= line["order_estimated_delivery_date"])
    rows = asked(capsys, "promise-kept", "--by", "vertical")
    assert {(row["period"][:7], row["vertical"]): int(row["n"]) for row in rows if row["n"] != "0"} == {
        cell: len(found) for cell, found in kept.items()
    }
    for row in rows:
        if row["value"]:
            found = kept[row["period"][:7], row["vertical"]]
            assert float(row["value"]) == pytest.approx(sum(found) / len(found))
            shown += 1
    assert shown > 10


def test_the_same_counts_from_postgresql(
    postgres_url: str, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    """The command line from end to end: load, then ask."""
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path))
    monkeypatch.setenv("EARSHOT_WAREHOUSE__URL", postgres_url)
    assert main(["load", "olist", "--data", str(files.folder)]) == 0
    assert "olist" in capsys.readouterr().out
    orders = files.read("olist_orders_dataset")
    assert counted(capsys, "journeys") == Counter(line["order_purchase_timestamp"][:7] for line in orders)
    reviews = files.read("olist_order_reviews_dataset")
    assert counted(capsys, "responses") == above_floor(Counter(line["review_answer_timestamp"][:7] for line in reviews))


def asked(capsys: Capture, *words: str) -> list[Line]:
    assert main(["metric", *words, "--grain", "month", "--format", "csv"]) == 0
    return list(csv.DictReader(StringIO(capsys.readouterr().out)))


def counted(capsys: Capture, metric: str) -> dict[str, int | None]:
    """Month to number, of months with any; None where so few people answered that it is withheld."""
    rows = (row for row in asked(capsys, metric) if row["n"] != "0")
    return {row["period"][:7]: None if row["status"] == "private" else int(row["n"]) for row in rows}


def above_floor(answers: Mapping[str, int]) -> dict[str, int | None]:
    """What is shown of numbers of answers: here everybody answers once."""
    return {month: number if number >= Privacy().people else None for month, number in answers.items()}


def _verticals(files: Files) -> dict[str, str]:
    """Order to the vertical of its dearest line."""
    english = {line["product_category_name"]: line for line in files.read("product_category_name_translation")}
    group = {line["category_english"]: line["vertical_group"] for line in files.read("vertical_map")}
    category = {line["product_id"]: line["product_category_name"] for line in files.read("olist_products_dataset")}
    best: dict[str, tuple[float, int, str]] = {}
    for line in files.read("olist_order_items_dataset"):
        rank = (-float(line["price"]), int(line["order_item_id"]), category[line["product_id"]])
        best[line["order_id"]] = min(best.get(line["order_id"], rank), rank)
    names = {
        key: english[name]["product_category_name_english"] if name in english else name
        for key, (_, _, name) in best.items()
    }
    return {key: group[name] for key, name in names.items() if name}
