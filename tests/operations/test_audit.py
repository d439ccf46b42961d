"""The watchdog: what it finds, what it serves, whom it calls, and its message of the day."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any, Final
from urllib.request import urlopen
from zoneinfo import ZoneInfo

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, insert, select, update

from config.models import Route, Step
from config.settings import read_settings
from queries.engine import naive
from queries.messages import (
    Canary,
    Matchers,
    Silence,
    block_channel,
    make_rate_limits,
    newest_canary,
    outbox,
    record_heartbeat,
)
from queries.operations.health import Beat, StateHealth, read_health
from queries.state import Incident, counters, open_state, read_incidents, tables
from queries.warehouse import COLUMNS, EVERYTHING, EmbeddedWarehouse
from tests.counterparts.slack import CHANNELS, Slack
from tests.slack.test_card import incident as an_incident
from tests.support.company import catalog, noon, publish, rows_of, rule, warehouse, weeks
from tests.support.installation import GUARD, configure
from triggers import logs
from triggers.incidents import overdue_steps, snapshot
from triggers.incidents.tick import tick
from triggers.processes.audit import ExpectedState, audit, gauges
from triggers.processes.run import Runner
from triggers.processes.watchdog import Watchdog, ping, serve_metrics, turn
from triggers.rules import LiveRules, Rules
from triggers.slack.canary import set_out

ROOT: Final = Path(__file__).parents[2]
# In the past, whenever the tests run: messages go out by the real clock.
NOW: Final = datetime(2026, 6, 1, 9, tzinfo=UTC)
CATALOG: Final = catalog(rule())
TEST_CHANNEL: Final = CHANNELS["random"]


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


WELL: Final = StateHealth(
    at=NOW,
    beats={"triggers": Beat(NOW - minutes(1), "7"), "listener": Beat(NOW, "listening")},
    evaluated_at={"defects": NOW - timedelta(days=3)},
    incidents={},
    unfounded=0,
    messages={"sent": 4},
    oldest_message=None,
    unheard=(),
    to_acknowledge=(),
)
EXPECTED: Final = ExpectedState(CATALOG, NOW - timedelta(hours=5), timedelta(days=2), has_slack=True, hears=True)


def test_where_all_is_well_nothing_is_found() -> None:
    assert audit(WELL, EXPECTED) == ()


def canary(**changes: Any) -> Canary:
    return replace(Canary("i", "m", "sent", NOW - minutes(20), found=False, version=1), **changes)


@pytest.mark.parametrize(
    ("seen", "expected", "says"),
    [
        ({"beats": {}}, {"hears": False}, "triggers has never run; start `python -m triggers run`"),
        (
            {"beats": {**WELL.beats, "triggers": Beat(NOW - minutes(9), "7")}},
            {},
            "no sign of life from triggers for 9 min",
        ),
        ({"beats": {**WELL.beats, "triggers": Beat(NOW, "7; a.toml:3: wrong")}}, {}, "older than the files: a.toml:3"),
        (
            {"beats": {"triggers": Beat(NOW, "7; a.toml:3: bad"), "listener": Beat(NOW, "listening; a.toml:3: bad")}},
            {},
            "older than the files: a.toml:3: bad; fix the file",  # once
        ),
        (
            {"beats": {"triggers": Beat(NOW, "7"), "listener": Beat(NOW, "listening; people.toml:2: bad")}},
            {},
            "older than the files: people.toml:2: bad",
        ),
        ({"beats": {"triggers": Beat(NOW, "7")}}, {}, "listener has never run; start `python -m triggers listen`"),
        ({"evaluated_at": {}}, {}, "rule defects has not been evaluated yet"),
        # every = 7d, so 21 days are three intervals
        (
            {"evaluated_at": {"defects": NOW - timedelta(days=22)}},
            {},
            "rule defects has not been evaluated for 22 days",
        ),
        ({}, {"newest_load": None}, "nothing is loaded"),
        ({}, {"newest_load": NOW - timedelta(days=3)}, "the newest load is 3 days old"),
        ({"unfounded": 1}, {}, "1 firing without an incident"),
        ({"overdue": (NOW - minutes(90),)}, {}, "1 escalation step overdue, the oldest by 1 h 30"),
        ({"unheard": (NOW - minutes(16), NOW)}, {}, "2 Slack interactions unprocessed"),
        ({"refused": 2}, {}, "Slack rejected 2 messages in the last day"),
        (
            {"oldest_message": NOW - minutes(16)},
            {},
            "the oldest message has been waiting for 16 min; see `python -m triggers doctor`",
        ),
        (
            {"oldest_message": NOW - minutes(16)},
            {"has_slack": False},
            "has been waiting for 16 min; set EARSHOT_SLACK__TOKEN",
        ),
        ({}, {"has_canary": True}, "no canary message was queued today"),
        (
            {"canary": canary(queued_at=NOW - timedelta(days=2))},
            {"has_canary": True},
            "no canary message was queued today",
        ),
        ({"canary": canary()}, {"has_canary": True}, "the canary of 2026-06-01 was sent but is not in its channel"),
        ({}, {"has_canary": True, "unread": "missing_scope"}, "the canary's channel cannot be read (missing_scope)"),
    ],
)
def test_each_fault_is_found_alone(seen: dict[str, Any], expected: dict[str, Any], says: str) -> None:
    (fault,) = audit(replace(WELL, **seen), replace(EXPECTED, **expected))
    assert says in str(fault)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"oldest_message": NOW - minutes(14)}, {}),  # not yet late
        ({"canary": canary(queued_at=NOW - minutes(14))}, {"has_canary": True}),  # on its way
        ({"canary": canary(found=True)}, {"has_canary": True}),
        ({"evaluated_at": {"defects": NOW - timedelta(days=20)}}, {}),
        ({"beats": {"triggers": Beat(NOW, "7")}}, {"hears": False}),  # without an app token nobody listens
        ({"messages": {"dead": 3}}, {}),  # refused long ago
    ],
)
def test_what_is_no_fault(seen: dict[str, Any], expected: dict[str, Any]) -> None:
    assert audit(replace(WELL, **seen), replace(EXPECTED, **expected)) == ()


# Steps of ladders. It is Monday, 9:00 UTC and 11:00 in Berlin; the route opened at 9:00 there.

OFFICE: Final = Route(
    name="delivery",
    zone="Europe/Berlin",
    hours=(time(9), time(17)),
    ladder=(Step(), Step(after=(timedelta(hours=4),) * 4, notify="delivery-lead")),
)
OPENING: Final = NOW - timedelta(hours=2)
FRIDAY: Final = NOW - timedelta(days=3)
CHILD: Final = rule(name="child", inhibited_by="defects")


def stepping(**changes: Any) -> Incident:
    """An incident whose second step was due 90 minutes ago, while the route was at work."""
    due: dict[str, Any] = {"ladder": snapshot(OFFICE, 2), "opened_at": FRIDAY, "next_step_at": NOW - minutes(90)}
    return an_incident(**{"rule": "defects", **due, **changes})


def mute(starts_at: datetime, ends_at: datetime) -> Silence:
    return Silence("s", Matchers(rule="defects"), "moving house", "ana", starts_at, ends_at)


@pytest.mark.parametrize(
    ("found", "route", "silence", "since"),
    [
        (stepping(), {}, None, NOW - minutes(90)),
        (stepping(next_step_at=NOW - minutes(14)), {}, None, None),  # the next tick takes it
        (stepping(next_step=2, next_step_at=None), {}, None, None),  # the ladder's end
        (stepping(state="resolved"), {}, None, None),
        # Somebody has it, until their time is over.
        (stepping(acknowledged_at=FRIDAY, acknowledged_by="ana", next_step_at=None), {}, None, None),
        (stepping(acknowledged_at=FRIDAY, acknowledged_by="ana"), {}, None, None),
        (stepping(acknowledged_at=OPENING), {"ack_timeout": timedelta(hours=1)}, None, NOW - minutes(60)),
        # Snoozed: not before it ends, and then soon.
        (stepping(snoozed_until=NOW + minutes(1)), {}, None, None),
        (stepping(snoozed_until=NOW - minutes(14)), {}, None, None),
        (stepping(snoozed_until=NOW - minutes(20)), {}, None, NOW - minutes(20)),
        # Held until business hours: due since Friday night, and late only since Monday's opening.
        (stepping(next_step_at=FRIDAY + timedelta(hours=12)), {}, None, OPENING),
        (stepping(next_step_at=FRIDAY), {"hours": (time(12), time(17))}, None, None),  # not yet at work
        (stepping(next_step_at=FRIDAY), {"hours": (time(10, 50), time(17))}, None, None),  # at work for 10 minutes
        (stepping(next_step_at=FRIDAY), {"holidays": (NOW.date(),)}, None, None),
        (stepping(next_step_at=FRIDAY, severity=1), {"hours": (time(12), time(17))}, None, FRIDAY),  # goes through
        (stepping(next_step_at=FRIDAY + timedelta(hours=12)), {"outside": "drop"}, None, FRIDAY + timedelta(hours=12)),
        # Silenced, or until a moment ago.
        (stepping(), {}, mute(FRIDAY, NOW + minutes(1)), None),
        (stepping(), {}, mute(FRIDAY, NOW - minutes(1)), None),
        (stepping(), {}, mute(FRIDAY, NOW - minutes(16)), NOW - minutes(90)),
        (stepping(), {}, mute(NOW + minutes(1), NOW + minutes(2)), NOW - minutes(90)),
        # Another incident speaks for it, or did a moment ago.
        (stepping(rule="child"), {}, None, None),
        (stepping(rule="child", slice="vertical=Energy"), {}, None, NOW - minutes(90)),
    ],
)
@pytest.mark.parametrize("parent", [{}, {"state": "resolved", "resolved_at": NOW - minutes(1)}])
def test_only_a_step_that_a_tick_would_have_taken_is_overdue(
    found: Incident, route: dict[str, Any], silence: Silence | None, since: datetime | None, parent: dict[str, Any]
) -> None:
    config = catalog(rule(), CHILD, routes=(OFFICE.model_copy(update=route),))
    above = stepping(id="above", next_step_at=None, **parent)
    late = overdue_steps((found, above), (silence,) if silence else (), config, ZoneInfo("UTC"), NOW, minutes(15))
    assert late == ((since,) if since else ())


def test_the_watchdog_asks_the_ladders(tmp_path: Path) -> None:
    """The state of a breach that nobody took on, while no tick came."""
    day, config = date(2025, 12, 22), catalog(rule(), routes=(OFFICE,))
    story = rows_of(weeks(date(2025, 9, 1), (4,) * 10 + (20,) * 6))
    states, settings = open_state(tmp_path), read_settings(configure(tmp_path), None)
    with warehouse(tmp_path, config, story) as made:
        with made.pin() as pin:
            tick(states, pin, config, noon(day))
        seen = {
            hours: Watchdog(settings, config, made, states, lambda: noon(day) + timedelta(hours=hours)).look()  # noqa: B023
            for hours in (4, 20, 22)
        }
    states.dispose()
    # 12:00 and 4 hours is 17:00 in Berlin: nobody is there any more, until 9:00, which is 8:00 UTC
    opening = noon(day) + timedelta(hours=20)
    assert {hours: one.vitals.overdue for hours, one in seen.items()} == {4: (), 20: (), 22: (opening,)}
    assert any("1 escalation step overdue, the oldest by 2 h 0 min" in str(fault) for fault in seen[22].faults)


@pytest.fixture
def states(tmp_path: Path) -> Iterator[Engine]:
    made = open_state(tmp_path)
    yield made
    made.dispose()


def test_vitals_are_read_from_the_state(tmp_path: Path, states: Engine) -> None:
    """A real tick, then what is spoiled by hand is seen."""
    day = date(2025, 12, 22)
    story = rows_of(weeks(date(2025, 9, 1), (4,) * 10 + (20,) * 6))
    with warehouse(tmp_path, CATALOG, story) as made, made.pin() as pin:
        tick(states, pin, CATALOG, noon(day))
    with states.begin() as conn:
        record_heartbeat(conn, "triggers", "1", noon(day))
        seen = read_health(conn, noon(day) + timedelta(hours=1))
        assert (seen.incidents, seen.messages) == ({("open", "customer"): 1}, {"pending": 1})
        assert seen.evaluated_at.keys() == {"defects", "data-fault"}
        assert (seen.unfounded, seen.unheard) == (0, ())
        assert seen.oldest_message == noon(day)
        assert seen.evaluations > 0
        conn.execute(update(tables.instance).values(incident_id="nobody"))
        conn.execute(update(tables.outbox).values(state="dead"))
        spoiled = read_health(conn, noon(day) + timedelta(hours=1))
    assert spoiled.unfounded == 1
    assert (spoiled.refused, spoiled.oldest_message) == (1, None)


def test_a_429_and_a_message_found_again_are_counted(states: Engine) -> None:
    make_rate_limits(states, ("C1",))
    with states.begin() as conn:
        for _ in range(2):
            block_channel(conn, "C1", NOW)
        counters.increment(conn, counters.FOUND, 3)
        assert counters.read_counters(conn) == {"rate_limited": 2, "found_again": 3}


def served(seen: StateHealth, **expected: Any) -> Mapping[str, float]:
    """Every sample by its name with its labels, as Prometheus reads it."""
    faults = audit(seen, replace(EXPECTED, **expected))
    found = {}
    for figure in gauges(seen, faults):
        for labels, value in figure.values.items():
            found["/".join((figure.name, *labels))] = value
    return found


def test_the_figures() -> None:
    seen = replace(
        WELL,
        incidents={("open", "customer"): 2},
        messages={"sent": 4, "pending": 2, "claimed": 1, "dead": 1},
        oldest_message=NOW - minutes(2),
        to_acknowledge=(60.0, 120.0, 600.0),
        counted={"rate_limited": 5, "found_again": 3, "ticks_failed": 1},
        evaluations=9,
    )
    found = served(seen)
    wanted = {
        "earshot_faults": 0,
        "earshot_evaluations": 9,
        "earshot_tick_errors": 1,
        "earshot_evaluation_lag_seconds/defects": 3 * 86_400,
        "earshot_incidents/open/customer": 2,
        "earshot_outbox_depth": 3,
        "earshot_outbox_age_seconds": 120,
        "earshot_duplicates_prevented": 3,
        "earshot_dead_letters": 1,
        "earshot_rate_limited": 5,
        "earshot_heartbeat_age_seconds/triggers": 60,
        "earshot_time_to_ack_seconds/0.5": 120,
        "earshot_time_to_ack_seconds/0.9": 600,
    }
    assert {name: found[name] for name in wanted} == wanted


class Called(ThreadingHTTPServer):
    """Notes who called."""

    paths: list[str]


class _Note(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is http.server's
        """Say nothing."""


@contextmanager
def calls() -> Iterator[tuple[str, list[str]]]:
    """An address, and the paths that were called there."""
    with Called(("127.0.0.1", 0), _Note) as server:
        server.paths = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/alive", server.paths
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def watched(folder: Path, slack: Slack | None, **more: str) -> Iterator[Watchdog]:
    """An installation whose newest load is fresh, whose rules ran, and whose watchdog looks at 9:00."""
    environ = configure(folder, CHANNELS["service-quality"]) | more
    if slack is not None:
        environ |= {"EARSHOT_SLACK__TOKEN": slack.token, "EARSHOT_SLACK__BASE_URL": slack.base_url}
    settings, states = read_settings(environ, None), open_state(folder)
    at = naive(NOW) - timedelta(hours=1)
    story = rows_of(weeks(date(2026, 2, 9), (4,) * 12))
    with warehouse(folder, CATALOG, story) as made:
        _publish(made, at)
        with made.pin() as pin:
            tick(states, pin, CATALOG, NOW - minutes(1))
        with states.begin() as conn:
            record_heartbeat(conn, "triggers", "1", NOW - minutes(1))
        yield Watchdog(settings, CATALOG, made, states, lambda: NOW)
    states.dispose()


def _publish(made: EmbeddedWarehouse, at: datetime) -> None:
    """The story again, loaded at an instant."""
    publish(made, CATALOG, rows_of(weeks(date(2026, 2, 9), (4,) * 12)), now=at)


def test_the_dead_man_address_is_called_only_when_all_is_well(tmp_path: Path) -> None:
    with calls() as (url, paths), watched(tmp_path, None, EARSHOT_WATCH__DEAD_MAN_URL=url) as watchdog:
        assert watchdog.once().faults == ()
        assert paths == ["/alive"]
        with watchdog.states.begin() as conn:
            conn.execute(update(tables.heartbeat).values(at=naive(NOW - minutes(6))))
        assert [str(fault) for fault in watchdog.once().faults] == [
            "no sign of life from triggers for 6 min; start `python -m triggers run`"
        ]
        assert paths == ["/alive"]


def test_a_rule_that_was_removed_meanwhile_is_not_missed(tmp_path: Path) -> None:
    """And while the files are bad it looks by the rules from before."""
    said = list[str]()
    missed = "rule defects has not been evaluated for 22 days"
    with watched(tmp_path, None) as here:
        watchdog = replace(here, clock=lambda: NOW + timedelta(days=22))
        book = LiveRules(watchdog.settings, Rules(CATALOG), COLUMNS, lambda: here.settings)
        for text, is_missed in (("[[rule", True), (GUARD, False)):
            (watchdog.settings.config / "triggers.toml").write_text(text, encoding="utf-8")
            for _ in range(2):  # a file is read once it stopped changing
                said.clear()
                watchdog = turn(watchdog, book, said.append)
            assert any(missed in line for line in said) == is_missed
        assert len(said) == 2  # the process is silent, and the load is old


def test_an_address_that_does_not_answer_is_said_without_its_name(caplog: pytest.LogCaptureFixture) -> None:
    assert not ping("http://127.0.0.1:9/secret")
    assert "calling the dead-man address failed (URLError)" in caplog.text
    assert "secret" not in caplog.text


def test_the_figures_are_served_on_loopback(tmp_path: Path) -> None:
    with watched(tmp_path, None) as watchdog:
        port = _free_port()
        stop = serve_metrics(watchdog.look, port)
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        finally:
            stop()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    named = {(s.name, *s.labels.values()): s.value for s in samples}
    assert named["earshot_faults",] == 0
    assert named["earshot_evaluations_total",] > 0
    assert named["earshot_evaluation_lag_seconds", "defects"] == 60
    assert all(s.name.startswith("earshot_") for s in samples)


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Note) as server:
        return int(server.server_port)


def test_the_canary_goes_out_once_a_day_and_is_found_again(tmp_path: Path, slack: Slack) -> None:
    """By the same outbox as every message; lists and reviews do not hold it."""
    with watched(tmp_path, slack, EARSHOT_WATCH__CANARY_CHANNEL=TEST_CHANNEL) as watchdog:
        assert watchdog.once().faults == ()  # set out, and on its way
        runner = Runner(watchdog.settings, CATALOG, watchdog.warehouse, watchdog.states, lambda: NOW)
        with watchdog.warehouse.pin() as pin:
            runner.deliver(pin)
        assert watchdog.once().vitals.canary == newest(watchdog.states)
        assert newest(watchdog.states).found
        assert not set_out(watchdog.states, NOW.date(), NOW)
        with watchdog.states.connect() as conn:
            assert newest(watchdog.states).incident_id not in {found.id for found in read_incidents(conn, EVERYTHING)}
            assert outbox.unsent(conn) == ()
            assert ("closed", "data") not in read_health(conn, NOW).incidents
        assert set_out(watchdog.states, NOW.date() + timedelta(days=1), NOW)
    (message,) = slack.history("random")
    assert "message of the day" in message["text"]


def test_a_canary_that_somebody_took_out_of_its_channel_is_missed(tmp_path: Path, slack: Slack) -> None:
    with watched(tmp_path, slack, EARSHOT_WATCH__CANARY_CHANNEL=TEST_CHANNEL) as watchdog:
        set_out(watchdog.states, NOW.date(), NOW - minutes(20))
        runner = Runner(watchdog.settings, CATALOG, watchdog.warehouse, watchdog.states, lambda: NOW)
        with watchdog.warehouse.pin() as pin:
            runner.deliver(pin)
        (message,) = slack.history("random")
        slack.client().chat_delete(channel=TEST_CHANNEL, ts=message["ts"])
        (fault,) = watchdog.once().faults
    assert "was sent but is not in its channel" in str(fault)


def newest(states: Engine) -> Canary:
    with states.connect() as conn:
        found = newest_canary(conn)
    assert found is not None
    return found


def test_a_tick_leaves_the_canary_alone(tmp_path: Path, states: Engine) -> None:
    set_out(states, NOW.date(), NOW)
    with warehouse(tmp_path, CATALOG, rows_of(weeks(date(2026, 2, 9), (4,) * 12))) as made, made.pin() as pin:
        tick(states, pin, CATALOG, NOW)
    with states.connect() as conn:
        mine = select(tables.incident.c.state, tables.incident.c.version).where(tables.incident.c.rule == "canary")
        (found,) = conn.execute(mine).all()
    assert tuple(found) == ("closed", 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["audit"], "triggers has never run"),
        (["audit", "--port", "9464"], "--port needs --every"),
    ],
)
def test_the_command_ends_with_1_where_something_is_wrong(tmp_path: Path, words: list[str], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "triggers", *words],
        cwd=ROOT, env={**os.environ, **configure(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize("words", [["audit", "--every", "1m"], ["run", "--interval", "1m"]])
def test_sigterm_ends_a_process_at_once_and_cleanly(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "triggers", *words]
    environ = {**os.environ, **configure(tmp_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _await(tmp_path, process, words[0])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.splitlines()[-1] == "ended"
    assert "Traceback" not in err


def _await(folder: Path, process: subprocess.Popen[str], name: str) -> None:
    """Until the process works: the audit has beaten, the run has made the state and waits for data."""
    for _ in range(300):
        assert process.poll() is None
        if (folder / "state.db").exists() and (name == "run" or _beats(folder)):
            sleep(1.0)
            return
        sleep(0.1)
    raise AssertionError(name)


def _beats(folder: Path) -> bool:
    states = open_state(folder)
    with states.connect() as conn:
        found = conn.execute(select(tables.heartbeat)).first()
    states.dispose()
    return found is not None


@pytest.mark.parametrize(
    ("event", "about", "line"),
    [
        ("sent", {"incident": "i1", "message": "m1"}, "level=info process=run event=sent incident=i1 message=m1"),
        ("not sent: dead", {"code": "is_archived"}, 'event="not sent: dead" code=is_archived'),
        ('a "b"\nc', {"incident": None}, 'event="a \\"b\\"\\nc"'),
    ],
)
def test_log_lines_are_keys_and_values(event: str, about: dict[str, str | None], line: str) -> None:
    record = logging.makeLogRecord(
        {"msg": event, "levelname": "INFO", "created": NOW.timestamp(), **logs.about(**about)}
    )
    said = logs.KeyValue("run").format(record)
    assert said.startswith("at=2026-06-01T09:00:00Z level=info process=run ")
    assert said.endswith(line)
    assert "\n" not in said


def test_deliveries_are_logged_with_their_incident(
    tmp_path: Path, slack: Slack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "triggers")
    with watched(tmp_path, slack, EARSHOT_WATCH__CANARY_CHANNEL=TEST_CHANNEL) as watchdog:
        watchdog.once()
        runner = Runner(watchdog.settings, CATALOG, watchdog.warehouse, watchdog.states, lambda: NOW)
        with watchdog.warehouse.pin() as pin:
            runner.deliver(pin)
        (line,) = [record for record in caplog.records if record.getMessage() == "sent"]
        found = newest(watchdog.states)
    assert vars(line)["about_incident"] == found.incident_id
    assert vars(line)["about_message"] == found.message


def test_an_unfinished_press_is_seen(states: Engine) -> None:
    row = {"id": "e1", "kind": "press", "body": "{}", "state": "pending", "attempts": 0, "received_at": naive(NOW)}
    with states.begin() as conn:
        conn.execute(insert(tables.inbound).values(**row))
        assert read_health(conn, NOW).unheard == (NOW,)
