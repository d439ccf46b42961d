"""What others do, in the same harness: it must lose and double messages here, or the harness would prove nothing."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from slack_sdk import WebClient
from sqlalchemy import Engine, select, update

from config import EarshotError
from queries.state import outbox
from tests.counterparts.slack import TOKEN
from tests.slack.faults.ground import ROUTES, FixedCards
from triggers.messages import Ids, Message
from triggers.messages.card import incident_message
from triggers.messages.delivery import CrashPoint
from triggers.slack.blocks import metadata, render
from triggers.slack.client import Slack

Crash = Callable[[int, str], None]
Strategy = Callable[[Engine, Slack, str, Crash], None]
PAUSE_S: Final = 0.2


def before(states: Engine, slack: Slack, _base_url: str, crash: Crash) -> None:
    """Mark as sent, then send."""
    for row in _rows(states):
        if _mark(states, row.id):
            crash(CrashPoint.WRITING, row.id)
            with suppress(EarshotError):
                slack.send(*_said(states, row))
            crash(CrashPoint.ANSWERED, row.id)


def after(states: Engine, slack: Slack, _base_url: str, crash: Crash) -> None:
    """Send, then mark as sent; what failed is sent again."""
    while rows := _rows(states):
        for row in rows:
            crash(CrashPoint.WRITING, row.id)
            with suppress(EarshotError):
                slack.send(*_said(states, row))
                crash(CrashPoint.ANSWERED, row.id)
                _mark(states, row.id)
        time.sleep(PAUSE_S)


def sdk(states: Engine, _slack: Slack, base_url: str, crash: Crash) -> None:
    """Send with slack_sdk as it comes, which tries again by itself, then mark as sent."""
    client = WebClient(token=TOKEN, base_url=base_url, timeout=1)
    while rows := _rows(states):
        for row in rows:
            channel, words, ids = _said(states, row)
            crash(CrashPoint.WRITING, row.id)
            with suppress(Exception):
                client.chat_postMessage(channel=channel, text=render(words).text, metadata=metadata(ids))
                crash(CrashPoint.ANSWERED, row.id)
                _mark(states, row.id)
        time.sleep(PAUSE_S)


STRATEGIES: Final[Mapping[str, Strategy]] = {"mark before": before, "mark after": after, "SDK defaults": sdk}


def _rows(states: Engine) -> list[Any]:
    with states.connect().execution_options(reading=True) as conn:
        here = outbox.c.state == "pending"
        return list(conn.execute(select(outbox.c.id, outbox.c.incident_id, outbox.c.target).where(here)).all())


def _mark(states: Engine, id_: str) -> bool:
    with states.begin() as conn:
        here = (outbox.c.id == id_) & (outbox.c.state == "pending")
        sent = {"state": "sent", "sent_at": datetime.now(UTC).replace(tzinfo=None)}
        return conn.execute(update(outbox).where(here).values(**sent)).rowcount == 1


def _said(states: Engine, row: Any) -> tuple[str, Message, Ids]:
    with states.connect().execution_options(reading=True) as conn:
        return (
            ROUTES[row.target],
            incident_message(FixedCards().card(conn, row.incident_id)),
            Ids(row.id, row.incident_id),
        )
