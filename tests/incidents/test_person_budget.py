"""The attention budget: so many steps a week name a person; the rest is ranked in a digest that arrives on Monday."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from config.models import Catalog, Person, Route, Step
from config.settings import read_settings
from queries.messages import direct_messages, outbox
from queries.metrics import UnratedRevenueError, revenue_of
from queries.state import (
    BEYOND,
    TOLD,
    WITHHELD,
    HistoryEntry,
    Incident,
    RacedError,
    RuleTally,
    Verdict,
    entries,
    open_state,
    read_escalations,
    read_incidents,
    spent,
    vote,
)
from queries.warehouse import EVERYTHING, EmbeddedWarehouse, Scope, tables
from tests.counterparts.slack import CHANNELS, USERS, Slack
from tests.support.company import LOADED, catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.installation import configure
from triggers.incidents.escalation import EscalationStep
from triggers.incidents.person_budget import Requested, assign_steps, monday
from triggers.incidents.tick import tick
from triggers.messages.direct_messages import DirectMessageWriter, Ranked, due_direct_messages, noisiest, rank
from triggers.processes.run import Runner
from triggers.slack.blocks import render

UTC_ZONE: Final = ZoneInfo("UTC")
NOW: Final = datetime(2026, 1, 7, 12, tzinfo=UTC)
FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (30,) * 8
OPENS: Final = date(2025, 12, 29)
NORTH: Final = Person(name="gm-north", label="GM North", audience="gm", verticals=("North",), budget=2)
ANA: Final = Person(name="ana", label="Ana", audience="specialist", budget=1, slack=USERS["ana"].ljust(9, "0"))
BEN: Final = Person(name="ben", label="Ben", audience="specialist")


def incident(id_: str, severity: int = 2, vertical: str | None = "North", minutes: int = 0, **more: Any) -> Incident:
    body: dict[str, Any] = {
        "id": id_, "rule": "defects", "rule_hash": "h", "slice": f"vertical={vertical}" if vertical else "",
        "class_": "customer", "severity": severity, "route": "delivery", "ladder": "[]", "vertical": vertical,
        "touchpoint": None, "account_id": None, "state": "open", "episode": 1,
        "opened_at": NOW + timedelta(minutes=minutes), "slot": NOW.date(), "resolved_at": None, "acknowledged_at": None,
        "acknowledged_by": None, "next_step": 1, "next_step_at": NOW, "value": 0.4, "n": 10, "origin": "live",
        "version": 1,
    }  # fmt: skip
    return Incident(**{**body, **more})


def step(to: str, kind: str = "escalated") -> EscalationStep:
    return EscalationStep(
        kind, f"to {to}: nobody acknowledged it within 24 hours", {"next_step": 2, "next_step_at": None}, to=to
    )


GOES: Final = ("escalated", [("ana", TOLD)])
WAITS: Final = ("deferred", [("ana", BEYOND)])


@pytest.mark.parametrize(
    ("moves", "used", "wanted"),
    [
        # one step, and room for it
        ([(incident("a"), step("ana"))], {}, [("escalated", [("ana", TOLD)])]),
        # nothing left
        ([(incident("a"), step("ana"))], {"ana": 1}, [("deferred", [("ana", BEYOND)])]),
        # severity 1 goes through, and does not count
        ([(incident("a", 1), step("ana")), (incident("b"), step("ana"))], {}, [("escalated", []), GOES]),
        ([(incident("a", 1), step("ana"))], {"ana": 9}, [("escalated", [])]),
        # the worse one first, whatever the order
        ([(incident("a", 3), step("ana")), (incident("b", 2), step("ana"))], {}, [WAITS, GOES]),
        # equally bad: the older one
        ([(incident("a", minutes=5), step("ana")), (incident("b"), step("ana"))], {}, [WAITS, GOES]),
        # without a budget there is no limit
        ([(incident("a"), step("ben"))], {"ben": 99}, [("escalated", [("ben", TOLD)])]),
        # a manager's own budget; another vertical's manager is not asked
        ([(incident("a"), step("gm"))], {"gm-north": 1}, [("escalated", [("gm-north", TOLD)])]),
        ([(incident("a"), step("gm"))], {"gm-north": 2}, [("deferred", [("gm-north", BEYOND)])]),
        # the channel is nobody's attention; neither is a snooze that is over
        ([(incident("a"), step("channel"))], {}, [("escalated", [])]),
        ([(incident("a"), step("", "woken"))], {}, [("woken", [])]),
        # whoever may not read of it is not named, and that is no use of the budget
        ([(incident("a", vertical="South"), step("gm-north"))], {}, [("skipped", [("gm-north", WITHHELD)])]),
        # what was to be told with a step that is put off is put off with it
        (
            [(incident("a"), step("ana")), (incident("b", 3), step("ana", "digested"))],
            {"ana": 1},
            [("deferred", [("ana", BEYOND)]), ("deferred", [("ana", BEYOND)])],
        ),
    ],
)  # fmt: skip
def test_who_is_named(
    moves: list[tuple[Incident, EscalationStep]], used: dict[str, int], wanted: list[tuple[str, list[tuple[str, int]]]]
) -> None:
    decided = assign_steps(moves, (NORTH, ANA, BEN), used)
    assert [one.incident.id for one in decided] == [one.id for one, _ in moves]
    assert [(one.move.kind, [(a.person, a.told) for a in one.asked]) for one in decided] == wanted
    assert all(one.move.changes == move.changes for one, (_, move) in zip(decided, moves, strict=True))


def test_of_several_managers_only_those_with_room_are_named() -> None:
    other = NORTH.model_copy(update={"name": "gm-2", "budget": None})
    (one,) = assign_steps([(incident("a"), step("gm"))], (NORTH, other), {"gm-north": 2})
    assert (one.move.kind, one.asked) == ("escalated", (Requested("gm-north", BEYOND), Requested("gm-2", TOLD)))


def test_a_step_that_is_put_off_says_why() -> None:
    (one,) = assign_steps([(incident("a"), step("ana"))], (ANA,), {"ana": 1})
    assert one.move.reason == "in the weekly digest to Ana: the weekly budget is used up"


@pytest.mark.parametrize(
    ("now", "zone", "began"),
    [
        ("2026-01-07T12:00+00:00", "UTC", "2026-01-05T00:00+00:00"),
        ("2026-01-05T00:00+00:00", "UTC", "2026-01-05T00:00+00:00"),
        # Sunday evening in New York is Monday in UTC
        ("2026-01-05T02:00+00:00", "America/New_York", "2025-12-29T00:00-05:00"),
        # the week in which summer time begins
        ("2026-03-29T12:00+00:00", "Europe/Zurich", "2026-03-23T00:00+01:00"),
        ("2026-03-31T12:00+00:00", "Europe/Zurich", "2026-03-30T00:00+02:00"),
        # across the year
        ("2026-01-01T12:00+00:00", "Asia/Kolkata", "2025-12-29T00:00+05:30"),
    ],
)
def test_when_a_week_began(now: str, zone: str, began: str) -> None:
    assert monday(datetime.fromisoformat(now), ZoneInfo(zone)) == datetime.fromisoformat(began)


def test_ranked_by_revenue_then_by_severity_and_n() -> None:
    found = [
        Ranked(incident("small", 3, n=5)),
        Ranked(incident("big", 3, n=50)),
        Ranked(incident("bad", 2)),
        Ranked(incident("poor", 4), 100.0),
        Ranked(incident("rich", 4), 5000.0),
    ]
    assert [one.incident.id for one in rank(found)] == ["rich", "poor", "bad", "big", "small"]


def test_the_noisiest_first_and_what_is_answered_not_at_all() -> None:
    counted = (RuleTally("calm", 3, 0), RuleTally("loud", 9, 9), RuleTally("false", 2, 0), RuleTally("some", 4, 1))
    found = noisiest(counted, (Verdict("false", 0, 2), Verdict("calm", 3, 0)))
    assert [one.rule for one in found] == ["false", "loud", "some"]


# The story: three verticals breach at once, each asks for Ana a day later, and she has room for one.

ROUTE: Final = Route(
    name="delivery",
    label="Keepers of promises",
    channel=CHANNELS["service-quality"],
    ladder=(Step(), Step(after=(timedelta(days=1),) * 4, notify="ana")),
)
OWNER: Final = Person(name="delivery-lead", label="Lead", audience="analyst", slack="U000000101")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWarehouse]:
    story = [week for name in ("North", "South", "West") for week in weeks(FIRST, STORY, vertical=name)]
    with warehouse(tmp_path_factory.mktemp("company"), config(), rows_of(story)) as made:
        yield made


def config(**person: Any) -> Catalog:
    ana = Person(name="ana", label="Ana", audience="specialist", budget=1, slack="U000000100")
    found = catalog(rule(), routes=(ROUTE,))
    return found.model_copy(update={"people": (ana.model_copy(update=person), OWNER)})


@pytest.fixture
def states(tmp_path: Path) -> Iterator[Engine]:
    made = open_state(tmp_path)
    yield made
    made.dispose()


def ticked(states: Engine, company: EmbeddedWarehouse, of: Catalog, *days: date) -> None:
    for day in days:
        with company.pin() as pin:
            tick(states, pin, of, noon(day))


def history(states: Engine) -> dict[str, list[HistoryEntry]]:
    with states.connect() as conn:
        return {i.slice: list(entries(conn, i.id)) for i in read_incidents(conn, EVERYTHING) if i.rule == "defects"}


STEP_DAY: Final = OPENS + timedelta(days=1)


def test_of_three_steps_one_is_told_and_two_wait(states: Engine, company: EmbeddedWarehouse) -> None:
    ticked(states, company, config(), OPENS - timedelta(weeks=1), OPENS, STEP_DAY)
    kinds = sorted(entry.kind for found in history(states).values() for entry in found)
    assert kinds == ["deferred", "deferred", "escalated", "opened", "opened", "opened"]
    with states.connect() as conn:
        assert spent(conn, monday(noon(STEP_DAY), UTC_ZONE)) == {"ana": 1}
        assert len(read_escalations(conn, BEYOND, noon(STEP_DAY), noon(STEP_DAY) + timedelta(days=1))) == 2
        replies = [message for message in outbox.unsent(conn) if message.kind == "reply"]
    assert len(replies) == 1


def test_a_budget_is_for_one_week(states: Engine, company: EmbeddedWarehouse) -> None:
    ticked(states, company, config(budget=None), OPENS - timedelta(weeks=1), OPENS, STEP_DAY)
    with states.connect() as conn:
        assert spent(conn, monday(noon(STEP_DAY), UTC_ZONE)) == {"ana": 3}
        assert spent(conn, monday(noon(STEP_DAY) + timedelta(weeks=1), UTC_ZONE)) == {}


@pytest.mark.parametrize(
    ("at", "kinds"),
    [
        ("2026-01-04T23:00+00:00", []),  # the week is not over
        ("2026-01-05T07:59+00:00", []),  # nobody reads yet
        ("2026-01-05T08:00+00:00", ["noisy", "overflow"]),
        ("2026-01-09T12:00+00:00", ["noisy", "overflow"]),  # later, where nothing ran on Monday
        ("2026-01-12T12:00+00:00", []),  # of the week after there is nothing to say
    ],
)
def test_when_letters_are_due(states: Engine, company: EmbeddedWarehouse, at: str, kinds: list[str]) -> None:
    ticked(states, company, config(), OPENS - timedelta(weeks=1), OPENS, STEP_DAY)
    with states.connect() as conn:
        found = due_direct_messages(conn, config(), UTC_ZONE, datetime.fromisoformat(at))
    assert sorted(letter.kind for letter in found) == kinds


def test_a_letter_is_written_once(states: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one = direct_messages.new_direct_message("overflow", "ana", "2025-12-22", NOW)
    with states.begin() as conn:
        assert direct_messages.queue_direct_message(conn, one)
        assert not direct_messages.queue_direct_message(conn, replace(one, at=NOW + timedelta(hours=1)))
        assert [(m.target, m.incident_id) for m in outbox.unsent(conn)] == [("@ana", one.id)]
        assert direct_messages.addressees(conn) == {"ana"}
    # As another process sees it that was quicker to look.
    monkeypatch.setattr(direct_messages, "read_direct_message", lambda *_: None)
    with pytest.raises(RacedError), states.begin() as conn:
        direct_messages.queue_direct_message(conn, one)


def test_the_letters_arrive_as_direct_messages(
    tmp_path: Path, states: Engine, company: EmbeddedWarehouse, slack: Slack
) -> None:
    """Ana gets what was beyond her budget, the rule's owner what nobody answered. A second run sends nothing more."""
    environ = configure(tmp_path / "settings", CHANNELS["service-quality"])
    environ |= {"EARSHOT_SLACK__TOKEN": slack.token, "EARSHOT_SLACK__BASE_URL": slack.base_url}
    settings = read_settings(environ, None)
    ticked(states, company, config(), OPENS - timedelta(weeks=1), OPENS, STEP_DAY)
    with states.begin() as conn:
        (some, *_) = read_incidents(conn, EVERYTHING)
        vote(conn, some.id, "ben", noon(STEP_DAY), useful=False)
    for _ in range(2):
        monday_noon = noon(date(2026, 1, 5))
        runner = Runner(settings, config(), company, states, lambda at=monday_noon: at)  # type: ignore[misc]
        runner.once()
    ana, lead = direct(slack, "U000000100"), direct(slack, "U000000101")
    assert len(ana) == len(lead) == 1
    assert ana[0]["text"].startswith("2 incidents beyond your weekly budget, 29 December 2025 to 4 January 2026.")
    assert "Journeys with a defect, " in json.dumps(ana[0]["blocks"])
    said = json.dumps(lead[0]["blocks"])
    assert "3 incidents, 3 of them never acknowledged, 1 rated as noise" in said
    with states.connect() as conn:
        assert direct_messages.addressees(conn) == frozenset()


