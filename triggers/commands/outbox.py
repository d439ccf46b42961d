"""`python -m triggers outbox` and `restored`: messages that are not sent, and those of a state that was put back."""

from argparse import Namespace
from datetime import UTC, datetime

from config.errors import EarshotError
from queries.messages import outbox
from queries.messages.restores import mark_restored
from queries.operations.output import echo, print_table
from queries.stores import open_installation
from triggers.commands.arguments import AddCommand, on_the_wall, parse_instant
from triggers.lab.backtest import iso_instant


def declare_outbox(command: AddCommand) -> None:
    """`outbox` and `restored`, and what they take."""
    listed = command("outbox", show_outbox, "messages that are not sent, and those that Slack refused")
    listed.add_argument(
        "--revive", action="store_true", help="try again what Slack refused, once what is wrong is put right"
    )
    restored = command(
        "restored", note_restored, "say that the state was put back by other means than `queries restore`"
    )
    restored.add_argument(
        "--since",
        type=parse_instant,
        help="the last moment that the backup holds; by default that of its newest message",
    )


def show_outbox(arguments: Namespace) -> None:
    """What is not sent; what Slack refused is tried again where that is asked."""
    with open_installation() as site:
        if arguments.revive:
            with site.states.begin() as conn:
                echo(f"{outbox.retry_dead(conn, datetime.now(UTC))} messages that Slack refused are tried again")
        with site.reading() as conn:
            waiting, refused = outbox.unsent(conn), outbox.dead(conn)
    names = ("state", "kind", "incident", "route", "queued", "attempts", "error")
    rows = [
        (m.state, m.kind, m.incident_id, m.target, iso_instant(m.created_at), m.attempts, m.error)
        for m in (*waiting, *refused)
    ]
    print_table(rows, names, "table")
    echo(f"{len(waiting)} to be sent, {len(refused)} refused by Slack")
    if site.settings.slack.token is None:
        echo("no Slack token (EARSHOT_SLACK__TOKEN): nothing is sent")


def note_restored(arguments: Namespace) -> None:
    """The state was put back: what may have been sent since is looked for first."""
    now = datetime.now(UTC)
    with open_installation() as site, site.states.begin() as conn:
        since = on_the_wall(arguments.since, site.zone()) if arguments.since else None
        if since and since > now:
            raise EarshotError("--since is a moment that is gone: when the backup was made")
        waiting = mark_restored(conn, now, since)
    echo(f"{waiting} messages are looked for in Slack before they are sent, and so is what the next day's ticks queue")
