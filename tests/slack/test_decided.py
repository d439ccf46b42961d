"""What a review decides is told in the incident's thread once, whatever dies; a change as one, a repetition not."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, select

from config.models import Person
from queries.engine import journal
from queries.messages import outbox
from queries.state import COMPANY, NewAction, entries, open_state, read_actions, read_incidents, tables
from queries.warehouse import EVERYTHING
from tests.counterparts.slack import CHANNELS, TOKEN, Slack
from tests.slack.faults import ground
from tests.support.clocks import BY_SLACKS_CLOCK, Now
from triggers.incidents import take_action
from triggers.messages import Card, DeliveryWorker
from triggers.messages.delivery import CrashPoint
from triggers.slack import client

pytestmark = BY_SLACKS_CLOCK
CHANNEL: Final = CHANNELS["service-quality"]
POINTS: Final = (
    *(CrashPoint.CHOSEN, CrashPoint.CLAIMING, CrashPoint.CLAIMED, CrashPoint.WRITING),
    *(CrashPoint.ANSWERED, CrashPoint.RECORDING, CrashPoint.RECORDED),
)
SAID: Final = "“Retrain the field team” (Head of delivery, due 15 December 2026)"


@dataclass(frozen=True, slots=True)
class Cards(ground.FixedCards):
    """With what is undertaken, as the card's readers have it."""

    def card(self, conn: Any, id_: str, reader: Any = None, /) -> Card:
        return replace(ground.FixedCards.card(self, conn, id_, reader), actions=read_actions(conn, EVERYTHING))


@dataclass
class Meeting:
    """A review that decides on one incident, whose message stands in Slack."""

    folder: Path
    states: Engine
    slack: Slack
    now: datetime

    def decide(self, what: str = "Retrain the field team", *, review: str = COMPANY, month: int = 10) -> None:
        self.now += timedelta(hours=1)
        with self.states.begin() as conn:
            (found,) = read_incidents(conn, EVERYTHING)
            new = NewAction(what, "Head of delivery", self.now.date(), date(2026, 12, 15), found.id, found.vertical)
            of = {"month": date(2026, month, 1), "review": review, "issue": f"defects|{found.slice}"}
            take_action(conn, replace(new, **of), "ana", self.now)  # type: ignore[arg-type]

    def worker(self, states: Engine, **known: Any) -> DeliveryWorker:
        lead = Person(
            name="delivery-lead", label="Head of delivery", audience="specialist", slack=self.slack.users["ana"]
        )
        catalog = ground.config().model_copy(update={"people": (lead,)})
        to = client.Slack(TOKEN, self.slack.base_url, 1)
        return DeliveryWorker(states, to, Cards(), catalog, 1.0, lambda: self.now, spacing=timedelta(0), **known)

    def deliver(self) -> None:
        """Hours apart, until nothing is owed."""
        for _ in range(12):
            self.now += timedelta(hours=1)
            self.worker(self.states).deliver()
            with self.states.connect() as conn:
                if not outbox.unsent(conn):
                    return

    def killed(self, point: CrashPoint) -> int:
        """Deliver in a process that is killed as the reply passes a point. Returns how it ended."""
        with self.states.connect() as conn:
            reply = conn.execute(select(tables.outbox.c.id).where(tables.outbox.c.kind == "reply")).scalar_one()
        self.states.dispose()  # processes share no connection
        child = os.fork()
        if not child:
            try:
                states = journal(self.folder / "state.db")
                self.worker(
                    states, crash_point=lambda at, id_: _die() if (at, id_) == (point, reply) else None
                ).deliver()
            finally:
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def thread(self) -> list[str]:
        (root,) = self.slack.history(CHANNEL)
        return [reply["text"] for reply in self.slack.replies(CHANNEL, root["ts"])]


def met(folder: Path, slack: Slack, now: datetime) -> Meeting:
    """Whose incident is owed its message."""
    made = Meeting(folder, open_state(folder), slack, now)
    ground.fill(made.states, 1)
    return made


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def meeting(tmp_path: Path, slack: Slack, now: Now) -> Iterator[Meeting]:
    made = met(tmp_path, slack, now())
    made.deliver()
    yield made
    made.states.dispose()


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name.lower())
def test_a_decision_is_told_once_across_a_kill(meeting: Meeting, point: CrashPoint) -> None:
    meeting.decide()
    assert meeting.killed(point) == -signal.SIGKILL
    meeting.deliver()
    meeting.deliver()
    assert meeting.thread() == [
        f"<@{meeting.slack.users['ana']}> Decided by ana in the review for October 2026: {SAID}."
    ]


def test_a_changed_decision_is_told_as_a_change_and_the_same_one_not_again(meeting: Meeting) -> None:
    meeting.decide()
    meeting.deliver()
    meeting.decide()
    meeting.decide(review="V0")
    meeting.decide(month=11)
    meeting.deliver()
    assert len(meeting.thread()) == 1
    meeting.decide("Call them", month=11)
    meeting.deliver()
    _, changed = meeting.thread()
    assert changed.endswith(
        "Decision changed by ana in the review for November 2026: “Call them” (Head of delivery, due 15 December 2026)"
        f" in place of {SAID}."
    )
    with meeting.states.connect() as conn:
        (found,) = read_incidents(conn, EVERYTHING)
        assert [one.kind for one in entries(conn, found.id)] == ["opened", "decided", "redecided"]


def test_a_decision_made_before_the_incident_was_told_is_in_its_message(tmp_path: Path, slack: Slack, now: Now) -> None:
    """A reply would say it a second time."""
    made = met(tmp_path, slack, now())
    made.decide()
    made.deliver()
    assert made.thread() == []
    assert "Retrain the field team" in json.dumps(slack.history(CHANNEL))
    made.states.dispose()
