"""`python -m triggers`: what is watched, who hears of it, and what people do about it."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Final

from config.errors import EarshotError
from triggers import logs
from triggers.commands.arguments import AddCommand
from triggers.commands.backtest import declare_backtest
from triggers.commands.check import declare_check
from triggers.commands.doctor import declare_doctor
from triggers.commands.explain import declare_explain
from triggers.commands.incidents import declare_ack_and_resolve, declare_incidents
from triggers.commands.outbox import declare_outbox
from triggers.commands.route import declare_route
from triggers.commands.rules import declare_rules
from triggers.commands.run import declare_audit, declare_listen, declare_run
from triggers.commands.silence import declare_silence
from triggers.commands.tune import declare_tune

COMMANDS: Final[tuple[Callable[[AddCommand], None], ...]] = (
    *(
        declare_check,
        declare_run,
        declare_incidents,
        declare_explain,
        declare_backtest,
        declare_tune,
        declare_rules,
        declare_outbox,
    ),
    *(declare_listen, declare_audit, declare_doctor, declare_route, declare_silence, declare_ack_and_resolve),
)
"""In the order of `--help`."""


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

    for declare in COMMANDS:
        declare(command)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
