"""The process that ticks: evaluate, deliver, wait, for ever or once."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from config import EarshotError
from config.models import Catalog, Route
from config.settings import Settings
from queries.messages import (
    addressees,
    due_picture,
    muted,
    queue_direct_message,
    read_direct_message,
    record_heartbeat,
)
from queries.state import FAILED, FOUND, RacedError, increment
from queries.warehouse import COLUMNS, NoWarehouseError, Pin, Warehouse
from triggers.incidents.tick import Report, tick
from triggers.logs import about, log_failure
from triggers.messages import CardReader, DeliveryWorker, DuplicateRemover, PictureDelivery, Sent, direct_messages
from triggers.processes.lease import acquire, release
from triggers.rules import LiveRules, Rules
from triggers.slack.canary import with_canary
from triggers.slack.client import Slack, SlackError
from triggers.slack.interaction_handler import acknowledge_reacted

log: Final = logging.getLogger("triggers")

POLL_S: Final = 5.0
"""How often the loop looks for messages whose time has come, and for a new generation that it was not told of."""

TURN_S: Final = 10.0
"""How long deliveries, a message a second and channel, may keep the next tick waiting."""


@dataclass(frozen=True, slots=True)
class Runner:
    """What a run works with. `clock` gives aware UTC; a fixed one replays. `author` wrote the rules, where known."""

    settings: Settings
    catalog: Catalog
    warehouse: Warehouse
    states: Engine
    clock: Callable[[], datetime]
    author: str | None = None

    def once(self, stop: Callable[[], bool] = lambda: False) -> tuple[Report | None, Sent | None]:
        """One tick and one round of deliveries. None for what another process does, or what is not set up."""
        with self.warehouse.pin() as pin:
            report, sent = self.tick(pin), self.deliver(pin, stop)
        self.add_pictures(stop)
        return report, sent

    def tick(self, pin: Pin) -> Report | None:
        """Evaluate what is due, unless another process does."""
        tenancy = acquire(self.states, datetime.now(UTC))
        if tenancy is None:
            return None
        try:
            # Before a step is taken, see whether somebody took the incident on by a reaction.
            if (client := self._client()) is not None:
                acknowledge_reacted(self.states, client, self.catalog, ZoneInfo(pin.generation.zone), self.clock())
            report = tick(self.states, pin, self.catalog, self.clock(), tenancy.guard, self.author)
            self._queue_direct_messages(pin)
        except RacedError as error:
            log.info("%s", error)
            return None
        else:
            return report
        finally:
            release(self.states, tenancy, datetime.now(UTC))

    def _queue_direct_messages(self, pin: Pin) -> None:
        """What is due by now; another process may be at the same."""
        now = self.clock()
        with self.states.connect().execution_options(reading=True) as conn:
            wanted = direct_messages.due_direct_messages(conn, self.catalog, ZoneInfo(pin.generation.zone), now)
            new = [message for message in wanted if read_direct_message(conn, message.id) is None]
        for message in new:
            with suppress(RacedError), self.states.begin() as conn:
                queue_direct_message(conn, message)

    def _mailboxes(self, client: Slack) -> Iterator[Route]:
        """Where the direct messages that wait go: opened by Slack, the same one each time."""
        with self.states.connect().execution_options(reading=True) as conn:
            waiting = addressees(conn)
        for person in self.catalog.people:
            if person.slack and person.name in waiting:
                try:
                    opened = client.ask("conversations.open", users=person.slack).data["channel"]
                except SlackError as error:
                    log.warning("cannot send direct messages to %s", person.name, extra=about(code=error.code))
                else:
                    yield direct_messages.mailbox(person, str(opened["id"]))

    def _client(self) -> Slack | None:
        slack = self.settings.slack
        return Slack(slack.token.get_secret_value(), slack.base_url, slack.timeout_s) if slack.token else None

    def deliver(self, pin: Pin, stop: Callable[[], bool] = lambda: False) -> Sent | None:
        """Send what is owed. None without a token: messages stay pending."""
        client, link = self._client(), self.settings.dashboard.public_url
        if client is None:
            return None
        routed = with_canary(self.catalog, self.settings.watch.canary_channel)
        catalog = routed.model_copy(update={"routes": (*routed.routes, *self._mailboxes(client))})
        writer = direct_messages.DirectMessageWriter(pin, self.catalog, self.settings.currency, link, self.clock())
        with self.states.connect() as conn:
            is_muted = muted(conn, self._real()).__contains__
        worker = DeliveryWorker(
            self.states,
            client,
            CardReader(pin, catalog, link, self.clock(), self.settings.currency),
            catalog,
            self.settings.slack.timeout_s,
            self._real,
            # A pause until a channel takes the next message: nothing is claimed meanwhile.
            wait=lambda pause: time.sleep(pause.total_seconds()),
            is_muted=is_muted,
            letters=writer.words,
        )
        sent = worker.deliver(stop)
        self._count(FOUND, sent.found)
        DuplicateRemover(self.states, client, self._real).remove()
        return sent

    def add_pictures(self, stop: Callable[[], bool]) -> None:
        """Give messages that stand already their pictures."""
        client, link = self._client(), self.settings.dashboard.public_url
        with self.states.connect().execution_options(reading=True) as conn:
            is_wanted = due_picture(conn, self._real()) is not None
        if client is None or not is_wanted:
            return
        with self.warehouse.pin() as pin:
            cards = CardReader(pin, self.catalog, link, self.clock(), self.settings.currency)
            PictureDelivery(
                self.states, client, cards, self.catalog, self._real, lambda pause: time.sleep(pause.total_seconds())
            ).deliver(stop)

    def start_pictures(self, before: threading.Thread | None, stop: Callable[[], bool]) -> threading.Thread:
        """In a thread of their own: a picture that hangs must not delay a message."""

        def add() -> None:
            try:
                self.add_pictures(stop)
            except Exception as error:  # noqa: BLE001 - the next round tries again
                log_failure("adding pictures", error, self.settings)

        if before is not None and before.is_alive():
            return before
        thread = threading.Thread(target=add, name="pictures", daemon=True)
        thread.start()
        return thread

    def _count(self, name: str, times: int) -> None:
        if times:
            with self.states.begin() as conn:
                increment(conn, name, times)

    @staticmethod
    def _real() -> datetime:
        """Deliveries happen now, whatever time is replayed."""
        return datetime.now(UTC)

    def forever(self, interval: timedelta, say: Callable[[str], None]) -> None:
        """Tick every `interval`, with each new generation and with new rules, until the process is asked to end."""
        ended, woken = threading.Event(), threading.Event()

        def end(*_: object) -> None:
            ended.set()
            woken.set()

        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, end)
        with self.warehouse.listening(woken.set):
            self._watch(interval, say, ended, woken)
        say("ended")

    def _watch(
        self, interval: timedelta, say: Callable[[str], None], ended: threading.Event, woken: threading.Event
    ) -> None:
        ticked_at, generation, used = datetime.min.replace(tzinfo=UTC), 0, self.catalog
        drawing: threading.Thread | None = None
        live = LiveRules(self.settings, Rules(self.catalog, self.author), COLUMNS)
        while not ended.is_set():
            # Before it looks: what is published while it works wakes it at once.
            woken.clear()
            try:
                rules = live.current()
                runner = replace(self, catalog=rules.catalog, author=rules.author)
                with self.warehouse.pin() as pin:
                    is_new = pin.generation.number != generation or rules.catalog is not used
                    if is_new or self._real() - ticked_at >= interval:
                        ticked_at, generation, used = self._real(), pin.generation.number, rules.catalog
                        _say(runner.tick(pin), say)
                    _say(runner.deliver(pin, self._turn(ended)), say)
                drawing = runner.start_pictures(drawing, ended.is_set)
                with self.states.begin() as conn:
                    note = f"{generation}; {rules.refused}" if rules.refused else str(generation)
                    record_heartbeat(conn, "triggers", note, self._real())
            except NoWarehouseError as error:
                log.info("%s", error)
            except EarshotError as error:
                log.error("%s", error)  # noqa: TRY400 - its line says what to do; a trace would hide it
            except Exception as error:  # noqa: BLE001 - a full disk or a lost database must not end the watch
                log_failure("the tick", error, self.settings)
                self._note_failure()
            if not ended.is_set():
                woken.wait(min(POLL_S, interval.total_seconds()))
        if drawing is not None:
            drawing.join(self.settings.slack.timeout_s)

    def _note_failure(self) -> None:
        try:
            self._count(FAILED, 1)
        except Exception:  # noqa: BLE001 - what failed the tick may fail this too
            log.warning("the failure could not be counted")

    @staticmethod
    def _turn(ended: threading.Event) -> Callable[[], bool]:
        """Whether deliveries must make room: for the end, or for the next tick."""
        until = time.monotonic() + TURN_S
        return lambda: ended.is_set() or time.monotonic() > until


def _say(done: Report | Sent | None, say: Callable[[str], None]) -> None:
    """Say what was done, where anything was."""
    if done and any((done.slots, done.opened, done.over) if isinstance(done, Report) else (done != Sent(),)):
        say(str(done))
