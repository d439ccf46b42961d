"""The real orders as they come out of their source, held against a count that shares no code with it."""

import csv
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from queries.loading.sources import open_source
from tests.support.offering import Read, Row, read

CONFIG: Final = Path(__file__).parents[2] / "config"
BRAZIL: Final = ZoneInfo("America/Sao_Paulo")
Line = dict[str, str]


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "olist"


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Read:
    source, where = open_source("olist", CONFIG)
    return read(source, where, folder)


@cache
def lines(folder: Path, name: str) -> tuple[Line, ...]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def orders(folder: Path) -> dict[str, Line]:
    return {line["order_id"]: line for line in lines(folder, "olist_orders_dataset")}


@cache
def people(folder: Path) -> dict[str, Line]:
    return {line["customer_id"]: line for line in lines(folder, "olist_customers_dataset")}


@cache
def reviews(folder: Path) -> tuple[Line, ...]:
    return lines(folder, "olist_order_reviews_dataset")


@cache
def segments(folder: Path) -> dict[str, tuple[str, str]]:
    """Order to vertical and category of its dearest line."""
    category = {p["product_id"]: p["product_category_name"] for p in lines(folder, "olist_products_dataset")}
    english = {
        t["product_category_name"]: t["product_category_name_english"]
        for t in lines(folder, "product_category_name_translation")
    }
    vertical = {v["category_english"]: v["vertical_group"] for v in lines(folder, "vertical_map")}
    dearest: dict[str, tuple[float, int, str]] = {}
    for item in lines(folder, "olist_order_items_dataset"):
        rank = (-float(item["price"]), int(item["order_item_id"]), item["product_id"])
        dearest[item["order_id"]] = min(rank, dearest.get(item["order_id"], rank))
    named = {order: english.get(category[p], category[p]) for order, (_, _, p) in dearest.items()}
    return {order: (vertical[name], name) for order, name in named.items() if name}


def utc(stamp: str) -> datetime | None:
    """A local stamp as naive UTC; of two the first, and a skipped hour as before the change."""
    if not stamp:
        return None
    return datetime.fromisoformat(stamp).replace(tzinfo=BRAZIL).astimezone(UTC).replace(tzinfo=None)


def local_month(at: datetime) -> str:
    return at.replace(tzinfo=UTC).astimezone(BRAZIL).strftime("%Y-%m")


def by_id(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}


def test_nothing_is_refused_or_doubtful(loaded: Read) -> None:
    assert {table: Counter(loaded.reasons(table)) for table in loaded.tables} == {
        "account": {None: 3991},
        "person": {None: 3991},
        "journey": {None: 4049},
        "contact": {None: 21_415},
        "response": {None: 4103},
    }
    assert loaded.warnings == []


def test_keys_are_unique(loaded: Read) -> None:
    for table in ("journey", "contact", "response"):
        assert len(set(loaded.values(table, "id"))) == len(loaded.tables[table])
    assert len(set(loaded.values("account", "account_id"))) == 3991


def test_orders_by_month_of_purchase(loaded: Read, folder: Path) -> None:
    expected = Counter(line["order_purchase_timestamp"][:7] for line in orders(folder).values())
    assert Counter(f"{day:%Y-%m}" for day in loaded.values("journey", "day")) == expected
    assert Counter(local_month(at) for at in loaded.values("journey", "started_at")) == expected
    # By UTC days some orders would be in another month.
    assert sum(row["day"].month != row["started_at"].month for row in loaded.tables["journey"]) == 20


def test_every_order(loaded: Read, folder: Path) -> None:
    journeys = by_id(loaded.tables["journey"])
    assert journeys.keys() == orders(folder).keys()
    for key, line in orders(folder).items():
        row, who = journeys[key], people(folder)[line["customer_id"]]
        vertical, category = segments(folder).get(key, (None, None))
        assert (row["account_id"], row["region"]) == (who["customer_unique_id"], who["customer_state"])
        assert (row["vertical"], row["product"]) == (vertical, category)
        assert row["started_at"] == utc(line["order_purchase_timestamp"])
        assert row["promised_at"] == utc(line["order_estimated_delivery_date"])
        assert row["ended_at"] == utc(line["order_delivered_customer_date"])
        assert str(row["ended_day"] or "") == line["order_delivered_customer_date"][:10]


def test_outcomes(loaded: Read, folder: Path) -> None:
    expected: Counter[str | None] = Counter()
    for line in orders(folder).values():
        done = line["order_status"] in {"delivered", "canceled", "unavailable"}
        expected["reached" if line["order_delivered_customer_date"] else None if done else "open"] += 1
    assert Counter(loaded.values("journey", "outcome")) == expected == {"reached": 2317, None: 752, "open": 980}
    assert all((row["outcome"] == "reached") == bool(row["ended_at"]) for row in loaded.tables["journey"])


