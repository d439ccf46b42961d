"""`python -m triggers`: what is watched, who hears of it, and what people do about it."""

import getpass
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.catalog import Catalog, WatchRule
from config.errors import EarshotError
from config.reading import read_catalog
from config.settings import read_settings
from config.values import parse_duration
from queries import outbox
from queries.generations import NoWarehouseError, Pin
from queries.incidents import Incident, incidents
from queries.metrics import Ask, measure
from queries.references import calibrations, store_calibration
from queries.relations import COLUMNS
from queries.restored import mark_restored
from queries.scope import EVERYTHING
from queries.summary import settle
from triggers import hindsight, logs, silencing, tune
from triggers.answering import Answering
from triggers.authors import author
from triggers.backtest import instant
from triggers.checking import calibrated
from triggers.doctor import Doctor, Finding, is_sound
from triggers.explain import explain
from triggers.installation import Installation, installation
from triggers.listen import Listener, try_socket
from triggers.memory import read_memory
from triggers.printing import FORMATS, say, show
from triggers.register import HEAD as REGISTER
from triggers.register import register
from triggers.routing import told
from triggers.run import Runner
from triggers.slack import Slack
from triggers.slots import Moment
from triggers.suite import suite
from triggers.taking import acknowledge, resolve
from triggers.tasks import subject
from triggers.versions import version_of
from triggers.watchdog import Watchdog, in_words

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


def main(words: list[str]) -> int:
    """Run one command. Returns the exit status: 0 done, 1 refused, 130 interrupted; argparse exits with 2."""
    os.umask(0o077)
    arguments = _parser().parse_args(words)
    logs.start(words[0])
    try:
        return int(arguments.run(arguments) or 0)
    except EarshotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m triggers", description="What is watched, and who hears of it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Namespace], int | None], text: str) -> ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    checked = command("check", _check, "check the configuration, and find how sure each rule must be")
    checked.add_argument("--quick", action="store_true", help="leave out how sure each rule must be: that takes longer")
    checked.add_argument("--again", action="store_true", help="find it anew also where that was done of late")
    run = command("run", _run, "evaluate the rules and send what is owed, for ever or --once")
    run.add_argument("--once", action="store_true", help="one tick, one round of messages")
    run.add_argument(
        "--now", type=_instant, help="the time to evaluate at, such as 2026-11-21T09:00+01:00; needs --once"
    )
    run.add_argument("--interval", type=_duration, default=timedelta(seconds=60), help="between ticks, such as 5m")
    listed = command("incidents", _incidents, "list incidents, the newest first")
    listed.add_argument("--state", choices=("open", "resolved", "closed"))
    listed.add_argument("--format", choices=FORMATS, default="table")
    command("explain", _explain, "figures of an incident, then and now").add_argument("incident")
    test = command("backtest", _backtest, "what the rules would have done, with nothing known before it happened")
    hindsight.arguments(test)
    tune.arguments(command("tune", _tune, "the settings of a rule that keep an attention budget, and their curve"))
    rehearsed = command("test", _test, "run tests of rules: what was counted, and the incidents that should follow")
    rehearsed.add_argument("file", nargs="+", type=Path, help="a file of tests, or a folder of them")
    command("rules", _rules, "list the rules with their versions, who wrote them, and what is open")
    queued = command("outbox", _outbox, "messages that are not sent, and those that Slack refused")
    queued.add_argument(
        "--revive", action="store_true", help="try again what Slack refused, once what is wrong is put right"
    )
    put_back = command("restored", _restored, "say that the state was put back by other means than `queries restore`")
    put_back.add_argument(
        "--since", type=_instant, help="the last moment that the backup holds; by default that of its newest message"
    )
    command("listen", _listen, "hear what is pressed in Slack, for ever")
    audited = command("audit", _audit, "see that everybody is awake and nothing is late; 1 where something is wrong")
    audited.add_argument("--every", type=_duration, help="go on for ever, and look so often, such as 1m")
    audited.add_argument(
        "--port", type=int, help="serve figures for Prometheus on this port of 127.0.0.1; needs --every"
    )
    doctor = command("doctor", _doctor, "try everything that Slack needs, and say how to set right what is not")
    doctor.add_argument("--channel", help="the id of the channel for the test message; a route's by default")
    asked = command("route", _route, "whom a rule's incidents would be told to, and when")
    asked.add_argument("rule", help="its name")
    asked.add_argument("--vertical", help="of the incident")
    asked.add_argument("--at", type=_instant, help="when it opens, such as 2026-11-21T09:00+01:00; now by default")
    muting = command("silence", _silence, "mute deliveries for a time: preview, add, list or end")
    muting.add_argument("--by", default=getpass.getuser(), help="who does it; the login by default")
    silencing.arguments(muting)
    _by_hand(command("ack", _ack, "take an incident on"))
    closing = _by_hand(command("resolve", _resolve, "declare an incident over"))
    closing.add_argument("--note", default="", help="why")
    return parser


