"""`python -m triggers incidents`, `ack` and `resolve`: what is open, and what people do about it."""

from argparse import Namespace
from datetime import UTC, datetime
from typing import Any, Final

from queries.operations.output import FORMATS, echo, print_table
from queries.scope import EVERYTHING
from queries.state import Incident
from queries.state.incidents import incidents
from queries.stores import open_installation
from triggers.commands.arguments import AddCommand, add_author
from triggers.incidents.actions import acknowledge, resolve
from triggers.lab.backtest import iso_instant

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


def declare_incidents(command: AddCommand) -> None:
    """`incidents`, and what it takes."""
    parser = command("incidents", list_incidents, "list incidents, the newest first")
    parser.add_argument("--state", choices=("open", "resolved", "closed"))
    parser.add_argument("--format", choices=FORMATS, default="table")


def list_incidents(arguments: Namespace) -> None:
    """Every incident, the newest first."""
    with open_installation() as site, site.reading() as conn:
        found = incidents(conn, EVERYTHING, arguments.state)
    print_table([_columns(incident) for incident in found], HEAD, arguments.format)


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


def declare_ack_and_resolve(command: AddCommand) -> None:
    """`ack` and `resolve`, and what they take."""
    ack = command("ack", take_on, "take an incident on")
    closing = command("resolve", close, "declare an incident over")
    for parser in (ack, closing):
        parser.add_argument("incident")
        add_author(parser)
    closing.add_argument("--note", default="", help="why")


def take_on(arguments: Namespace) -> None:
    """Take an incident on."""
    with open_installation() as site, site.states.begin() as conn:
        found = acknowledge(conn, arguments.incident, arguments.by, EVERYTHING, datetime.now(UTC))
    echo(f"taken on by {found.acknowledged_by}: no further step of its ladder")


def close(arguments: Namespace) -> None:
    """Declare an incident over."""
    with open_installation() as site, site.states.begin() as conn:
        resolve(conn, arguments.incident, arguments.by, arguments.note, EVERYTHING, datetime.now(UTC))
    echo("closed; the rule stays quiet there until the figure has recovered")
