"""The watchdog: is everybody awake, is anything late? Pure; `python -m triggers audit` asks it from outside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Literal

from config.models import Catalog, WatchRule
from queries.operations.health import UNFINISHED, StateHealth
from queries.state import FAILED, FOUND, LIMITED, MISSED_SLOTS

SILENT: Final = timedelta(minutes=5)
"""A process that has said nothing for so long is gone."""

STUCK: Final = timedelta(minutes=15)
"""A message, a step or a press that waits for so long is stuck."""

A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and what to do about it."""

    what: str
    todo: str

    def __str__(self) -> str:
        """The fault in one line."""
        return f"{self.what}; {self.todo}"


@dataclass(frozen=True, slots=True)
class ExpectedState:
    """What should be there.

    Args:
        catalog: the rules.
        newest_load: when the newest generation was published; None where nothing is loaded.
        stale_after: how old it may be.
        has_slack: whether there is a token: without one nothing can be sent.
        hears: whether presses in Slack are listened to.
        has_canary: whether a message a day is sent to a test channel.
        unread: why the canary's channel could not be read, where it could not.
    """

    catalog: Catalog
    newest_load: datetime | None
    stale_after: timedelta
    has_slack: bool
    hears: bool
    has_canary: bool = False
    unread: str = ""


def audit(seen: StateHealth, expected: ExpectedState) -> tuple[Fault, ...]:
    """Everything that is wrong; nothing where all is well."""
    return (
        *_processes(seen, expected),
        *_evaluation(seen, expected),
        *_incidents(seen),
        *_messages(seen, expected),
    )


def _processes(seen: StateHealth, expected: ExpectedState) -> Iterator[Fault]:
    yield from _alive(seen, "triggers", "start `python -m triggers run`")
    if seen.astray:
        what, _, todo = seen.astray.partition("; ")
        yield Fault(what, todo)
    if expected.hears:
        yield from _alive(seen, "listener", "start `python -m triggers listen`")
    names = ("triggers", "listener") if expected.hears else ("triggers",)
    notes = [seen.beats[name].note.partition(";")[2].strip() for name in names if name in seen.beats]
    # Processes that follow the same files refuse them in the same words, which are said once.
    for refusal in dict.fromkeys(note for note in notes if note):
        yield Fault(
            f"the rules in use are older than the files: {refusal}", "fix the file; it is reloaded automatically"
        )


def _alive(seen: StateHealth, name: str, todo: str) -> Iterator[Fault]:
    beat = seen.beats.get(name)
    if beat is None:
        yield Fault(f"{name} has never run", todo)
    elif seen.at - beat.at > SILENT:
        yield Fault(f"no sign of life from {name} for {_long(seen.at - beat.at)}", todo)


def _evaluation(seen: StateHealth, expected: ExpectedState) -> Iterator[Fault]:
    """A rule is evaluated with each of its slots, and with each load."""
    for rule in expected.catalog.rules:
        if isinstance(rule, WatchRule) and rule.enabled:
            at = seen.evaluated_at.get(rule.name)
            if at is None or seen.at - at > MISSED_SLOTS * rule.every:
                since = f"for {_long(seen.at - at)}" if at else "yet"
                todo = "load new data, or see what `python -m triggers check` says of it"
                yield Fault(f"rule {rule.name} has not been evaluated {since}", todo)
    for error in seen.errors:
        what = f"rule {error.where} could not be evaluated for {_long(seen.at - error.since)}: {error.reason}"
        yield Fault(what, "change the rule or its data; its incidents are frozen until then")
    if expected.newest_load is None:
        yield Fault("nothing is loaded", "run `python -m queries load`")
    elif seen.at - expected.newest_load > expected.stale_after:
        age = _long(seen.at - expected.newest_load)
        yield Fault(f"the newest load is {age} old", "find out why `python -m queries load` does not run")


def _incidents(seen: StateHealth) -> Iterator[Fault]:
    if seen.unfounded:
        todo = "internal error: keep the database and report it"
        yield Fault(f"{seen.unfounded} firing without an incident", todo)
    if seen.overdue:
        late = _long(seen.at - seen.overdue[0])
        yield Fault(
            f"{_counted(len(seen.overdue), 'escalation step')} overdue, the oldest by {late}",
            "check that `triggers run` is running",
        )
    if seen.untold_live:
        todo = "acknowledge or close them on the page Incidents, which says why"
        yield Fault(f"{_counted(seen.untold_live, 'open incident')} that nobody was ever notified of", todo)
    if seen.unheard and seen.at - seen.unheard[0] > STUCK:
        yield Fault(
            f"{_counted(len(seen.unheard), 'Slack interaction')} unprocessed",
            "restart `python -m triggers listen`",
        )


