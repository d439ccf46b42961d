"""The process that ticks: evaluate, deliver, wait, for ever or once."""

import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from config.catalog import Catalog
from config.errors import EarshotError
from config.settings import Settings
from queries.generations import NoWarehouseError, Pin, Warehouse
from queries.incidents import RacedError
from queries.outbox import beat
from triggers.cards import Cards
from triggers.deliver import Courier, Sent
from triggers.lease import acquire, release
from triggers.slack import Slack
from triggers.tick import Report, tick

log: Final = logging.getLogger("triggers")

POLL_S: Final = 5.0
"""How often the loop looks for a new generation, and for messages whose time has come."""


@dataclass(frozen=True, slots=True)
class Runner:
    """What a run works with. `clock` gives aware UTC; a fixed one replays."""

    settings: Settings
    catalog: Catalog
    warehouse: Warehouse
    states: Engine
    clock: Callable[[], datetime]

    def once(self, stop: Callable[[], bool] = lambda: False) -> tuple[Report | None, Sent | None]:
        """One tick and one round of deliveries. None for what another process does, or what is not set up."""
        with self.warehouse.pin() as pin:
            report = self.tick(pin)
            return report, self.deliver(pin, stop)

    def tick(self, pin: Pin) -> Report | None:
        """Evaluate what is due, unless another process does."""
        tenancy = acquire(self.states, datetime.now(UTC))
        if tenancy is None:
            return None
        try:
            return tick(self.states, pin, self.catalog, self.clock(), tenancy.guard)
        except RacedError as error:
            log.info("%s", error)
            return None
        finally:
            release(self.states, tenancy, datetime.now(UTC))

    def deliver(self, pin: Pin, stop: Callable[[], bool] = lambda: False) -> Sent | None:
        """Send what is owed. None without a token: messages stay pending."""
        slack = self.settings.slack
        if slack.token is None:
            return None
        cards = Cards(pin, self.catalog, self.settings.dashboard.public_url, self.clock())
        client = Slack(slack.token.get_secret_value(), slack.base_url, slack.timeout_s)
        return Courier(self.states, client, cards, self.catalog, slack.timeout_s, self._real).deliver(stop)

    @staticmethod
    def _real() -> datetime:
        """Deliveries happen now, whatever time is replayed."""
        return datetime.now(UTC)

    def forever(self, interval: timedelta, say: Callable[[str], None]) -> None:
        """Tick every `interval` and with each new generation, until the process is asked to end."""
        ended = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: ended.set())
        ticked_at, generation = datetime.min.replace(tzinfo=UTC), 0
        while not ended.is_set():
            try:
                with self.warehouse.pin() as pin:
                    is_due = self._real() - ticked_at >= interval or pin.generation.number != generation
                    if is_due:
                        ticked_at, generation = self._real(), pin.generation.number
                        _say(self.tick(pin), say)
                    _say(self.deliver(pin, ended.is_set), say)
                self._beat(str(generation))
            except NoWarehouseError as error:
                log.info("%s", error)
            except EarshotError as error:
                log.error("%s", error)  # noqa: TRY400 - its line says what to do; a trace would hide it
            except Exception:  # a full disk or a lost database must not end the watch
                log.exception("the tick failed; the next one tries again")
            ended.wait(min(POLL_S, interval.total_seconds()))
        say("ended")

    def _beat(self, note: str) -> None:
        with self.states.begin() as conn:
            beat(conn, "triggers", note, self._real())


def _say(done: Report | Sent | None, say: Callable[[str], None]) -> None:
    """Say what was done, where anything was."""
    if done and any((done.slots, done.opened, done.over) if isinstance(done, Report) else (done != Sent(),)):
        say(str(done))
