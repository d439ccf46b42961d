"""The whole against its parts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from queries.metrics.journey_gaps import (
    GOAL_REACHED,
    channel_gap,
    journey_gap,
    mean_of,
    share_difference,
    share_of,
    stratified,
    transition_loss,
)
from queries.warehouse import EVERYTHING, Scope
from tests.support.handmade import START, Row, Rows, warehouse

AFTER = datetime(2026, 6, 1, tzinfo=UTC)
TOUCHPOINTS = ("order", "visit", "bill")


@pytest.mark.parametrize(
    ("left", "right", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),  # Newcombe 1998b, table II, method 10
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_differences_hold_newcombes_examples(
    left: tuple[int, int], right: tuple[int, int], low: float, high: float
) -> None:
    found = share_difference(share_of(*left), share_of(*right))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_the_mean_of_one_share_is_that_share() -> None:
    one = share_of(30, 40)
    assert mean_of([one]) == one
    narrower = mean_of([one, one, one, one])
    assert narrower.high - narrower.low == pytest.approx((one.high - one.low) / 2)


def test_strata_are_compared_with_like() -> None:
    """Multi-channel journeys are worse in each type, yet better in the mix: the types must be held equal."""
    easy = share_difference(share_of(85, 100), share_of(9, 10))
    hard = share_difference(share_of(2, 10), share_of(30, 100))
    assert 87 / 110 > 39 / 110
    assert stratified([easy, hard]).value < 0


def _company() -> Rows:
    """100 journeys; 90% of the answers about each touchpoint are good, other journeys each, and 60% about the whole."""
    rows: Rows = {"account": [{"account_id": "A", "name": "A"}], "journey": [], "response": [], "contact": []}
    for i in range(100):
        start = START + timedelta(hours=7 * i)
        own: Row = {"account_id": "A", "vertical": "North", "journey_id": f"J{i}"}
        rows["journey"].append({**own, "id": f"J{i}", **_journey(i, start)})
        scores = [2 if i % 10 == k else 5 for k in range(3)]
        for k, (touchpoint, score) in enumerate(
            zip((*TOUCHPOINTS, None), (*scores, 5 if i % 5 < 3 else 2), strict=True)
        ):
            rows["response"].append({**own, "id": f"R{i}{k}", "touchpoint": touchpoint, **_answer(score, start)})
        for k, touchpoint in enumerate(TOUCHPOINTS):
            when = start + timedelta(hours=1 + k)
            channel = "phone" if k and i % 2 else "mail"
            moment = {"direction": "in", "occurred_at": when, "emotion": (2, 0, 1)[k], "channel": channel}
            rows["contact"].append({**own, "id": f"C{i}{k}", "touchpoint": touchpoint, **moment})
    return rows


def _journey(i: int, start: datetime) -> Row:
    reached = i % 4 != 1  # every odd journey is multi-channel, and half of those fail
    ended = start + timedelta(days=1)
    return {
        "journey_type": "order",
        "started_at": start,
        "ended_at": ended,
        "outcome": "reached" if reached else "failed",
    }


def _answer(score: int, start: datetime) -> Row:
    answered = start + timedelta(days=2)
    plain: Row = {"kind": "transaction", "status": "answered", "scale": "csat"}
    return {**plain, "score": score, "invited_at": start, "responded_at": answered}


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    engine = warehouse(tmp_path_factory.mktemp("journeys") / "w.duckdb", _company())
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_whole_fails_while_every_touchpoint_is_at_90_percent(conn: Connection) -> None:
    (gap,) = journey_gap(conn, EVERYTHING, None, None, AFTER)
    assert gap.journey_type == "order"
    assert [(t, share.value) for t, share in gap.touchpoints] == [("bill", 0.9), ("order", 0.9), ("visit", 0.9)]
    assert gap.difference is not None
    assert gap.difference.value == pytest.approx(-0.3)
    assert gap.difference.high < 0
    assert gap.difference.is_enough
    assert gap.all_good is not None
    assert (gap.all_good.n, gap.all_good.value) == (100, 0.7)
    assert gap.expected_all_good == pytest.approx(0.9**3)


def test_multi_channel_journeys_reach_their_goal_less_often(conn: Connection) -> None:
    order, every = channel_gap(conn, GOAL_REACHED, EVERYTHING, None, None, AFTER)
    assert (order.multi.value, order.single.value) == (0.5, 1.0)
    assert (order.journey_type, every.journey_type) == ("order", None)
    assert every.value == order.value == -0.5
    assert every.high < 0


def test_emotion_falls_most_from_order_to_visit(conn: Connection) -> None:
    worst, other = transition_loss(conn, EVERYTHING, None, None, AFTER)
    assert (worst.from_touchpoint, worst.touchpoint, worst.n, worst.change) == ("order", "visit", 100, -2.0)
    assert other.change == 1.0


def test_other_verticals_are_not_seen(conn: Connection) -> None:
    south = Scope("gm", verticals=frozenset({"South"}))
    assert journey_gap(conn, south, None, None, AFTER) == ()
    assert channel_gap(conn, GOAL_REACHED, south, None, None, AFTER) == ()
    assert transition_loss(conn, south, None, None, AFTER) == ()


def test_before_the_answers_nothing_is_known(conn: Connection, tmp_path: Path) -> None:
    assert journey_gap(conn, EVERYTHING, None, None, START.replace(tzinfo=UTC)) == ()
