"""`python -m triggers`: check, run, incidents, explain, backtest, outbox, ack, resolve."""

import csv
import getpass
import io
import json
import logging
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from config.catalog import Catalog, ThresholdRule
from config.errors import EarshotError
from config.reading import read_catalog
from config.settings import Settings, read_settings
from config.values import parse_duration
from queries import outbox
from queries.export import cell
from queries.generations import NoWarehouseError, Pin, Warehouse
from queries.incidents import Incident, incidents
from queries.metrics import Ask, measure
from queries.relations import COLUMNS
from queries.scope import EVERYTHING
from queries.stores import open_states, open_warehouse
from queries.summary import settle
from triggers.backtest import HEAD as BACKTEST
from triggers.backtest import backtest, instant, only, to_csv
from triggers.explain import explain
from triggers.run import Runner
from triggers.slots import Cadence
from triggers.taking import acknowledge, resolve

say: Final = partial(print, flush=True)
FORMATS: Final = ("table", "csv", "json")
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


@dataclass(frozen=True, slots=True)
class Installation:
    """What the settings name."""

    settings: Settings
    catalog: Catalog
    warehouse: Warehouse
    states: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The state, to be read."""
        with self.states.connect() as conn:
            yield conn


@contextmanager
def installation() -> Iterator[Installation]:
    """The checked configuration and the open stores."""
    settings = read_settings()
    catalog = read_catalog(settings.config, COLUMNS)
    warehouse, states = open_warehouse(settings), open_states(settings)
    try:
        yield Installation(settings, catalog, warehouse, states)
    finally:
        warehouse.close()
        states.dispose()


def main(words: list[str]) -> int:
    """Run one command. Returns the exit status: 0 done, 1 refused, 130 interrupted; argparse exits with 2."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)
    arguments = _parser().parse_args(words)
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

    command("check", _check, "check the configuration, and say how sure each rule must be")
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
    test.add_argument("--since", type=date.fromisoformat, required=True, help="first day")
    test.add_argument("--until", type=date.fromisoformat, required=True, help="the day after the last")
    test.add_argument("--rule", help="this rule only, also when it is turned off")
    test.add_argument("--format", choices=("table", "csv"), default="table")
    command("outbox", _outbox, "messages that are not sent, and those that Slack refused")
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


def _check(_: Namespace) -> None:
    with installation() as here:
        rules = here.catalog.rules
        enabled = sum(rule.enabled for rule in rules)
        say(f"{len(rules)} rules, {enabled} of them on; no mistakes in {here.settings.config}")
        try:
            with here.warehouse.pin() as pin:
                for line in _cadences(here.catalog, pin):
                    say(line)
        except NoWarehouseError:
            say("nothing is loaded yet: when slots are due is not known")
        for route in here.catalog.routes:
            if route.channel is None and any(rule.route == route.name and rule.enabled for rule in rules):
                say(f"route {route.name} has no channel: its messages stay pending")
        if here.settings.slack.token is None:
            say("no Slack token (EARSHOT_SLACK__TOKEN): messages stay pending")


def _cadences(catalog: Catalog, pin: Pin) -> Iterator[str]:
    """For each threshold rule when its next slot is due, and how sure it must be."""
    now, zone, longest = datetime.now(UTC), ZoneInfo(pin.generation.zone), settle(pin.conn)
    for rule in catalog.rules:
        if isinstance(rule, ThresholdRule) and rule.enabled:
            metric = catalog.metric(rule.metric)
            cadence = Cadence(rule.window, rule.every, max(longest, metric.matures, rule.settle), zone)
            slot = cadence.newest(now)
            alpha = rule.false_alarms_per_year / cadence.a_year
            sure = f"alpha {alpha:.2g} over all its slices" if rule.gate == "exact" else "no gate"
            say_next = cadence.as_of(slot + rule.every).astimezone(zone)
            yield f"{rule.name}: window to {slot - timedelta(days=1)}, next due {say_next:%Y-%m-%d %H:%M}; {sure}"
            if not any(point.n for point in measure(pin.conn, metric, Ask(grain="all"), EVERYTHING, now)):
                yield f"{rule.name}: no data: nothing loaded counts for {metric.name}, a metric over {metric.table}"


def _run(asked: Namespace) -> int:
    if asked.now and not asked.once:
        raise EarshotError("--now replays one moment; add --once")
    with installation() as here:
        clock = partial(_fixed, asked.now) if asked.now else partial(datetime.now, UTC)
        runner = Runner(here.settings, here.catalog, here.warehouse, here.states, clock)
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
    _show([_columns(incident) for incident in found], HEAD, asked.format)


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
    if asked.until <= asked.since:
        raise EarshotError("--until is the day after the last one: it must come after --since")
    with installation() as here, here.warehouse.pin() as pin:
        chosen = only(here.catalog, asked.rule)
        rows = backtest(pin, chosen, asked.since, asked.until)
    if asked.format == "csv":
        say(to_csv(rows), end="")
        return
    _show([row.cells for row in rows], BACKTEST, "table")
    say(f"{len(rows)} incidents; corrections, attributes and late arrivals are as known now")


def _outbox(_: Namespace) -> None:
    with installation() as here, here.reading() as conn:
        waiting, refused = outbox.owed(conn), outbox.dead(conn)
    names = ("state", "kind", "incident", "route", "queued", "attempts", "error")
    rows = [
        (m.state, m.kind, m.incident_id, m.target, instant(m.created_at), m.attempts, m.error)
        for m in (*waiting, *refused)
    ]
    _show(rows, names, "table")
    say(f"{len(waiting)} to be sent, {len(refused)} refused by Slack")
    if here.settings.slack.token is None:
        say("no Slack token (EARSHOT_SLACK__TOKEN): nothing is sent")


def _ack(asked: Namespace) -> None:
    with installation() as here, here.states.begin() as conn:
        found = acknowledge(conn, asked.incident, asked.by, EVERYTHING, datetime.now(UTC))
    say(f"taken on by {found.acknowledged_by}: no further step of its ladder")


def _resolve(asked: Namespace) -> None:
    with installation() as here, here.states.begin() as conn:
        resolve(conn, asked.incident, asked.by, asked.note, EVERYTHING, datetime.now(UTC))
    say("closed; the rule stays quiet there until the figure has recovered")


def _show(rows: Sequence[Sequence[Any]], names: Sequence[str], form: str) -> None:
    if form == "json":
        say(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1, ensure_ascii=False))
    elif form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([names, *([cell(value) for value in row] for row in rows)])
        say(out.getvalue(), end="")
    else:
        _table([names, *([_short(value) for value in row] for row in rows)])


def _short(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= 48 else f"{plain[:47]}…"


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
