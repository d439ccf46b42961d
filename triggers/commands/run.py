"""What each command of `python -m triggers` does, once its words are understood."""

from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.errors import EarshotError
from config.reading.drafts import read_drafts
from config.reading.loader import read_catalog
from config.settings import read_settings
from queries.messages import outbox
from queries.messages.restores import mark_restored
from queries.scope import EVERYTHING
from queries.state.calibrations import calibrations, store_calibration
from queries.state.incidents import Incident, incidents
from queries.stores import Installation, open_installation
from queries.warehouse.generations import NoWarehouseError, Pin
from queries.warehouse.load_report import settle
from queries.warehouse.relations import COLUMNS
from triggers.commands import backtest, tune
from triggers.commands import silence as commands_silence
from triggers.commands.arguments import until
from triggers.commands.check import calibrated, watched
from triggers.commands.explain import explain
from triggers.commands.output import echo, print_table
from triggers.commands.route import route_steps
from triggers.commands.rules import HEAD as REGISTER
from triggers.commands.rules import rules_overview
from triggers.incidents.actions import acknowledge, resolve
from triggers.lab.backtest import iso_instant
from triggers.processes.run import Runner
from triggers.processes.watchdog import Watchdog, in_words
from triggers.rule_tests.runner import suite
from triggers.rules.git_author import author
from triggers.rules.live_rules import LiveRules, Rules
from triggers.rules.previous_state import read_previous_state
from triggers.rules.schedule import Moment
from triggers.slack.client import Slack
from triggers.slack.doctor import CheckResult, Doctor, is_sound
from triggers.slack.interaction_handler import InteractionHandler
from triggers.slack.socket_mode import SocketListener, try_socket

HEAD: Final = (
    "id",
    "rule",
    "slice",
    "class",
    "severity",
    "state",
    "opened_at",
    "resolved_at",
    "value",
    "n",
    "acknowledged_by",
    "origin",
)


def check(asked: Namespace) -> None:
    """Check the configuration, and find how sure each rule must be."""
    with open_installation() as here:
        rules = here.catalog.rules
        enabled = sum(rule.enabled for rule in rules)
        echo(f"{len(rules)} rules, {enabled} of them on; no mistakes in {here.settings.config}")
        try:
            with here.warehouse.pin() as pin:
                moment = _moment(pin)
                for line in watched(pin.conn, here.catalog, moment):
                    echo(line)
                if not asked.quick:
                    _calibrate(here, pin, moment, again=asked.again)
        except NoWarehouseError:
            echo("nothing is loaded yet: when slots are due is not known")
        for route in here.catalog.routes:
            if route.channel is None and any(rule.route == route.name and rule.enabled for rule in rules):
                echo(f"route {route.name} has no channel: its messages stay pending")
        if here.settings.slack.token is None:
            echo("no Slack token (EARSHOT_SLACK__TOKEN): messages stay pending")


def _moment(pin: Pin) -> Moment:
    now = datetime.now(UTC)
    return Moment(now, pin.generation.number, now, ZoneInfo(pin.generation.zone), settle(pin.conn))


def _calibrate(here: Installation, pin: Pin, moment: Moment, *, again: bool) -> None:
    """Find how sure each rule must be, say it as it is found, and store it for the rule's version."""
    with here.reading() as conn:
        memory, known = read_previous_state(conn), {} if again else calibrations(conn)
    for found in calibrated(pin.conn, here.catalog, memory, moment, known):
        for line in found.lines:
            echo(line)
        if found.replayed:
            with here.states.begin() as conn:
                store_calibration(conn, found.replayed.calibration)


def run(asked: Namespace) -> int:
    """Evaluate and deliver, for ever or once."""
    if asked.now and not asked.once:
        raise EarshotError("--now replays one moment; add --once")
    with open_installation() as here:
        clock = partial(_fixed, asked.now) if asked.now else partial(datetime.now, UTC)
        wrote = author(here.settings.config)
        runner = Runner(here.settings, here.catalog, here.warehouse, here.states, clock, wrote)
        if not asked.once:
            echo("watching; end with Ctrl-C")
            runner.forever(asked.interval, echo)
            return 0
        report, sent = runner.once()
        echo(str(report) if report else "another process is evaluating; nothing was done")
        echo(str(sent) if sent else f"no Slack token: {_waiting(here)} messages stay pending")
    return 0


