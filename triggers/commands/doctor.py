"""`python -m triggers doctor`: try everything that Slack needs."""

from argparse import Namespace
from datetime import UTC, datetime

from queries.operations.output import echo
from queries.stores import open_installation
from triggers.commands.arguments import AddCommand
from triggers.slack.doctor import CheckResult, Doctor, is_sound
from triggers.slack.socket_mode import try_socket


def declare_doctor(command: AddCommand) -> None:
    """`doctor`, and what it takes."""
    parser = command("doctor", examine, "try everything that Slack needs, and say how to set right what is not")
    parser.add_argument("--channel", help="the id of the channel for the test message; a route's by default")


def examine(arguments: Namespace) -> int:
    """Try what Slack needs. Returns 1 where something is wrong."""
    with open_installation() as site:
        doctor = Doctor(site.settings.slack, site.catalog, try_socket, datetime.now(UTC), arguments.channel)
        found = list[CheckResult]()
        for finding in doctor.examine():
            echo(str(finding))
            found.append(finding)
    return 0 if is_sound(found) else 1
