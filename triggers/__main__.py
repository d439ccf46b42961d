"""`python -m triggers`: evaluate rules, notify people, and record what they do."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Final

from queries.operations import end_process, run_command
from triggers import logs
from triggers.commands.arguments import AddCommand
from triggers.commands.backtest import declare_backtest
from triggers.commands.deliveries import declare_outbox, declare_route, declare_silence
from triggers.commands.incidents import declare_ack_and_resolve, declare_explain, declare_incidents
from triggers.commands.rules import declare_check, declare_rules
from triggers.commands.run import declare_audit, declare_doctor, declare_listen, declare_run
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
    """Run one command. Returns its exit status, see `run_command`."""
    logs.start(words[0] if words else "")
    return run_command(parser(), words)


def parser() -> ArgumentParser:
    """What may be typed."""
    whole_line = ArgumentParser(
        prog="python -m triggers", description="Evaluate, tune and test rules, and notify people."
    )
    commands = whole_line.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Namespace], int | None], text: str) -> ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    for declare in COMMANDS:
        declare(command)
    return whole_line


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
