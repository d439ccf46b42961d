"""An action is recommended where the same problem is open, and never where it had no effect."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

import pytest

from config.models import Catalog
from config.reading import read_catalog
from config.settings import CHECKOUT
from queries.accounts import Growth, Headroom
from queries.operations.redaction import Redaction
from queries.review import ActionEffect, ActionStatus, ReviewIncident, past_actions, worth_repeating
from queries.review.document import MeetingState
from queries.review.stored_document import StoredDocument, document_json, read_document
from queries.state import Action
from queries.warehouse import COLUMNS
from tests.dashboard.test_review import made, series

CATALOG: Final[Catalog] = read_catalog(CHECKOUT / "config", COLUMNS)
MONTH: Final = date(2026, 10, 1)
IMPROVED: Final = ActionEffect("improved", -0.06, -0.08, -0.04)
NOTHING: Final = ActionEffect("cannot tell yet", -0.01, -0.08, 0.06)


def action(id_: str = "a", vertical: str | None = "Payments", touchpoint: str | None = "repair") -> Action:
    recorded = datetime(2026, 4, 1)  # noqa: DTZ001
    place = {"vertical": vertical, "touchpoint": touchpoint, "metric": "defect-rate"}
    return Action(id_, "A second crew", "repair-lead", date(2026, 4, 1), recorded, "ana", **place)  # type: ignore[arg-type]


def incident(vertical: str, group: str = "journey_type=repair", *, is_open: bool = True) -> ReviewIncident:
    return ReviewIncident(
        id=f"i-{vertical}",
        rule="removed-since",
        label="Repairs with a defect",
        metric=CATALOG.metric("defect-rate"),
        group=f"vertical={vertical}|{group}",
        where=vertical,
        vertical=vertical,
        limit="",
        severity=2,
        is_open=is_open,
        opened_at=datetime(2026, 9, 1, tzinfo=UTC),
        value=0.3,
        n=100,
        owner="",
        slot=date(2026, 9, 1),
    )


def test_what_improved_is_named_where_the_same_problem_is_open() -> None:
    found = (incident("Lending"), incident("Wealth"), incident("Payments"))
    (line,) = worth_repeating((action(),), {"a": IMPROVED}, found, CATALOG)
    assert line.startswith("A second crew (Payments, repair): journeys with a defect improved")
    assert line.endswith("The same problem is open in Lending and Wealth.")


@pytest.mark.parametrize(
    ("effect", "found"),
    [
        (NOTHING, incident("Lending")),
        (replace(IMPROVED, verdict="worsened"), incident("Lending")),
        (None, incident("Lending")),
        (IMPROVED, incident("Lending", "journey_type=installation")),  # another problem
        (IMPROVED, incident("Lending", is_open=False)),
        (IMPROVED, replace(incident("Lending"), metric=CATALOG.metric("promise-kept"))),
        (IMPROVED, incident("Payments")),
    ],
)
def test_nothing_is_named_that_does_not_fit(effect: ActionEffect | None, found: ReviewIncident) -> None:
    assert worth_repeating((action(),), {"a": effect}, (found,), CATALOG) == ()


def test_where_the_like_was_tried_it_is_not_recommended() -> None:
    actions, effects = (action(), action("b", "Lending")), {"a": IMPROVED, "b": NOTHING}
    assert worth_repeating(actions, effects, (incident("Lending"),), CATALOG) == ()
    everywhere = (action(), action("b", None))
    assert worth_repeating(everywhere, effects, (incident("Lending"),), CATALOG) == ()


def test_an_action_that_was_done_is_an_example_for_a_year() -> None:
    def done(id_: str, at: datetime) -> Action:
        return replace(action(id_), done_at=at)

    days = {"old": (2025, 9, 30), "first": (2025, 10, 2), "last": (2026, 9, 30), "running": (2026, 10, 9)}
    every = [done(id_, datetime(*day)) for id_, day in days.items()]  # noqa: DTZ001
    meeting = MeetingState(found=(incident("Lending"),), actions=(every[-1],))
    assert [one.id for one in past_actions(every, meeting, MONTH, UTC)] == ["first", "last"]
    assert past_actions(every, replace(meeting, found=(incident("Lending", is_open=False),)), MONTH, UTC) == ()
    assert past_actions([action()], meeting, MONTH, UTC) == ()


def test_whoever_is_erased_is_not_named_in_a_closed_review_any_more() -> None:
    room = Headroom("A1", "Energy", 10.0, 5.0, 4.0, 6.0)
    growth = Growth(2, 0.5, 9.0, 8.0, 10.0, (room, replace(room, account_id="A2")))
    line = "Call Acme (Payments, repair): journeys with a defect improved. The same problem is open in Lending."
    told = ActionStatus(replace(action(), what="Call Acme"), "improved", (), overdue=False)
    review = replace(made(series((0.9, 0.9, 0.9, 0.7))), growth=growth, repeatable=(line,), carried=(told,))
    erased = Redaction("01234567", datetime(2026, 11, 1), "A1", frozenset(), "Acme", may_be_named=True)  # noqa: DTZ001
    after = read_document(erased.document(document_json(StoredDocument(review, "EUR")))).review
    assert after.growth is not None
    assert [one.account_id for one in after.growth.most] == ["erased-01234567", "A2"]
    assert replace(after.growth, most=()) == replace(growth, most=())
    assert "Acme" not in after.repeatable[0]
    assert after.repeatable[0].endswith("The same problem is open in Lending.")
