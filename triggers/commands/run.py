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
from queries.warehouse.generations import NoWarehouseError, Pin
from queries.warehouse.load_report import settle
from queries.warehouse.relations import COLUMNS
from triggers.commands import backtest, tune
from triggers.commands import silence as commands_silence
from triggers.commands.arguments import until
from triggers.commands.check import calibrated, watched
from triggers.commands.explain import explain
from triggers.commands.installation import Installation, installation
from triggers.commands.output import say, show
from triggers.commands.route import told
from triggers.commands.rules import HEAD as REGISTER
from triggers.commands.rules import register
from triggers.incidents.actions import acknowledge, resolve
from triggers.lab.backtest import instant
from triggers.processes.run import Runner
from triggers.processes.watchdog import Watchdog, in_words
from triggers.rule_tests.runner import suite
from triggers.rules.git_author import author
from triggers.rules.live_rules import Rulebook, Rules
from triggers.rules.previous_state import read_memory
from triggers.rules.schedule import Moment
from triggers.slack.client import Slack
from triggers.slack.doctor import Doctor, Finding, is_sound
from triggers.slack.interaction_handler import Answering
from triggers.slack.socket_mode import Listener, try_socket

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
    with installation() as here:
        rules = here.catalog.rules
        enabled = sum(rule.enabled for rule in rules)
        say(f"{len(rules)} rules, {enabled} of them on; no mistakes in {here.settings.config}")
        try:
            with here.warehouse.pin() as pin:
                moment = _moment(pin)
                for line in watched(pin.conn, here.catalog, moment):
                    say(line)
                if not asked.quick:
                    _calibrate(here, pin, moment, again=asked.again)
        except NoWarehouseError:
            say("nothing is loaded yet: when slots are due is not known")
        for route in here.catalog.routes:
            if route.channel is None and any(rule.route == route.name and rule.enabled for rule in rules):
                say(f"route {route.name} has no channel: its messages stay pending")
        if here.settings.slack.token is None:
            say("no Slack token (EARSHOT_SLACK__TOKEN): messages stay pending")


def _moment(pin: Pin) -> Moment:
    now = datetime.now(UTC)
    return Moment(now, pin.generation.number, now, ZoneInfo(pin.generation.zone), settle(pin.conn))


def _calibrate(here: Installation, pin: Pin, moment: Moment, *, again: bool) -> None:
    """Find how sure each rule must be, say it as it is found, and store it for the rule's version."""
    with here.reading() as conn:
        memory, known = read_memory(conn), {} if again else calibrations(conn)
    for found in calibrated(pin.conn, here.catalog, memory, moment, known):
        for line in found.lines:
            say(line)
        if found.replayed:
            with here.states.begin() as conn:
                store_calibration(conn, found.replayed.calibration)


def run(asked: Namespace) -> int:
    """Evaluate and deliver, for ever or once."""
    if asked.now and not asked.once:
        raise EarshotError("--now replays one moment; add --once")
    with installation() as here:
        clock = partial(_fixed, asked.now) if asked.now else partial(datetime.now, UTC)
        wrote = author(here.settings.config)
        runner = Runner(here.settings, here.catalog, here.warehouse, here.states, clock, wrote)
        if not asked.once:
            say("watching; end with Ctrl-C")
            runner.forever(asked.interval, say)
            return 0
        report, sent = runner.once()
        say(str(report) if report else "another process is evaluating; nothing was done")
        say(str(sent) if sent else f"no Slack token: {_waiting(here)} messages stay pending")
    return 0


def _fixed(at: datetime) -> datetime:
    return at


def _waiting(here: Installation) -> int:
    with here.reading() as conn:
        return len(outbox.owed(conn))


def list_incidents(asked: Namespace) -> None:
    """Every incident, the newest first."""
    with installation() as here, here.reading() as conn:
        found = incidents(conn, EVERYTHING, asked.state)
    show([_columns(incident) for incident in found], HEAD, asked.format)


def _columns(of: Incident) -> tuple[Any, ...]:
    over = instant(of.resolved_at) if of.resolved_at else None
    when = (instant(of.opened_at), over)
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
    with installation() as here, here.reading() as conn, here.warehouse.pin() as pin:
        for line in explain(conn, pin, here.catalog, asked.incident, datetime.now(UTC)):
            say(line)


def backtest_rules(asked: Namespace) -> None:
    """What rules would have done."""
    with installation() as here, here.warehouse.pin() as pin, here.reading() as conn:
        for part in backtest.tested(asked, here.catalog, pin, conn):
            if isinstance(part, str):
                say(part)
            else:
                show(part[1], part[0], asked.format)


def test_rules(asked: Namespace) -> int:
    """Run tests of rules; the catalogue is all they need. Returns 1 where one failed."""
    catalog = read_catalog(read_settings().config, COLUMNS)
    if asked.draft:
        catalog = read_drafts(asked.draft, catalog, COLUMNS).catalog
    passed = []
    for outcome in suite(asked.file, catalog):
        say(str(outcome))
        passed.append(outcome.passed)
    say(f"{sum(passed)} of {len(passed)} tests passed")
    return 0 if all(passed) else 1


def list_rules(_: Namespace) -> None:
    """Every rule as it stands."""
    with installation() as here, here.reading() as conn:
        found = register(conn, here.catalog)
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
    show(rows, REGISTER, "table")
    say("since: the version's first evaluation; older: open under an older version, until they close")