def _by_hand(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("incident")
    parser.add_argument("--by", default=getpass.getuser(), help="who does it; the login by default")
    return parser


def _instant(text: str) -> datetime:
    """A time with a zone; a bare one is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time; write one such as 2026-11-21T09:00+01:00"
        raise ArgumentTypeError(message) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _duration(text: str) -> timedelta:
    try:
        return timedelta(seconds=float(text)) if text.replace(".", "", 1).isdigit() else parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _check(asked: Namespace) -> None:
    with installation() as here:
        rules = here.catalog.rules
        enabled = sum(rule.enabled for rule in rules)
        say(f"{len(rules)} rules, {enabled} of them on; no mistakes in {here.settings.config}")
        try:
            with here.warehouse.pin() as pin:
                moment = _moment(pin)
                for line in _cadences(here.catalog, pin, moment):
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


def _cadences(catalog: Catalog, pin: Pin, moment: Moment) -> Iterator[str]:
    """For each rule that looks at slots when its next one is due, and where nothing counts for its metric."""
    now, zone = moment.now, moment.zone
    for rule in catalog.rules:
        if isinstance(rule, WatchRule) and rule.enabled:
            of = subject(version_of(catalog, rule), catalog, moment)
            slot = of.cadence.newest(now)
            say_next = of.cadence.as_of(slot + rule.every).astimezone(zone)
            yield f"{rule.name}: window to {slot - timedelta(days=1)}, next due {say_next:%Y-%m-%d %H:%M}"
            for metric in of.metrics:
                if not any(point.n for point in measure(pin.conn, metric, Ask(grain="all"), EVERYTHING, now)):
                    yield f"{rule.name}: no data: nothing loaded counts for {metric.name}, a metric over {metric.table}"


def _run(asked: Namespace) -> int:
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


def _incidents(asked: Namespace) -> None:
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


def _explain(asked: Namespace) -> None:
    with installation() as here, here.reading() as conn, here.warehouse.pin() as pin:
        for line in explain(conn, pin, here.catalog, asked.incident, datetime.now(UTC)):
            say(line)


def _backtest(asked: Namespace) -> None:
    with installation() as here, here.warehouse.pin() as pin, here.reading() as conn:
        for part in hindsight.tested(asked, here.catalog, pin, conn):
            if isinstance(part, str):
                say(part)
            else:
                show(part[1], part[0], asked.format)


def _test(asked: Namespace) -> int:
    """The catalogue is all that a test needs: no store is opened."""
    catalog = read_catalog(read_settings().config, COLUMNS)
    passed = []
    for outcome in suite(asked.file, catalog):
        say(str(outcome))
        passed.append(outcome.passed)
    say(f"{sum(passed)} of {len(passed)} tests passed")
    return 0 if all(passed) else 1


def _rules(_: Namespace) -> None:
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


def _tune(asked: Namespace) -> None:
    with installation() as here, here.warehouse.pin() as pin, here.reading() as conn:
        for part in tune.tuned(asked, here.catalog, pin, conn, datetime.now(UTC)):
            if isinstance(part, str):
                say(part)
            else:
                show(part[1], part[0], "table")


def _outbox(asked: Namespace) -> None:
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


def _restored(asked: Namespace) -> None:
    now = datetime.now(UTC)
    if asked.since and asked.since > now:
        raise EarshotError("--since is a moment that is gone: when the backup was made")
    with installation() as here, here.states.begin() as conn:
        waiting = mark_restored(conn, now, asked.since)
    say(f"{waiting} messages are looked for in Slack before they are sent, and so is what the next day's ticks queue")


def _ack(asked: Namespace) -> None:
    with installation() as here, here.states.begin() as conn:
        found = acknowledge(conn, asked.incident, asked.by, EVERYTHING, datetime.now(UTC))
    say(f"taken on by {found.acknowledged_by}: no further step of its ladder")


def _resolve(asked: Namespace) -> None:
    with installation() as here, here.states.begin() as conn:
        resolve(conn, asked.incident, asked.by, asked.note, EVERYTHING, datetime.now(UTC))
    say("closed; the rule stays quiet there until the figure has recovered")


def _listen(_: Namespace) -> None:
    with installation() as here:
        token = here.settings.slack.token
        if token is None:
            raise EarshotError("no Slack token; set EARSHOT_SLACK__TOKEN (docs/how-to/send-to-slack.md)")
        slack = Slack(token.get_secret_value(), here.settings.slack.base_url, here.settings.slack.timeout_s)
        answering = Answering(here.states, slack, here.catalog, _zone(here), partial(datetime.now, UTC))
        listener = Listener(here.settings.slack, here.states, answering, say)
        say("listening; end with Ctrl-C")
        listener.forever()


def _audit(asked: Namespace) -> int:
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


def _doctor(asked: Namespace) -> int:
    with installation() as here:
        doctor = Doctor(here.settings.slack, here.catalog, try_socket, datetime.now(UTC), asked.channel)
        found = list[Finding]()
        for finding in doctor.examine():
            say(str(finding))
            found.append(finding)
    return 0 if is_sound(found) else 1


def _route(asked: Namespace) -> None:
    with installation() as here:
        if asked.rule not in {rule.name for rule in here.catalog.rules}:
            raise EarshotError(f"no rule {asked.rule!r}; config/triggers.toml has those there are")
        for line in told(here.catalog, asked.rule, asked.vertical, _zone(here), asked.at or datetime.now(UTC)):
            say(line)


def _silence(asked: Namespace) -> None:
    now = datetime.now(UTC)
    with installation() as here, here.states.begin() as conn:
        if asked.part in ("list", "end"):
            ending = (silencing.ended(conn, word, now) for word in (getattr(asked, "silence", None),) if word)
            lines: Iterable[str] = silencing.listed(conn, now) if asked.part == "list" else ending
        else:
            with _pinned(here) as pin:
                wanted = silencing.asked(asked, here.catalog, pin, _until(getattr(asked, "until", None), now))
            if asked.part == "add":
                lines = silencing.begun(conn, wanted, asked.reason, asked.by, now)
            else:
                lines = silencing.previewed(conn, wanted.matchers, now)
        for line in lines:
            say(line)


@contextmanager
def _pinned(here: Installation) -> Iterator[Pin | None]:
    try:
        with here.warehouse.pin() as pin:
            yield pin
    except NoWarehouseError:
        yield None


def _until(text: str | None, now: datetime) -> datetime | None:
    """A time, or how long from now."""
    if text is None:
        return None
    try:
        return now + parse_duration(text)
    except ValueError:
        pass
    try:
        return _instant(text)
    except ArgumentTypeError as error:
        raise EarshotError(f"{error}, or how long from now, such as 3d") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
