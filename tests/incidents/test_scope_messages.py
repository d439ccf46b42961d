"""No message holds an account or a cell outside the scope of whoever reads it, whatever routes and people there are."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from config.models import Catalog, EventRule, Person, Route, Rule, Step
from queries.engine import disposing, naive
from queries.messages import DIVERTED, Digest, DueMessage, QueuedMessage, Worst, queue_direct_message
from queries.messages.digests import Group
from queries.state import (
    Escalation,
    HistoryEntry,
    Incident,
    NewAction,
    RuleVersion,
    TickRecord,
    UnknownIncidentError,
    incident_id,
    passing_state,
    read_actions,
    read_incident,
    record_action,
    tables,
    write,
)
from queries.warehouse import EVERYTHING, EmbeddedWarehouse, Pin
from tests.slack.test_card import incident as an_incident
from tests.support.company import catalog, rows_of, rule, warehouse, weeks
from tests.support.states import NewState
from triggers.commands.incidents import close, take_on
from triggers.incidents import channel_reader, due_steps, may_read, reader_scope, snapshot
from triggers.incidents.person_budget import assign_steps
from triggers.messages import Card, CardReader
from triggers.messages.card import incident_message, news_message
from triggers.messages.compose import Composer
from triggers.messages.digest import digest_message, digest_reply
from triggers.messages.direct_messages import DirectMessageWriter, due_direct_messages
from triggers.rules import version_of
from triggers.slack.blocks import SlackMessage, render

VERTICALS: Final = ("Zebras", "Yachts", "Xylophones")
FIRST: Final = date(2026, 3, 2)
NOW: Final = datetime(2026, 6, 1, 9, tzinfo=UTC)
ACCOUNTS: Final = {f"{vertical}-{i}": vertical for vertical in VERTICALS for i in range(4)}
SAMPLE: Final = {
    "since": "2026-04-06", "until": "2026-05-04", "tally": [50, 20, 30, 20, 20], "value": 0.4, "low": 0.3, "high": 0.5,
    "deff": 1.0, "p": 0.001, "alpha": 0.01, "held": 0.25, "bad": 20,
}  # fmt: skip

CASES: Final = EventRule.model_validate(
    {
        "name": "cases", "label": "Severe cases", "kind": "event", "table": "journey", "dated_by": "started_at",
        "severity": 2, "route": "delivery", "owner": "owner", "where": {"defective": True},
    }
)  # fmt: skip
RULES: Final[tuple[Rule, ...]] = (
    rule(owner="owner"),
    rule(name="by-account", label="By account", by=["account_id"], owner="owner"),
    rule(name="by-kind", label="By kind", by=["journey_type"], owner="owner"),
    rule(name="whole", label="Everything", by=[], owner="owner"),
    CASES,
)
OWNER: Final = Person(name="owner", label="Owner", audience="analyst", slack="U000000099")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWarehouse]:
    story = [week for vertical in VERTICALS for week in weeks(FIRST, (8,) * 12, journeys=12, vertical=vertical)]
    with warehouse(tmp_path_factory.mktemp("company"), catalog(rule()), rows_of(story, accounts=4)) as built:
        yield built


@pytest.fixture(scope="module")
def pin(made: EmbeddedWarehouse) -> Iterator[Pin]:
    with made.pin() as held:
        yield held


@dataclass(frozen=True)
class World:
    """A route, the people whom its ladder names, and incidents that are told there."""

    catalog: Catalog
    incidents: tuple[Incident, ...]


some = st.none() | st.lists(st.sampled_from(VERTICALS), max_size=2, unique=True).map(tuple)
accounts = st.none() | st.lists(st.sampled_from(sorted(ACCOUNTS)), max_size=3, unique=True).map(tuple)


@st.composite
def people(draw: st.DrawFn, number: int) -> Person:
    return Person(
        name=f"person-{number}",
        label=f"Person {number}",
        audience=draw(st.sampled_from(("gm", "specialist"))),
        slack=f"U00000000{number}",
        verticals=draw(some),
        accounts=draw(accounts),
        budget=draw(st.none() | st.integers(0, 2)),
    )


@st.composite
def found(draw: st.DrawFn, number: int, route: Route) -> Incident:
    """An incident of any rule, anywhere; it was opened in the week before."""
    of = draw(st.sampled_from(RULES))
    account = draw(st.sampled_from(sorted(ACCOUNTS)))
    place: dict[str, Any] = {
        "defects": {"slice": f"vertical={ACCOUNTS[account]}", "vertical": ACCOUNTS[account]},
        "by-account": {"slice": f"account_id={account}", "vertical": ACCOUNTS[account], "account_id": account},
        "by-kind": {"slice": "journey_type=installation"},
        "whole": {"slice": ""},
        "cases": {"slice": f"journey=made/{account}-{number}", "vertical": ACCOUNTS[account], "account_id": account},
    }[of.name]
    at = NOW - timedelta(days=draw(st.integers(1, 6)), minutes=number)
    body: dict[str, Any] = {
        "id": incident_id(of.name, place["slice"], at.date()), "rule": of.name, "class_": "customer",
        "rule_hash": HASHES[of.name], "severity": draw(st.integers(1, 4)),
        "route": route.name, "ladder": snapshot(route, 2), "vertical": None, "touchpoint": None, "account_id": None,
        "state": "open", "episode": 1, "opened_at": at, "slot": at.date(), "resolved_at": None,
        "acknowledged_at": None, "acknowledged_by": None, "next_step": 1, "next_step_at": NOW - timedelta(hours=12),
        "value": None if of is CASES else 0.4, "n": 1 if of is CASES else 50, "origin": "live", "version": 1,
        "assigned_to": draw(st.none() | st.sampled_from(("person-1", "person-2"))),
    }  # fmt: skip
    return Incident(**{**body, **place})


BASE: Final = catalog(*RULES)
HASHES: Final = {of.name: version_of(BASE, of).hash for of in RULES}


def _catalog(routes: tuple[Route, ...], known: tuple[Person, ...]) -> Catalog:
    return BASE.model_copy(update={"routes": routes, "people": (*known, OWNER)})


@st.composite
def worlds(draw: st.DrawFn) -> World:
    known = (draw(people(1)), draw(people(2)))
    step = Step(after=(timedelta(hours=1),) * 4, notify=draw(st.sampled_from(("gm", "person-1", "person-2"))))
    route = Route(
        name="delivery",
        channel="C000000104",
        ladder=(Step(), step),
        verticals=draw(some),
        show=draw(st.sampled_from(((), ("accounts",)))),
        hours=(time(8), time(17)),
        outside=draw(st.sampled_from(("hold", "digest"))),
    )
    incidents = [draw(found(i, route)) for i in range(draw(st.integers(1, 4)))]
    return World(_catalog((route,), known), tuple({(one.rule, one.slice): one for one in incidents}.values()))


def told_at(pin: Pin, world: World) -> Iterator[tuple[Route | Person, tuple[str, ...], SlackMessage]]:
    """Every message of a world with who reads it, and whom it names."""
    route = world.catalog.routes[0]
    with disposing(passing_state()) as states, states.connect() as conn:
        _record(conn, world)
        cards = CardReader(pin, world.catalog, "https://earshot.example", NOW, "EUR")
        for one in world.incidents:
            card = cards.card(conn, one.id, route)
            yield route, (), render(incident_message(card))
            for entry in card.entries:
                for message in map(render, (news_message(card, entry), digest_reply(card, entry, ()))):
                    yield route, _mentioned(message, world), message
        verticals = reader_scope(route).verticals
        yield route, (), render(digest_message(_digest(world.incidents), world.catalog, "", verticals))
        yield from _letters(conn, pin, world)


def _record(conn: Connection, world: World) -> None:
    """Opened, and then whatever the ladder does; and once more for whoever it was given to."""
    route = world.catalog.routes[0]
    versions = {v.hash: v for v in (version_of(world.catalog, of) for of in RULES)}
    stored = tuple(RuleVersion(v.hash, v.rule.name, v.body, None, NOW) for v in versions.values())
    entries, asked, seq = list[HistoryEntry](), list[Escalation](), dict[str, int]()

    def enter(id_: str, kind: str, reason: str, sample: dict[str, Any] | None = None) -> int:
        seq[id_] = seq.get(id_, 0) + 1
        entries.append(HistoryEntry(id_, seq[id_], NOW, kind, reason, None, 1, sample))
        return seq[id_]

    for one in world.incidents:
        enter(one.id, "opened", "over the limit", None if one.value is None else SAMPLE)
    taken = due_steps(world.incidents, world.catalog, ZoneInfo("UTC"), NOW)
    for done in assign_steps(taken, world.catalog.people, {}):
        number = enter(done.incident.id, done.move.kind, done.move.reason)
        asked += [Escalation(done.incident.id, number, a.person, NOW, a.told) for a in done.asked]
    for one in world.incidents:
        enter(one.id, "lapsed", f"{one.assigned_to} acknowledged it 24 hours ago, and it is still open")
    opened = tuple(replace(one, version=seq[one.id]) for one in world.incidents)
    write(conn, TickRecord(versions=stored, opened=opened, entries=tuple(entries), escalations=tuple(asked)))
    assert route.channel


def _digest(incidents: Sequence[Incident]) -> Digest:
    worst = tuple(
        Worst(i.id, i.rule, i.severity, i.vertical, i.state, i.slice, i.account_id, SAMPLE) for i in incidents
    )
    groups = (Group("defects", 2, len(incidents), len(incidents)),)
    return Digest("d", 2, NOW, len(incidents), len(incidents), 0, 1, groups, worst)


def _letters(
    conn: Connection, pin: Pin, world: World
) -> Iterator[tuple[Route | Person, tuple[str, ...], SlackMessage]]:
    desk = DirectMessageWriter(pin, world.catalog, "EUR", "https://earshot.example", NOW)
    for letter in due_direct_messages(conn, world.catalog, ZoneInfo("UTC"), NOW + timedelta(days=7)):
        queue_direct_message(conn, letter)
        message = desk.words(conn, letter.id)
        assert message is not None
        yield world.catalog.person(letter.person), (), render(message)


def _mentioned(message: SlackMessage, world: World) -> tuple[str, ...]:
    return tuple(p.name for p in world.catalog.people if p.slack and f"<@{p.slack}>" in json.dumps(message.blocks))


def forbidden(reader: Route | Person, named_accounts: bool) -> set[str]:  # noqa: FBT001
    """The words that a reader may not see: verticals and accounts outside the scope."""
    seen = reader_scope(reader)
    verticals = {v for v in VERTICALS if seen.verticals is not None and v not in seen.verticals}
    hidden = {
        account for account, vertical in ACCOUNTS.items()
        if not named_accounts or vertical in verticals or (seen.accounts is not None and account not in seen.accounts)
    }  # fmt: skip
    return verticals | hidden


@settings(max_examples=40, deadline=None)
@given(world=worlds())
def test_nothing_outside_a_readers_scope_is_told(pin: Pin, world: World) -> None:
    """Neither to the channel, nor to whoever is named in one of its threads, nor in a letter."""
    route = world.catalog.routes[0]
    shows = "accounts" in route.show
    for reader, mentioned, message in told_at(pin, world):
        said = message.text + json.dumps(message.blocks, ensure_ascii=False)
        for one in (reader, *(world.catalog.person(name) for name in mentioned)):
            words = forbidden(one, shows if reader is route else True)
            assert not [word for word in sorted(words) if word in said], (one, said)


@settings(max_examples=15, deadline=None)
@given(world=worlds())
def test_what_a_channel_may_not_read_is_said_to_be_there_and_the_owner_is_told(pin: Pin, world: World) -> None:
    """And what it may read is told whole: an empty message would hold nothing forbidden either."""
    route = world.catalog.routes[0]
    with disposing(passing_state()) as states, states.connect() as conn:
        _record(conn, world)
        cards = CardReader(pin, world.catalog, "https://earshot.example", NOW, "EUR")
        outside = [one for one in world.incidents if not may_read(route, one)]
        for one in world.incidents:
            text = render(incident_message(cards.card(conn, one.id, route))).text
            assert ("This channel is not allowed to see" in text) == (one in outside)
            assert one in outside or one.vertical is None or one.vertical in text
        letters = [
            letter
            for letter in due_direct_messages(conn, world.catalog, ZoneInfo("UTC"), NOW)
            if letter.kind == "withheld"
        ]
        if outside:
            assert [letter.person for letter in letters] == ["owner"]
            queue_direct_message(conn, letters[0])
            words = DirectMessageWriter(pin, world.catalog, "EUR", "", NOW).words(conn, letters[0].id)
            assert words is not None
            said = json.dumps(render(words).blocks)
            assert all(f"{one.rule} ({one.id}): not sent to route delivery" in said for one in outside)


def test_the_owner_is_told_once_a_day_and_only_of_what_is_new(pin: Pin, new_state: NewState) -> None:
    route = Route(name="delivery", channel="C000000104", verticals=("Zebras",))
    of = _catalog((route,), ())
    with new_state().connect() as conn:
        world = World(of, (_incident(of, "Yachts", NOW - timedelta(hours=1)),))
        _record(conn, world)
        (letter,) = due_direct_messages(conn, of, ZoneInfo("UTC"), NOW)
        queue_direct_message(conn, letter)
        assert due_direct_messages(conn, of, ZoneInfo("UTC"), NOW + timedelta(hours=1)) == ()
        row = _row(_incident(of, "Xylophones", NOW + timedelta(days=1)))
        conn.execute(insert(tables.incident).values(**row))
        (again,) = due_direct_messages(conn, of, ZoneInfo("UTC"), NOW + timedelta(days=1, hours=1))
    assert again.id != letter.id


def _incident(of: Catalog, vertical: str, at: datetime) -> Incident:
    return Incident(
        id=incident_id("defects", vertical, at.date()), rule="defects", rule_hash=version_of(of, RULES[0]).hash,
        slice=f"vertical={vertical}", class_="customer", severity=2, route="delivery", ladder=snapshot(of.routes[0], 2),
        vertical=vertical, touchpoint=None, account_id=None, state="open", episode=1, opened_at=at, slot=at.date(),
        resolved_at=None, acknowledged_at=None, acknowledged_by=None, next_step=1, next_step_at=None, value=0.4, n=50,
        origin="live", version=1,
    )  # fmt: skip


def _row(of: Incident) -> dict[str, Any]:
    columns = {c.name for c in tables.incident.c}
    found_ = {("class" if name == "class_" else name): getattr(of, name) for name in of.__dataclass_fields__}
    return {n: naive(v) if isinstance(v, datetime) else v for n, v in found_.items() if n in columns}


@pytest.mark.parametrize(
    ("show", "slice_", "says"),
    [
        (("accounts",), "account_id=Zebras-1", "Zebras-1"),
        ((), "account_id=Zebras-1", "Zebras"),
    ],
)
def test_a_route_that_may_not_name_accounts_names_none(show: tuple[str, ...], slice_: str, says: str) -> None:
    route = Route(name="delivery", channel="C000000104", show=show)
    of = _catalog((route,), ())
    found_ = replace(_incident(of, "Zebras", NOW), rule="by-account", slice=slice_, account_id="Zebras-1")
    entry = HistoryEntry(found_.id, 1, NOW, "opened", "over the limit", None, 1, SAMPLE)
    card = Card(found_, (entry,), RULES[1], None, route, None, ZoneInfo("UTC"), "")
    said = json.dumps(render(incident_message(card)).blocks)
    assert says in said
    assert ("Zebras-1" in said) == bool(show)


def test_nobody_is_named_to_whom_an_incident_may_not_be_told() -> None:
    """In a channel that may read of it, a person who may not is not called into the thread."""
    route = Route(name="delivery", channel="C000000104")
    ana = Person(name="ana", label="Ana", audience="specialist", slack="U000000100", verticals=("Yachts",))
    of = _catalog((route,), (ana,))
    found_ = replace(_incident(of, "Zebras", NOW), assigned_to="ana")
    entry = HistoryEntry(found_.id, 2, NOW, "lapsed", "ana acknowledged it 24 hours ago, and it is still open")
    card = Card(found_, (entry,), RULES[0], None, route, None, ZoneInfo("UTC"), "", of.people)
    assert "U000000100" not in json.dumps(render(news_message(card, entry)).blocks)
    allowed = replace(card, people=(ana.model_copy(update={"verticals": None}),))
    assert "<@U000000100>" in json.dumps(render(news_message(allowed, entry)).blocks)


def test_whoever_has_no_room_is_not_named_beside_one_who_has() -> None:
    route = Route(name="delivery", channel="C000000104", ladder=(Step(), Step(notify="gm")))
    two = tuple(Person(name=f"gm-{i}", label=f"GM {i}", audience="gm", slack=f"U00000010{i}") for i in (1, 2))
    of = _catalog((route,), two)
    found_ = _incident(of, "Zebras", NOW)
    entry = HistoryEntry(
        found_.id, 2, NOW, "escalated", "to the general manager: nobody acknowledged it within 24 hours"
    )
    card = Card(found_, (entry,), RULES[0], None, route, None, ZoneInfo("UTC"), "", of.people, frozenset({(2, "gm-1")}))
    said = json.dumps(render(news_message(card, entry)).blocks)
    assert "U000000102" in said
    assert "U000000101" not in said


def test_steps_told_together_name_only_what_everybody_there_may_read() -> None:
    """The worst one's message names the others by their rule, and by their slice where that is in scope."""
    hours, ladder = (time(8), time(17)), (Step(), Step(after=(timedelta(hours=1),) * 4, notify="ana"))
    route = Route(
        name="delivery",
        channel="C000000104",
        verticals=("Zebras", "Yachts"),
        hours=hours,
        outside="digest",
        ladder=ladder,
    )
    ana = Person(name="ana", label="Ana", audience="specialist", verticals=("Zebras", "Xylophones"))
    of = _catalog((route,), (ana,))
    late: dict[str, Any] = {"next_step_at": NOW - timedelta(hours=12), "ladder": snapshot(route, 2)}
    three = [replace(_incident(of, vertical, NOW - timedelta(days=1)), **late) for vertical in VERTICALS]
    zebras = replace(three[0], severity=2)
    others = [replace(one, severity=3) for one in three[1:]]
    another = replace(others[0], id="another", slice="vertical=Zebras|journey_type=repair", vertical="Zebras")
    ((_, told), *_) = due_steps((zebras, *others, another), of, ZoneInfo("UTC"), NOW)
    assert "together with 3 others" in told.reason
    assert "Journeys with a defect (Zebras, repair)" in told.reason
    assert "Yachts" not in told.reason
    assert "Xylophones" not in told.reason


