"""Add the picture to a message that stands already: upload it, wait until the channel can show it, show it.

The message never waits for it. Each step is recorded before the next, so that after a crash the next process goes on
with the same file: its name is on record before it exists, and what is refused is deleted.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine

from config.models import Catalog, Route
from queries.messages import (
    QueuedPicture,
    block_channel,
    due_picture,
    lock_rate_limit,
    make_rate_limits,
    outbox,
    read_picture,
    record_picture,
    try_acquire,
)
from triggers.incidents import channel_reader
from triggers.logs import about
from triggers.messages.compose import CardSource, Composer
from triggers.messages.delivery_channel import Ids, PictureChannel, Posted, SendError
from triggers.messages.message import Picture

log: Final = logging.getLogger("triggers")

GATE: Final = "pictures"
LEASE: Final = 10
"""So many time-outs may pass between two records; then the process at it is taken for dead."""

REMEMBERED: Final = timedelta(hours=1)
"""How long no picture is tried after the channel refused pictures as such: a scope is missing, or there is no room."""

BACK_OFF: Final = timedelta(seconds=20)
LONGEST: Final = timedelta(minutes=30)
AGE: Final = timedelta(days=1)
"""A message that stood so long without its picture goes without."""

LOOKS, PAUSE = 6, timedelta(seconds=1)
"""How often, and how far apart, one asks whether the channel can show a file."""


class PicturePoint(IntEnum):
    """Where a process can die, or be stopped, on the way of a picture."""

    CLAIMED = 1
    RESERVED = 2
    NAMED = 3
    UPLOADED = 4
    COMPLETED = 5
    RECORDED = 6
    READY = 7
    SHOWING = 8
    CHANGED = 9
    REMOVED = 10


class PictureSource(CardSource, Protocol):
    """Where cards and pictures come from."""

    def picture(self, conn: Connection, id_: str, reader: Route, /) -> Picture | None:
        """The picture of an incident, for whoever reads a channel; None where there is nothing to draw."""
        ...


class TakenOverError(Exception):
    """Another process has taken the picture over."""


@dataclass(frozen=True, slots=True)
class PictureDelivery:
    """What pictures need: the state, a channel that shows them, what is drawn, and the clock.

    Args:
        wait: waits while the channel looks at a file.
        crash_point: called with each PicturePoint that a picture passes. For tests that kill.
    """

    states: Engine
    slack: PictureChannel
    cards: PictureSource
    catalog: Catalog
    clock: Callable[[], datetime]
    wait: Callable[[timedelta], None]
    crash_point: Callable[[PicturePoint], None] = lambda _: None

    def deliver(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Add every picture that is due. Returns how many."""
        make_rate_limits(self.states, (GATE,))
        shown = 0
        while not stop() and (claimed := self._claim()):
            self.crash_point(PicturePoint.CLAIMED)
            try:
                shown += self._advance(claimed)
            except TakenOverError:
                continue
            except SendError as error:
                self._failed(claimed, error)
        return shown

    def _claim(self) -> QueuedPicture | None:
        now = self.clock()
        with self.states.begin() as conn:
            is_closed = lock_rate_limit(conn, GATE).opens_at > now
            due = None if is_closed else due_picture(conn, now)
            return record_picture(conn, due, now + self._lease, attempts=1) if due else None

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self.slack.timeout_s * LEASE)

    def _record(self, picture: QueuedPicture, state: str, **values: Any) -> QueuedPicture:
        """The next step, under the fence."""
        now = self.clock()
        with self.states.begin() as conn:
            if recorded := record_picture(conn, picture, now + self._lease, state=state, error=None, **values):
                return recorded
            present = read_picture(conn, picture.incident_id, picture.target)
        if picture.file and (present is None or present.file != picture.file):
            # It was given up while this process was away, which may have made the file after all.
            self.slack.remove(picture.file)
        raise TakenOverError

    def _advance(self, picture: QueuedPicture) -> bool:
        """From wherever it stands to its end. Whether it is shown now."""
        if picture.state != "unwanted" and self.clock() - picture.created_at > AGE:
            picture = self._give_up(picture)
        if picture.state in ("wanted", "reserved"):
            picture = self._uploaded(picture)
        if picture.state == "uploaded":
            self._await(picture)
            picture = self._record(picture, "ready")
            self.crash_point(PicturePoint.READY)
        if picture.state == "ready":
            picture = self._shown(picture)
        if picture.state == "unwanted" and picture.file:
            self.slack.remove(picture.file)
            self.crash_point(PicturePoint.REMOVED)
            self._record(picture, "gone", file=None, upload_url=None)
        return picture.state == "shown"

    def _give_up(self, picture: QueuedPicture) -> QueuedPicture:
        return self._record(picture, "unwanted" if picture.file else "none")

    def _uploaded(self, picture: QueuedPicture) -> QueuedPicture:
        """Draw it, and hand it over under the name that was recorded for it."""
        with self.states.connect().execution_options(reading=True) as conn:
            root = outbox.posted_message(conn, picture.incident_id, picture.target)
            reader = channel_reader(self.catalog, picture.target, root.channel) if root else None
            drawn = self.cards.picture(conn, picture.incident_id, reader) if reader else None
        if drawn is None:
            return self._give_up(picture)
        if picture.state == "wanted":
            upload = self.slack.reserve(drawn)
            self.crash_point(PicturePoint.RESERVED)
            picture = self._record(picture, "reserved", file=upload.file, upload_url=upload.url, alt=drawn.alt)
            self.crash_point(PicturePoint.NAMED)
        file, url = picture.file or "", picture.upload_url or ""
        # Asked before it is made, too: without the scope to ask, it could never be shown.
        if self.slack.progress(file) == "absent":
            self.slack.upload(url, drawn)
            self.crash_point(PicturePoint.UPLOADED)
            self.slack.complete(file, drawn)
            self.crash_point(PicturePoint.COMPLETED)
        picture = self._record(picture, "uploaded", upload_url=None)
        self.crash_point(PicturePoint.RECORDED)
        return picture

    def _await(self, picture: QueuedPicture) -> None:
        for _ in range(LOOKS):
            if self.slack.progress(picture.file or "") == "ready":
                return
            self.wait(PAUSE)
        raise SendError("picture_is_not_ready", "unsent")

    def _shown(self, picture: QueuedPicture) -> QueuedPicture:
        """Show the message anew, with its picture."""
        with self.states.connect().execution_options(reading=True) as conn:
            root = outbox.posted_message(conn, picture.incident_id, picture.target)
            words, root_id, version = Composer(self.cards, self.catalog).standing(conn, root) if root else (None, "", 0)
        if root is None or words is None or words.picture is None:
            return self._give_up(picture)
        self.crash_point(PicturePoint.SHOWING)
        self.slack.change(Posted(root.channel, root.ts), words, Ids(root_id, root.incident_id))
        self.crash_point(PicturePoint.CHANGED)
        now = self.clock()
        with self.states.begin() as conn:
            recorded = record_picture(conn, picture, now, state="shown", error=None)
            present = outbox.posted_message(conn, root.incident_id, root.target)
            if recorded is None or present != root:
                # Another process changed the message meanwhile: nobody knows who was last.
                outbox.refresh_message(conn, root, now)
            else:
                outbox.record_shown(conn, root, version)
        if recorded is None:
            raise TakenOverError
        return recorded

    def _failed(self, claimed: QueuedPicture, error: SendError) -> None:
        """The message stays as it is. What may work later is tried again, and a file that is of no use is deleted."""
        now = self.clock()
        with self.states.begin() as conn:
            picture = read_picture(conn, claimed.incident_id, claimed.target)
            if picture is None or picture.attempts != claimed.attempts:
                return
            is_refused, times = error.certainty == "permanent", 2 ** min(picture.attempts - 1, 10)
            wait = min(BACK_OFF * times, LONGEST)
            if error.retry_after is not None:
                wait = timedelta(seconds=error.retry_after)
                block_channel(conn, GATE, now + wait)
            elif error.code == "missing_scope" or (is_refused and picture.state == "wanted"):
                wait = REMEMBERED
                if try_acquire(conn, GATE, now, wait):
                    log.warning("pictures are refused: messages are sent without", extra=about(code=error.code))
            elif not is_refused:
                # The others would have to wait for the same.
                try_acquire(conn, GATE, now, BACK_OFF)
            state = "unwanted" if is_refused and picture.file else picture.state
            if state != picture.state:
                wait = timedelta(0)
            if state == "unwanted" and now - picture.created_at > 2 * AGE:
                of = about(incident=picture.incident_id, code=error.code)
                log.warning("a picture could not be deleted", extra=of)
                state = "gone"
            record_picture(conn, picture, now + wait, state=state, error=error.code)
