"""`python -m triggers`: what is watched, who hears of it, and what people do about it."""

import getpass
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from config.errors import EarshotError
from triggers import logs
from triggers.commands import backtest, silence, tune
from triggers.commands import run as do
from triggers.commands.arguments import duration, parse_instant
from triggers.commands.output import FORMATS


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

    checked = command("check", do.check, "check the configuration, and find how sure each rule must be")
    checked.add_argument("--quick", action="store_true", help="leave out how sure each rule must be: that takes longer")
    checked.add_argument("--again", action="store_true", help="find it anew also where that was done of late")
    run = command("run", do.run, "evaluate the rules and send what is owed, for ever or --once")
    run.add_argument("--once", action="store_true", help="one tick, one round of messages")
    run.add_argument(
        "--now", type=parse_instant, help="the time to evaluate at, such as 2026-11-21T09:00+01:00; needs --once"
    )
    run.add_argument("--interval", type=duration, default=timedelta(seconds=60), help="between ticks, such as 5m")
    listed = command("incidents", do.list_incidents, "list incidents, the newest first")
    listed.add_argument("--state", choices=("open", "resolved", "closed"))
    listed.add_argument("--format", choices=FORMATS, default="table")
    command("explain", do.explain_incident, "figures of an incident, then and now").add_argument("incident")
    test = command(
        "backtest", do.backtest_rules, "what the rules would have done, with nothing known before it happened"
    )
    backtest.arguments(test)
    tune.arguments(
        command("tune", do.tune_rule, "the settings of a rule that keep an attention budget, and their curve")
    )
    rehearsed = command(
        "test", do.test_rules, "run tests of rules: what was counted, and the incidents that should follow"
    )
    rehearsed.add_argument("file", nargs="+", type=Path, help="a file of tests, or a folder of them")
    rehearsed.add_argument("--draft", type=Path, metavar="DRAFT", help="the rules as a file of drafts has them")
    command("rules", do.list_rules, "list the rules with their versions, who wrote them, and what is open")
    queued = command("outbox", do.show_outbox, "messages that are not sent, and those that Slack refused")
    queued.add_argument(
        "--revive", action="store_true", help="try again what Slack refused, once what is wrong is put right"
    )
    put_back = command(
        "restored", do.note_restored, "say that the state was put back by other means than `queries restore`"
    )
    put_back.add_argument(
        "--since",
        type=parse_instant,
        help="the last moment that the backup holds; by default that of its newest message",
    )
    command("listen", do.hear, "hear what is pressed in Slack, for ever")
    audited = command("audit", do.audit, "see that everybody is awake and nothing is late; 1 where something is wrong")
    audited.add_argument("--every", type=duration, help="go on for ever, and look so often, such as 1m")
    audited.add_argument(
        "--port", type=int, help="serve figures for Prometheus on this port of 127.0.0.1; needs --every"
    )
    doctor = command("doctor", do.examine, "try everything that Slack needs, and say how to set right what is not")
    doctor.add_argument("--channel", help="the id of the channel for the test message; a route's by default")
    asked = command("route", do.trace_route, "whom a rule's incidents would be told to, and when")
    asked.add_argument("rule", help="its name")
    asked.add_argument("--vertical", help="of the incident")
    asked.add_argument("--at", type=parse_instant, help="when it opens, such as 2026-11-21T09:00+01:00; now by default")
    muting = command("silence", do.silence, "mute deliveries for a time: preview, add, list or end")
    muting.add_argument("--by", default=getpass.getuser(), help="who does it; the login by default")
    silence.arguments(muting)
    _by_hand(command("ack", do.take_on, "take an incident on"))
    closing = _by_hand(command("resolve", do.close, "declare an incident over"))
    closing.add_argument("--note", default="", help="why")
    return parser


def _by_hand(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("incident")
    parser.add_argument("--by", default=getpass.getuser(), help="who does it; the login by default")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