@st.composite
def others(draw: st.DrawFn) -> Route:
    """Another route: a fallback with a channel of its own, or one that leads to the same channel."""
    channel = draw(st.sampled_from(("C000000104", "C000000105")))
    return Route(name="other", channel=channel, verticals=draw(some), show=draw(st.sampled_from(((), ("accounts",)))))


@settings(max_examples=30, deadline=None)
@given(world=worlds(), other=others(), is_known=st.booleans())
def test_a_channel_is_told_what_all_of_its_routes_may_be_told(
    pin: Pin, world: World, other: Route, *, is_known: bool
) -> None:
    """Also where a fallback gets what another channel refused, and where its route is gone from the configuration."""
    route = world.catalog.routes[0]
    told = world.catalog.model_copy(update={"routes": (route, other) if is_known else (other,)})
    with disposing(passing_state()) as states, states.connect() as conn:
        _record(conn, world)
        composer = Composer(CardReader(pin, told, "https://earshot.example", NOW, "EUR"), told)
        for one in world.incidents:
            for target, channel, step in (("delivery", "C000000104", 0), ("other", other.channel, DIVERTED)):
                message = QueuedMessage(
                    "m", one.id, 1, "root", step, target, None, "pending", 1, 0, NOW, NOW, "is_archived"
                )
                words = composer.prepare(conn, DueMessage(message, channel or "")).words
                assert words is not None
                shown = render(words)
                said = shown.text + json.dumps(shown.blocks, ensure_ascii=False)
                leading = [r for r in told.routes if r.channel == channel or r.name == target]
                for reader in leading:
                    for word in forbidden(reader, "accounts" in reader.show):
                        assert word not in said, (target, reader, said)
                if not leading:
                    assert "This channel is not allowed to see" in said