def test_without_a_rate_a_letter_says_so_and_lists_all_the_same(
    states: Engine, company: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> dict[str, float]:
        raise UnratedRevenueError("revenue in USD for 2025-12 has no rate")

    monkeypatch.setattr("triggers.messages.direct_messages.revenue_of", refuse)
    ticked(states, company, config(), OPENS - timedelta(weeks=1), OPENS, STEP_DAY)
    letter = direct_messages.new_direct_message("overflow", "ana", "2025-12-29", noon(date(2026, 1, 5)))
    with states.begin() as conn, company.pin() as pin:
        direct_messages.queue_direct_message(conn, letter)
        writer = DirectMessageWriter(pin, config(), "EUR", "https://earshot.example", noon(date(2026, 1, 5)))
        message = writer.words(conn, letter.id)
    assert message is not None
    said = json.dumps(render(message).blocks)
    assert said.count("Journeys with a defect, ") == 2
    assert "Ranked without revenue: revenue in USD for 2025-12 has no rate." in said


def direct(slack: Slack, member: str) -> list[dict[str, Any]]:
    """The bot's direct messages to somebody."""
    client = slack.client()
    channel = client.conversations_open(users=member)["channel"]["id"]
    found: list[dict[str, Any]] = client.conversations_history(channel=channel)["messages"]
    return found


def test_without_a_member_id_a_digest_waits(
    tmp_path: Path, states: Engine, company: EmbeddedWarehouse, slack: Slack
) -> None:
    """Nothing is dropped for want of configuration."""
    environ = configure(tmp_path / "settings", CHANNELS["service-quality"])
    environ |= {"EARSHOT_SLACK__TOKEN": slack.token, "EARSHOT_SLACK__BASE_URL": slack.base_url}
    of = config(slack=None)
    ticked(states, company, of, OPENS - timedelta(weeks=1), OPENS, STEP_DAY)
    Runner(read_settings(environ, None), of, company, states, lambda: noon(date(2026, 1, 5))).once()
    with states.connect() as conn:
        assert [message.target for message in outbox.unsent(conn)] == ["@ana"]


DAYS: Final = ((5, 6), (5, 31), (6, 1))


def test_revenue_of_accounts(tmp_path: Path) -> None:
    """Of the last twelve months, in the installation's currency, in scope, and only of those asked for."""
    rows = rows_of(weeks(FIRST, (1,), journeys=3, vertical="North"), accounts=3)
    given = [
        ("North-0", date(2026, 5, 1), 100.0),
        ("North-0", date(2026, 6, 1), 50.0),
        ("North-0", date(2024, 1, 1), 9.0),
    ]
    money = [_revenue(*one) for one in (*given, ("North-1", date(2026, 6, 1), 70.0))]
    asked = ("North-0", "North-2")
    with warehouse(tmp_path, config(), {**rows, tables.revenue: money}) as made, made.pin() as pin:
        as_of = datetime(2026, 12, 2, tzinfo=UTC)
        assert revenue_of(pin.conn, asked, "EUR", EVERYTHING, as_of) == {"North-0": 150.0}
        assert revenue_of(pin.conn, asked, "EUR", Scope("gm", frozenset({"South"})), as_of) == {}
        # Twelve whole months: on the sixth of May those from the May before.
        by_may = {day: revenue_of(pin.conn, asked, "EUR", EVERYTHING, datetime(2027, *day, tzinfo=UTC)) for day in DAYS}
        assert by_may == {(5, 6): {"North-0": 150.0}, (5, 31): {"North-0": 150.0}, (6, 1): {"North-0": 50.0}}
        assert revenue_of(pin.conn, (), "EUR", EVERYTHING, as_of) == {}


def _revenue(account: str, month: date, amount: float) -> dict[str, Any]:
    return {
        "source": "made", "account_id": account, "month": month, "amount": amount, "currency": "EUR",
        "first_loaded_at": LOADED, "loaded_at": LOADED,
    }  # fmt: skip