def _messages(seen: StateHealth, expected: ExpectedState) -> Iterator[Fault]:
    if seen.refused:
        todo = "see `python -m triggers outbox` and `python -m triggers doctor`"
        yield Fault(f"Slack rejected {_counted(seen.refused, 'message')} in the last day", todo)
    if seen.oldest_message and seen.at - seen.oldest_message > STUCK:
        late = _long(seen.at - seen.oldest_message)
        todo = "see `python -m triggers doctor`" if expected.has_slack else "set EARSHOT_SLACK__TOKEN"
        yield Fault(f"the oldest message has been waiting for {late}", todo)
    if not expected.has_canary:
        return
    # One message a day must be found where it was sent. A refused or late one is told as every other message.
    canary, todo = seen.canary, "see `python -m triggers doctor`"
    if expected.unread:
        yield Fault(f"the canary's channel cannot be read ({expected.unread})", todo)
    elif canary is None or seen.at - canary.queued_at > A_DAY + STUCK:
        yield Fault("no canary message was queued today", "check that `triggers audit` is running")
    elif not canary.found and canary.state == "sent" and seen.at - canary.queued_at > STUCK:
        yield Fault(f"the canary of {canary.queued_at:%Y-%m-%d} was sent but is not in its channel", todo)


def _counted(n: int, one: str, more: str = "") -> str:
    return f"1 {one}" if n == 1 else f"{n:,} {more or one + 's'}"


def _long(length: timedelta) -> str:
    if length >= timedelta(days=2):
        return f"{length.days} days"
    minutes = int(length.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


Values = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure for Prometheus: by the values of its labels what it is. Ages are in seconds."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    values: Values


def gauges(seen: StateHealth, faults: Sequence[Fault]) -> tuple[Gauge, ...]:
    """Everything that the watchdog knows, as figures. No name of a customer is among the labels."""
    beats: Values = {(name,): _age(seen, beat.at) for name, beat in seen.beats.items()}
    lags: Values = {(rule,): _age(seen, at) for rule, at in seen.evaluated_at.items()}
    # Half of the acknowledgements, and nine of ten, took no longer; nothing where there was none.
    times = sorted(seen.to_acknowledge)
    quantiles: Values = {(str(q),): times[ceil(q * len(times)) - 1] for q in (0.5, 0.9)} if times else {}
    return (
        _one("faults", "problems found by the watchdog", len(faults)),
        _many("heartbeat_age_seconds", "since the last sign of life of a process", ("process",), beats),
        _count("evaluations", "slots of rules that were evaluated", seen.evaluations),
        _count("tick_errors", "ticks that ended in an error", seen.counted.get(FAILED, 0)),
        _many("evaluation_lag_seconds", "since a rule was last evaluated", ("rule",), lags),
        _one("rule_errors", "rules and slices that could not be evaluated", len(seen.errors)),
        _many("incidents", "incidents", ("state", "class"), dict[tuple[str, ...], float](seen.incidents.items())),
        _one("incidents_untold", "open incidents that nobody was or will be notified of", seen.untold),
        _one("steps_overdue", "overdue escalation steps", len(seen.overdue)),
        _many("messages", "messages", ("state",), {(state,): n for state, n in seen.messages.items()}),
        _one("outbox_depth", "pending messages", sum(seen.messages.get(state, 0) for state in UNFINISHED)),
        _one("outbox_age_seconds", "how long the oldest message has been due", _age(seen, seen.oldest_message)),
        _count("duplicates_prevented", "messages found already sent", seen.counted.get(FOUND, 0)),
        _count("rate_limited", "calls that Slack rate-limited (429)", seen.counted.get(LIMITED, 0)),
        _one("dead_letters", "messages that Slack rejected", seen.messages.get("dead", 0)),
        _one("presses_waiting", "unprocessed Slack interactions", len(seen.unheard)),
        _many("time_to_ack_seconds", "opening to acknowledgement, 30 days", ("quantile",), quantiles),
    )


def _one(name: str, text: str, value: float) -> Gauge:
    return Gauge(f"earshot_{name}", "gauge", text, (), {(): value})


def _count(name: str, text: str, value: float) -> Gauge:
    return Gauge(f"earshot_{name}", "counter", text, (), {(): value})


def _many(name: str, text: str, labels: tuple[str, ...], values: Values) -> Gauge:
    return Gauge(f"earshot_{name}", "gauge", text, labels, values)


def _age(seen: StateHealth, since: datetime | None) -> float:
    return max((seen.at - since).total_seconds(), 0.0) if since else 0.0