def test_a_channel_with_one_route_reads_as_that_route() -> None:
    alone = Route(name="delivery", channel="C000000104", verticals=("Zebras",), show=())
    apart = Route(name="other", channel="C000000105")
    config = BASE.model_copy(update={"routes": (alone, apart)})
    assert channel_reader(config, "delivery", "C000000104") == alone
    assert channel_reader(config, "other", "C000000105") == apart


@settings(max_examples=30, deadline=None)
@given(world=worlds())
def test_an_action_is_read_by_whoever_may_read_its_incident(world: World) -> None:
    """It says what its incident is about: its text may name the account, whatever vertical it is in."""
    with disposing(passing_state()) as states, states.begin() as conn:
        _record(conn, world)
        for one in world.incidents:
            new = NewAction(f"answer {one.id}", "owner", NOW.date(), incident_id=one.id, vertical=one.vertical)
            record_action(conn, new, "owner", NOW)
        readers: tuple[Person | Route, ...] = (*world.catalog.people, *world.catalog.routes)
        for reader in readers:
            read = {action.incident_id for action in read_actions(conn, reader_scope(reader))}
            assert read == {one.id for one in world.incidents if may_read(reader, one)}


@pytest.mark.parametrize("act", [take_on, close], ids=lambda act: str(act.__name__))
@pytest.mark.parametrize("by", ["ana", "ben", "root"])
def test_who_acts_on_the_command_line_acts_within_their_scope(
    act: Callable[[Namespace], None], by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same rule as in Slack and on the page; a login that nobody configured keeps the machine."""
    people = (
        Person(name="ana", label="Ana", audience="gm", verticals=("Zebras",)),
        Person(name="ben", label="Ben", audience="gm", verticals=("Yachts",)),
    )
    config = _catalog((Route(name="delivery", channel="C000000104"),), people)
    zebras = an_incident(slice_="vertical=Zebras", vertical="Zebras")
    with disposing(passing_state()) as states:
        with states.begin() as conn:
            write(conn, TickRecord(opened=(zebras,), entries=(HistoryEntry(zebras.id, 1, NOW, "opened", "over"),)))
        site = nullcontext(SimpleNamespace(states=states, catalog=config))
        monkeypatch.setattr("triggers.commands.incidents.open_installation", lambda: site)
        asked = Namespace(incident=zebras.id, by=by, note="done")
        if by == "ben":
            with pytest.raises(UnknownIncidentError):
                act(asked)
        else:
            act(asked)
        with states.connect() as conn:
            after = read_incident(conn, zebras.id, EVERYTHING)
        assert (after.version == 1) == (by == "ben")