def _fixed(at: datetime) -> datetime:
    return at


def _waiting(here: Installation) -> int:
    with here.reading() as conn:
        return len(outbox.unsent(conn))


def list_incidents(asked: Namespace) -> None:
    """Every incident, the newest first."""
    with open_installation() as here, here.reading() as conn:
        found = incidents(conn, EVERYTHING, asked.state)
    print_table([_columns(incident) for incident in found], HEAD, asked.format)


def _columns(of: Incident) -> tuple[Any, ...]:
    over = iso_instant(of.resolved_at) if of.resolved_at else None
    when = (iso_instant(of.opened_at), over)
    return (
        of.id,
        of.rule,
        of.slice,
        of.class_,
        of.severity,
        of.state,
        *when,
        of.value,
        of.n,
        of.acknowledged_by,
        of.origin,
    )


def explain_incident(asked: Namespace) -> None:
    """An incident's figures, then and now."""
    with open_installation() as here, here.reading() as conn, here.warehouse.pin() as pin:
        for line in explain(conn, pin, here.catalog, asked.incident, datetime.now(UTC)):
            echo(line)


def backtest_rules(asked: Namespace) -> None:
    """What rules would have done."""
    with open_installation() as here, here.warehouse.pin() as pin, here.reading() as conn:
        for part in backtest.tested(asked, here.catalog, pin, conn):
            if isinstance(part, str):
                echo(part)
            else:
                print_table(part[1], part[0], asked.format)


def test_rules(asked: Namespace) -> int:
    """Run tests of rules; the catalogue is all they need. Returns 1 where one failed."""
    catalog = read_catalog(read_settings().config, COLUMNS)
    if asked.draft:
        catalog = read_drafts(asked.draft, catalog, COLUMNS).catalog
    passed = []
    for outcome in suite(asked.file, catalog):
        echo(str(outcome))
        passed.append(outcome.passed)
    echo(f"{sum(passed)} of {len(passed)} tests passed")
    return 0 if all(passed) else 1


def list_rules(_: Namespace) -> None:
    """Every rule as it stands."""
    with open_installation() as here, here.reading() as conn:
        found = rules_overview(conn, here.catalog)
    rows = [
        (
            s.rule.name,
            s.rule.kind,
            "yes" if s.rule.enabled else "no",
            s.hash,
            s.author,
            _since(s.since),
            s.open,
            s.older,
        )
        for s in found
    ]
    print_table(rows, REGISTER, "table")
    echo("since: the version's first evaluation; older: open under an older version, until they close")


def _since(at: datetime | None) -> str:
    return iso_instant(at) if at else "not evaluated"


def tune_rule(asked: Namespace) -> None:
    """The settings of a rule that keep a budget."""
    with open_installation() as here, here.warehouse.pin() as pin, here.reading() as conn:
        for part in tune.tuned(asked, here.catalog, pin, conn, datetime.now(UTC)):
            if isinstance(part, str):
                echo(part)
            else:
                print_table(part[1], part[0], "table")


def show_outbox(asked: Namespace) -> None:
    """What is not sent; what Slack refused is tried again where that is asked."""
    with open_installation() as here:
        if asked.revive:
            with here.states.begin() as conn:
                echo(f"{outbox.retry_dead(conn, datetime.now(UTC))} messages that Slack refused are tried again")
        _list_outbox(here)


def _list_outbox(here: Installation) -> None:
    with here.reading() as conn:
        waiting, refused = outbox.unsent(conn), outbox.dead(conn)
    names = ("state", "kind", "incident", "route", "queued", "attempts", "error")
    rows = [
        (m.state, m.kind, m.incident_id, m.target, iso_instant(m.created_at), m.attempts, m.error)
        for m in (*waiting, *refused)
    ]
    print_table(rows, names, "table")
    echo(f"{len(waiting)} to be sent, {len(refused)} refused by Slack")
    if here.settings.slack.token is None:
        echo("no Slack token (EARSHOT_SLACK__TOKEN): nothing is sent")


def note_restored(asked: Namespace) -> None:
    """The state was put back: what may have been sent since is looked for first."""
    now = datetime.now(UTC)
    if asked.since and asked.since > now:
        raise EarshotError("--since is a moment that is gone: when the backup was made")
    with open_installation() as here, here.states.begin() as conn:
        waiting = mark_restored(conn, now, asked.since)
    echo(f"{waiting} messages are looked for in Slack before they are sent, and so is what the next day's ticks queue")