def test_late_orders_by_month_of_delivery(loaded: Read, folder: Path) -> None:
    late = [row for row in loaded.tables["journey"] if row["ended_at"] and row["ended_at"] > row["promised_at"]]
    expected = Counter(
        line["order_delivered_customer_date"][:7]
        for line in orders(folder).values()
        if line["order_delivered_customer_date"] > line["order_estimated_delivery_date"]
    )
    assert Counter(f"{row['ended_day']:%Y-%m}" for row in late) == expected
    assert expected["2017-12"] == 42


def test_verticals(loaded: Read, folder: Path) -> None:
    expected = Counter(segments(folder).get(key, (None,))[0] for key in orders(folder))
    assert Counter(loaded.values("journey", "vertical")) == expected
    assert expected[None] == sum(key not in segments(folder) for key in orders(folder)) > 539


def test_reviews_by_score(loaded: Read, folder: Path) -> None:
    expected = Counter(int(line["review_score"]) for line in reviews(folder))
    assert Counter(loaded.values("response", "score")) == expected == {5: 1556, 1: 1452, 4: 578, 3: 317, 2: 200}


def test_every_review(loaded: Read, folder: Path) -> None:
    rows = by_id(loaded.tables["response"])
    for line in reviews(folder):
        row = rows[f"{line['review_id']}:{line['order_id']}"]
        who = people(folder)[orders(folder)[line["order_id"]]["customer_id"]]
        assert (row["journey_id"], row["account_id"]) == (line["order_id"], who["customer_unique_id"])
        assert row["vertical"] == segments(folder).get(line["order_id"], (None,))[0]
        assert (row["kind"], row["status"], row["scale"], row["touchpoint"]) == (
            "transaction",
            "answered",
            "csat",
            None,
        )
        assert row["invited_at"] == utc(line["review_creation_date"])
        assert row["responded_at"] == utc(line["review_answer_timestamp"])
        assert (str(row["day"]), str(row["responded_day"])) == (
            line["review_creation_date"][:10],
            line["review_answer_timestamp"][:10],
        )
        assert bool(row["comment"]) == bool(line["review_comment_title"] or line["review_comment_message"])


def test_comments_hold_no_mail_and_no_long_number(loaded: Read, folder: Path) -> None:
    assert sum("@" in line["review_comment_message"] for line in reviews(folder)) > 0
    comments = [comment for comment in loaded.values("response", "comment") if comment]
    assert len(comments) == sum(
        bool(line["review_comment_title"] or line["review_comment_message"]) for line in reviews(folder)
    )
    assert not [comment for comment in comments if "mail.com" in comment or _longest_number(comment) >= 6]


def _longest_number(text: str) -> int:
    return max(map(len, "".join(c if c.isdecimal() and c.isascii() else " " for c in text).split()), default=0)


def test_contacts_by_touchpoint(loaded: Read, folder: Path) -> None:
    dated = {
        ("order placed", "in"): "order_purchase_timestamp",
        ("payment approved", "out"): "order_approved_at",
        ("handed to carrier", "out"): "order_delivered_carrier_date",
        ("delivered", "out"): "order_delivered_customer_date",
    }
    expected: dict[Any, int] = {
        key: sum(bool(line[column]) for line in orders(folder).values()) for key, column in dated.items()
    }
    expected |= {("survey sent", "out"): 4103, ("survey answered", "in"): 4103}
    found = Counter((row["touchpoint"], row["direction"]) for row in loaded.tables["contact"])
    assert found == expected


def test_contacts_when(loaded: Read, folder: Path) -> None:
    """The stamps are kept as they are, in whatever order they stand."""
    rows = by_id(loaded.tables["contact"])
    earlier = 0
    for key, line in orders(folder).items():
        for suffix, column in (("approved", "order_approved_at"), ("handed", "order_delivered_carrier_date")):
            assert (rows[f"{key}:{suffix}"]["occurred_at"] if line[column] else None) == utc(line[column])
        earlier += "" < line["order_delivered_carrier_date"] < line["order_approved_at"]
    assert earlier == 4
    assert all(row["account_id"] == row["person_id"] for row in rows.values())


def test_a_repeat_customer_is_one_account(loaded: Read, folder: Path) -> None:
    orders_of = Counter(loaded.values("journey", "account_id"))
    assert len(orders_of) == len({line["customer_unique_id"] for line in people(folder).values()}) == 3991
    assert sum(n > 1 for n in orders_of.values()) > 0
