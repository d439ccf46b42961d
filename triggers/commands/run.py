"""`python -m triggers run`, `listen`, `audit` and `doctor`: the processes that stay, and what Slack needs."""

from argparse import Namespace
from datetime import UTC, datetime, timedelta
from functools import partial

from config import EarshotError
from queries.messages import outbox
from queries.operations import echo, finish_erasures, on_the_wall, parse_instant, parse_span, whole
from queries.stores import open_installation
from queries.warehouse import COLUMNS
from triggers.commands.arguments import AddCommand
from triggers.processes.run import Runner
from triggers.processes.watchdog import Watchdog, in_words
from triggers.rules import LiveRules, Rules, author
from triggers.slack.client import Slack
from triggers.slack.doctor import CheckResult, Doctor, is_sound
from triggers.slack.interaction_handler import InteractionHandler
from triggers.slack.socket_mode import SocketListener, try_socket


def declare_run(command: AddCommand) -> None:
    """`run`, and what it takes."""
    parser = command(
        "run", run, "evaluate the rules and send pending messages, repeatedly or, with --once, a single time"
    )
    parser.add_argument("--once", action="store_true", help="evaluate and send once, then exit")
    parser.add_argument(
        "--now",
        type=parse_instant,
        metavar="TIME",
        help="evaluate as of this time, such as 2026-11-21T09:00 (reporting time zone); needs --once",
    )
    parser.add_argument(
        "--interval",
        type=parse_span,
        metavar="SPAN",
        default=timedelta(seconds=60),
        help="time between evaluations, such as 5m (default: 1m)",
    )


def run(arguments: Namespace) -> int:
    """Evaluate and deliver, in a loop or once."""
    if arguments.now and not arguments.once:
        raise EarshotError("--now needs --once")

    with open_installation() as site:
        finish_erasures(site.warehouse, site.states, site.catalog, datetime.now(UTC), echo)
        at = on_the_wall(arguments.now, site.zone()) if arguments.now else None

        def clock() -> datetime:
            return at or datetime.now(UTC)

        wrote = author(site.settings.config)
        runner = Runner(site.settings, site.catalog, site.warehouse, site.states, clock, wrote)
        if not arguments.once:
            echo("running; stop with Ctrl-C")
            runner.forever(arguments.interval, echo)
            return 0
        report, sent = runner.once()
        echo(str(report) if report else "another process is evaluating; nothing done")
        if sent:
            echo(str(sent))
        else:
            with site.reading() as conn:
                echo(f"no Slack token: {len(outbox.unsent(conn))} messages stay pending")
    return 0


def declare_listen(command: AddCommand) -> None:
    """`listen`."""
    command("listen", listen, "receive button presses from Slack until stopped")


def listen(_: Namespace) -> None:
    """Receive button presses from Slack until stopped."""
    with open_installation() as site:
        token = site.settings.slack.token
        if token is None:
            raise EarshotError("no Slack token; set EARSHOT_SLACK__TOKEN (docs/how-to/send-to-slack.md)")
        slack = Slack(token.get_secret_value(), site.settings.slack.base_url, site.settings.slack.timeout_s)
        answering = InteractionHandler(site.states, slack, site.catalog, site.zone(), partial(datetime.now, UTC))
        listener = SocketListener(site.settings.slack, site.states, answering, echo)
        echo("listening; stop with Ctrl-C")
        listener.forever(LiveRules(site.settings, Rules(site.catalog), COLUMNS).current)


def declare_audit(command: AddCommand) -> None:
    """`audit`, and what it takes."""
    parser = command("audit", audit, "check that all processes are running and nothing is overdue")
    parser.add_argument("--every", type=parse_span, metavar="SPAN", help="keep checking at this interval, such as 1m")
    parser.add_argument(
        "--port",
        type=whole(1, 65_535),
        metavar="NUMBER",
        help="serve metrics for Prometheus on this port of 127.0.0.1; needs --every",
    )


def audit(arguments: Namespace) -> int:
    """Check that nothing is overdue. Returns 1 on problems."""
    if arguments.port is not None and not arguments.every:
        raise EarshotError("--port needs --every")
    with open_installation() as site:
        watchdog = Watchdog(site.settings, site.catalog, site.warehouse, site.states, partial(datetime.now, UTC))
        if arguments.every:
            watchdog.forever(arguments.every, arguments.port, echo)
            return 0
        faults = watchdog.once().faults
        for line in in_words(faults):
            echo(line)
    return 1 if faults else 0


def declare_doctor(command: AddCommand) -> None:
    """`doctor`, and what it takes."""
    parser = command("doctor", examine, "test the connection to Slack, and say how to fix what fails")
    where = "id of the channel for the test message (default: the first route's channel that can be used)"
    parser.add_argument("--channel", metavar="ID", help=where)


def examine(arguments: Namespace) -> int:
    """Test the connection to Slack. Returns 1 on problems."""
    with open_installation() as site:
        doctor = Doctor(site.settings.slack, site.catalog, try_socket, datetime.now(UTC), arguments.channel)
        found = list[CheckResult]()
        for finding in doctor.examine():
            echo(str(finding))
            found.append(finding)
    return 0 if is_sound(found) else 1