def _since(at: datetime | None) -> str:
    return instant(at) if at else "not evaluated"


def tune_rule(asked: Namespace) -> None:
    """The settings of a rule that keep a budget."""
    with installation() as here, here.warehouse.pin() as pin, here.reading() as conn:
        for part in tune.tuned(asked, here.catalog, pin, conn, datetime.now(UTC)):
            if isinstance(part, str):
                say(part)
            else:
                show(part[1], part[0], "table")


def show_outbox(asked: Namespace) -> None:
    """What is not sent; what Slack refused is tried again where that is asked."""
    with installation() as here:
        if asked.revive:
            with here.states.begin() as conn:
                say(f"{outbox.revive(conn, datetime.now(UTC))} messages that Slack refused are tried again")
        _list_outbox(here)


def _list_outbox(here: Installation) -> None:
    with here.reading() as conn:
        waiting, refused = outbox.owed(conn), outbox.dead(conn)
    names = ("state", "kind", "incident", "route", "queued", "attempts", "error")
    rows = [
        (m.state, m.kind, m.incident_id, m.target, instant(m.created_at), m.attempts, m.error)
        for m in (*waiting, *refused)
    ]
    show(rows, names, "table")
    say(f"{len(waiting)} to be sent, {len(refused)} refused by Slack")
    if here.settings.slack.token is None:
        say("no Slack token (EARSHOT_SLACK__TOKEN): nothing is sent")


def note_restored(asked: Namespace) -> None:
    """The state was put back: what may have been sent since is looked for first."""
    now = datetime.now(UTC)
    if asked.since and asked.since > now:
        raise EarshotError("--since is a moment that is gone: when the backup was made")
    with installation() as here, here.states.begin() as conn:
        waiting = mark_restored(conn, now, asked.since)
    say(f"{waiting} messages are looked for in Slack before they are sent, and so is what the next day's ticks queue")


def take_on(asked: Namespace) -> None:
    """Take an incident on."""
    with installation() as here, here.states.begin() as conn:
        found = acknowledge(conn, asked.incident, asked.by, EVERYTHING, datetime.now(UTC))
    say(f"taken on by {found.acknowledged_by}: no further step of its ladder")


def close(asked: Namespace) -> None:
    """Declare an incident over."""
    with installation() as here, here.states.begin() as conn:
        resolve(conn, asked.incident, asked.by, asked.note, EVERYTHING, datetime.now(UTC))
    say("closed; the rule stays quiet there until the figure has recovered")


def hear(_: Namespace) -> None:
    """Hear what is pressed in Slack, for ever."""
    with installation() as here:
        token = here.settings.slack.token
        if token is None:
            raise EarshotError("no Slack token; set EARSHOT_SLACK__TOKEN (docs/how-to/send-to-slack.md)")
        slack = Slack(token.get_secret_value(), here.settings.slack.base_url, here.settings.slack.timeout_s)
        answering = Answering(here.states, slack, here.catalog, _zone(here), partial(datetime.now, UTC))
        listener = Listener(here.settings.slack, here.states, answering, say)
        say("listening; end with Ctrl-C")
        listener.forever(Rulebook(here.settings, Rules(here.catalog), COLUMNS).current)


def audit(asked: Namespace) -> int:
    """See that nothing is late. Returns 1 where something is wrong."""
    if asked.port is not None and not asked.every:
        raise EarshotError("--port serves figures for as long as the audit runs; add --every")
    with installation() as here:
        watchdog = Watchdog(here.settings, here.catalog, here.warehouse, here.states, partial(datetime.now, UTC))
        if asked.every:
            watchdog.forever(asked.every, asked.port, say)
            return 0
        faults = watchdog.once().faults
        for line in in_words(faults):
            say(line)
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
    with installation() as here:
        doctor = Doctor(here.settings.slack, here.catalog, try_socket, datetime.now(UTC), asked.channel)
        found = list[Finding]()
        for finding in doctor.examine():
            say(str(finding))
            found.append(finding)
    return 0 if is_sound(found) else 1


def trace_route(asked: Namespace) -> None:
    """Whom a rule's incidents would be told to."""
    with installation() as here:
        if asked.rule not in {rule.name for rule in here.catalog.rules}:
            raise EarshotError(f"no rule {asked.rule!r}; config/triggers.toml has those there are")
        for line in told(here.catalog, asked.rule, asked.vertical, _zone(here), asked.at or datetime.now(UTC)):
            say(line)


def silence(asked: Namespace) -> None:
    """Mute deliveries: preview, add, list or end."""
    now = datetime.now(UTC)
    with installation() as here, here.states.begin() as conn:
        if asked.part in ("list", "end"):
            ending = (commands_silence.ended(conn, word, now) for word in (getattr(asked, "silence", None),) if word)
            lines: Iterable[str] = commands_silence.listed(conn, now) if asked.part == "list" else ending
        else:
            with _pinned(here) as pin:
                wanted = commands_silence.asked(asked, here.catalog, pin, until(getattr(asked, "until", None), now))
            if asked.part == "add":
                lines = commands_silence.begun(conn, wanted, asked.reason, asked.by, now)
            else:
                lines = commands_silence.previewed(conn, wanted.matchers, now)
        for line in lines:
            say(line)


@contextmanager
def _pinned(here: Installation) -> Iterator[Pin | None]:
    try:
        with here.warehouse.pin() as pin:
            yield pin
    except NoWarehouseError:
        yield None