def take_on(asked: Namespace) -> None:
    """Take an incident on."""
    with open_installation() as here, here.states.begin() as conn:
        found = acknowledge(conn, asked.incident, asked.by, EVERYTHING, datetime.now(UTC))
    echo(f"taken on by {found.acknowledged_by}: no further step of its ladder")


def close(asked: Namespace) -> None:
    """Declare an incident over."""
    with open_installation() as here, here.states.begin() as conn:
        resolve(conn, asked.incident, asked.by, asked.note, EVERYTHING, datetime.now(UTC))
    echo("closed; the rule stays quiet there until the figure has recovered")


def hear(_: Namespace) -> None:
    """Hear what is pressed in Slack, for ever."""
    with open_installation() as here:
        token = here.settings.slack.token
        if token is None:
            raise EarshotError("no Slack token; set EARSHOT_SLACK__TOKEN (docs/how-to/send-to-slack.md)")
        slack = Slack(token.get_secret_value(), here.settings.slack.base_url, here.settings.slack.timeout_s)
        answering = InteractionHandler(here.states, slack, here.catalog, _zone(here), partial(datetime.now, UTC))
        listener = SocketListener(here.settings.slack, here.states, answering, echo)
        echo("listening; end with Ctrl-C")
        listener.forever(LiveRules(here.settings, Rules(here.catalog), COLUMNS).current)


def audit(asked: Namespace) -> int:
    """See that nothing is late. Returns 1 where something is wrong."""
    if asked.port is not None and not asked.every:
        raise EarshotError("--port serves figures for as long as the audit runs; add --every")
    with open_installation() as here:
        watchdog = Watchdog(here.settings, here.catalog, here.warehouse, here.states, partial(datetime.now, UTC))
        if asked.every:
            watchdog.forever(asked.every, asked.port, echo)
            return 0
        faults = watchdog.once().faults
        for line in in_words(faults):
            echo(line)
    return 1 if faults else 0


def _zone(here: Installation) -> ZoneInfo:
    """The reporting zone, also before anything is loaded."""
    try:
        with here.warehouse.pin() as pin:
            return ZoneInfo(pin.generation.zone)
    except NoWarehouseError:
        return ZoneInfo(here.settings.zone or "UTC")


def examine(asked: Namespace) -> int:
    """Try what Slack needs. Returns 1 where something is wrong."""
    with open_installation() as here:
        doctor = Doctor(here.settings.slack, here.catalog, try_socket, datetime.now(UTC), asked.channel)
        found = list[CheckResult]()
        for finding in doctor.examine():
            echo(str(finding))
            found.append(finding)
    return 0 if is_sound(found) else 1


def trace_route(asked: Namespace) -> None:
    """Whom a rule's incidents would be told to."""
    with open_installation() as here:
        if asked.rule not in {rule.name for rule in here.catalog.rules}:
            raise EarshotError(f"no rule {asked.rule!r}; config/triggers.toml has those there are")
        for line in route_steps(here.catalog, asked.rule, asked.vertical, _zone(here), asked.at or datetime.now(UTC)):
            echo(line)


def silence(asked: Namespace) -> None:
    """Mute deliveries: preview, add, list or end."""
    now = datetime.now(UTC)
    with open_installation() as here, here.states.begin() as conn:
        if asked.part in ("list", "end"):
            ending = (
                commands_silence.end_silence_command(conn, word, now)
                for word in (getattr(asked, "silence", None),)
                if word
            )
            lines: Iterable[str] = commands_silence.list_silences(conn, now) if asked.part == "list" else ending
        else:
            with _pinned(here) as pin:
                wanted = commands_silence.silence_request(
                    asked, here.catalog, pin, until(getattr(asked, "until", None), now)
                )
            if asked.part == "add":
                lines = commands_silence.start_silence(conn, wanted, asked.reason, asked.by, now)
            else:
                lines = commands_silence.preview_silence(conn, wanted.matchers, now)
        for line in lines:
            echo(line)


@contextmanager
def _pinned(here: Installation) -> Iterator[Pin | None]:
    try:
        with here.warehouse.pin() as pin:
            yield pin
    except NoWarehouseError:
        yield None
