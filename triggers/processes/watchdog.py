"""The process that watches the others: it audits the state, serves figures, and calls a dead-man address when clean.

It is a process of its own, so that it also notices when the others are gone. Its own end is noticed by whoever waits
for the calls.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.error import URLError
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from config import EarshotError
from config.models import Catalog
from config.settings import Settings
from queries.engine import aware, day_of
from queries.messages import active_silences, record_heartbeat
from queries.operations.health import StateHealth, read_health
from queries.state import RacedError, read_incidents, rule_errors
from queries.warehouse import COLUMNS, EVERYTHING, Generation, NoWarehouseError, Warehouse
from triggers.incidents import overdue_steps
from triggers.logs import log_failure
from triggers.processes.audit import STUCK, ExpectedState, Fault, audit, gauges
from triggers.rules import LiveRules, Rules
from triggers.slack.canary import look, set_out
from triggers.slack.client import Slack, SlackError

log: Final = logging.getLogger("triggers")
LOOPBACK: Final = "127.0.0.1"
PING_S: Final = 10.0


class PortTakenError(EarshotError):
    """The figures cannot be served where they were asked for."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look: the state, and what is wrong with it."""

    vitals: StateHealth
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Watchdog:
    """What the watchdog works with. `clock` gives aware UTC."""

    settings: Settings
    catalog: Catalog
    warehouse: Warehouse
    states: Engine
    clock: Callable[[], datetime]

    def once(self) -> Observation:
        """Set out the day's canary, look at everything, and call the dead-man address where all is well."""
        unread = self._canary()
        seen = self.look(unread)
        url = self.settings.watch.dead_man_url
        if url is not None and not seen.faults:
            ping(url.get_secret_value())
        return seen

    def look(self, unread: str = "") -> Observation:
        """What is, and what is wrong; nothing is changed."""
        now, zone = self.clock(), self._zone()
        with self.states.connect().execution_options(reading=True) as conn:
            standing = read_incidents(conn, EVERYTHING, since=now - STUCK)
            ill = {(error.rule, error.slice) for error in rule_errors(conn)}
            # The ladder of what could not be evaluated stands still on purpose.
            standing = tuple(i for i in standing if ill.isdisjoint({(i.rule, ""), (i.rule, i.slice)}))
            steps = overdue_steps(standing, active_silences(conn, now - STUCK), self.catalog, zone, now, STUCK)
            found = replace(read_health(conn, now), overdue=steps)
        return Observation(found, audit(found, self._expected(unread)))

    def forever(self, every: timedelta, port: int | None, say: Callable[[str], None]) -> None:
        """Look every so often, and serve the figures on loopback, until the process is asked to end.

        Raises:
            PortTakenError: another process listens on the port.
        """
        ended = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: ended.set())
        watchdog, live = self, LiveRules(self.settings, Rules(self.catalog), COLUMNS)
        with ExitStack() as until_ended:
            if port is not None:
                # Looked up at each call: the rules may have changed since.
                until_ended.callback(serve_metrics(lambda: watchdog.look(), port))  # noqa: PLW0108
            while not ended.is_set():
                watchdog = turn(watchdog, live, say)
                ended.wait(every.total_seconds())
        say("ended")

    def _expected(self, unread: str) -> ExpectedState:
        slack, watch, generation = self.settings.slack, self.settings.watch, self._generation()
        has_slack, hears = slack.token is not None, slack.app_token is not None
        return ExpectedState(
            self.catalog,
            aware(generation.published_at) if generation else None,
            watch.stale_after,
            has_slack,
            hears,
            has_canary=watch.canary_channel is not None and has_slack,
            unread=unread,
        )

    def _canary(self) -> str:
        """Why the canary could not be looked for; empty where it could, or there is none."""
        slack, channel = self.settings.slack, self.settings.watch.canary_channel
        if channel is None or slack.token is None:
            return ""
        try:
            set_out(self.states, day_of(self.clock(), self._zone()), self.clock())
            client = Slack(slack.token.get_secret_value(), slack.base_url, slack.timeout_s)
            look(self.states, client, channel, self.clock())
        except RacedError:
            return ""
        except SlackError as error:
            return error.code
        return ""

    def _zone(self) -> ZoneInfo:
        generation = self._generation()
        return ZoneInfo(generation.zone if generation else self.settings.zone or "UTC")

    def _generation(self) -> Generation | None:
        try:
            with self.warehouse.pin() as pin:
                return pin.generation
        except NoWarehouseError:
            return None


def turn(watchdog: Watchdog, live: LiveRules, say: Callable[[str], None]) -> Watchdog:
    """One look by the rules as they are now: one that was removed is not missed. Returns who looked."""
    try:
        watchdog = replace(watchdog, catalog=live.current().catalog)
        seen = watchdog.once()
        with watchdog.states.begin() as conn:
            record_heartbeat(conn, "audit", f"{len(seen.faults)} faults", watchdog.clock())
    except Exception as error:  # noqa: BLE001 - a lost database must not end the watch; the dead-man address tells
        log_failure("the audit", error, watchdog.settings)
        return watchdog
    for line in in_words(seen.faults):
        say(line)
    return watchdog


def in_words(faults: Iterable[Fault]) -> list[str]:
    """The faults line by line, or that there is none."""
    return [str(fault) for fault in faults] or ["no problems found"]


def ping(url: str) -> bool:
    """Call the dead-man address. A call that fails is no fault of ours: whoever waits for it will say so."""
    try:
        with urlopen(Request(url, method="GET"), timeout=PING_S):  # noqa: S310 - the settings let only http(s) through
            return True
    except (URLError, OSError, ValueError) as error:
        log.warning("calling the dead-man address failed (%s)", type(error).__name__)
        return False


class Figures(Collector):
    """The figures at the moment at which they are asked for."""

    def __init__(self, look: Callable[[], Observation]) -> None:
        self._look = look

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """One family for each figure."""
        seen, families = self._look(), []
        for figure in gauges(seen.vitals, seen.faults):
            kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            family = kind(figure.name, figure.help, labels=figure.labels)
            for labels, value in sorted(figure.values.items()):
                family.add_metric(labels, value)
            families.append(family)
        return families

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Nothing: the state is not read before it is asked for."""
        return []


def serve_metrics(look: Callable[[], Observation], port: int) -> Callable[[], None]:
    """Serve the figures at http://127.0.0.1:PORT/metrics. Returns what ends it."""
    registry = CollectorRegistry()
    registry.register(Figures(look))
    try:
        server, thread = start_http_server(port, LOOPBACK, registry)
    except OSError as error:
        raise PortTakenError(f"cannot listen on port {port} ({error.strerror}); choose another --port") from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
