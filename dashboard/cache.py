"""The only cached functions. A key holds all that a result depends on: the generation, the configuration, the reader's
scope, the month and the vertical. Two loads never meet on one page, and nobody is served what another may see. The
state (incidents, decisions) is never cached. The theme is no part of a key: a finished chart suits both.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import streamlit as st
from sqlalchemy import Connection

from config.models.catalog import Catalog
from config.reading.drafts import Drafts, parse_drafts
from config.reading.loader import read_catalog
from config.settings import Settings
from dashboard import charts
from dashboard.lab import charts as lab_charts
from queries.metrics.measure import MetricPoint
from queries.monitoring.evidence import Evidence
from queries.review.action_effects import ActionEffect
from queries.review.compose import Facts, MeetingState, MetricStatus, Points, Review, compose
from queries.review.incident_page import IncidentPage, Trend, current_rule, read_account_name, read_evidence, read_trend
from queries.review.read import (
    Months,
    ReviewContext,
    read_effect,
    read_facts,
    read_meeting,
    read_months,
    read_period,
    read_point,
    read_verticals,
)
from queries.scope import Scope
from queries.state.actions import Action
from queries.state.incidents import Incident
from queries.warehouse.conditions import ConditionPeriod, condition_periods
from queries.warehouse.generations import Pin
from queries.warehouse.relations import COLUMNS
from triggers.lab.false_alarms import FalseAlarmRate, false_alarm_rate
from triggers.lab.parameter_sweep import ParameterSweep, own_metric, sweep_setting
from triggers.lab.setting import with_value
from triggers.lab.what_if import Trial, TrialOutcome, fault_scanner, outcome, trial
from triggers.messages.card import Card

ENTRIES: Final = 256
"""How many results each cached function keeps."""


@dataclass(frozen=True, slots=True)
class Key:
    """What every cached result depends on. `day` is today: what has matured depends on it.

    `scope` is the reader's own, narrowed to the vertical that is looked at; `stamp` is the configuration's hash.
    """

    data: str
    folder: str
    stamp: str
    currency: str
    generation: int
    day: date
    scope: Scope
    month: date | None = None
    vertical: str | None = None

    @property
    def as_of(self) -> datetime:
        """The instant that results are known at: the start of today, UTC."""
        return datetime.combine(self.day, time(), UTC)

    def of(self, month: date, vertical: str | None) -> "Key":
        """The key of one review."""
        return replace(self, month=month, vertical=vertical, scope=self.scope.narrowed(vertical))


def _hashed(key: Key) -> str:
    limits = (key.scope.verticals, key.scope.touchpoints, key.scope.accounts)
    scope = (key.scope.role, *(None if limit is None else sorted(limit) for limit in limits))
    rest = (key.data, key.folder, key.stamp, key.currency, key.generation, key.day, key.month, key.vertical)
    return repr((*rest, *scope))


_KEYED: Final[Any] = {Key: _hashed}


def page_key(settings: Settings, stamp: str, generation: int, scope: Scope, now: datetime) -> Key:
    """The key of a page run, before a month is chosen."""
    folders = (str(settings.warehouse.url or settings.data), str(settings.config))
    return Key(*folders, stamp, settings.currency, generation, now.date(), scope)


def config_fingerprint(folder: Path) -> str:
    """A hash of the configuration's files."""
    found = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.glob("*.toml")):
        found.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()


@st.cache_resource(max_entries=4, show_spinner=False)
def catalog(folder: str, stamp: str) -> Catalog:
    """The configuration, read anew when its hash has changed. Raises ConfigError with all mistakes."""
    del stamp  # it is a key only
    return read_catalog(Path(folder), COLUMNS)


# The results below are frozen values, so one copy serves everybody: `cache_resource` hands out the value itself.
# The connection is not hashed: the key's generation says what it reads.


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs=_KEYED)
def months(key: Key, _pin: Pin) -> Months:
    """The months that can be reviewed."""
    return read_months(_pin.conn, key.scope, key.as_of)


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs=_KEYED)
def verticals(key: Key, _pin: Pin) -> tuple[str, ...]:
    """The verticals in scope."""
    return read_verticals(_pin.conn, key.scope)


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs=_KEYED)
def _lens(key: Key, _pin: Pin) -> ReviewContext:
    month = key.month or key.day.replace(day=1)
    period = read_period(_pin.conn, month, min(months(key, _pin).first_full or month, month))
    return ReviewContext(catalog(key.folder, key.stamp), period, key.scope, key.as_of, key.currency, key.vertical)


@st.cache_resource(max_entries=ENTRIES, show_spinner="Reading the month …", hash_funcs=_KEYED)
def review_facts(key: Key, _pin: Pin) -> Facts:
    """What the warehouse says about the month."""
    return read_facts(_pin, _lens(key, _pin))


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs=_KEYED)
def _point(key: Key, _pin: Pin, metric: str, rule: str, group: str) -> MetricPoint | None:
    lens = _lens(key, _pin)
    return read_point(_pin.conn, lens, lens.catalog.metric(metric), rule, group)


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs={**_KEYED, Action: repr})
def _effect(key: Key, _pin: Pin, action: Action, others: tuple[Action, ...]) -> ActionEffect | None:
    return read_effect(_pin.conn, _lens(key, _pin), action, others)


def review(key: Key, pin: Pin, state: Connection) -> Review:
    """The document of one month: cached figures, and the state as it is now."""
    lens = _lens(key, pin)
    minutes = read_meeting(state, lens)
    metrics = {metric.name: metric for metric in lens.catalog.metrics}
    return compose(
        review_facts(key, pin),
        minutes,
        _points(key, pin, minutes),
        _effects(key, pin, minutes.actions),
        metrics,
        vertical=key.vertical,
        most_issues=lens.catalog.review.max_issues,
        today=key.day,
    )


def _points(key: Key, pin: Pin, minutes: MeetingState) -> Points:
    wanted = {(one.metric.name, one.rule, one.group) for one in minutes.found if one.metric}
    found = {(metric, group): _point(key, pin, metric, rule, group) for metric, rule, group in sorted(wanted)}
    return {place: point for place, point in found.items() if point is not None}


def _effects(key: Key, pin: Pin, actions: tuple[Action, ...]) -> dict[str, ActionEffect]:
    found = {action.id: _effect(key, pin, action, actions) for action in actions}
    return {id_: effect for id_, effect in found.items() if effect is not None}


@st.cache_data(max_entries=ENTRIES, show_spinner=False, hash_funcs=_KEYED)
def goals_spec(key: Key, _pin: Pin, metric: str | None) -> dict[str, Any]:
    """The finished chart of the verticals against their goals in one metric, or of all metrics in one vertical."""
    lens = _lens(key, _pin)
    shown = _shown(review_facts(key, _pin).standings, metric)
    return charts.finished(charts.against_goals(shown, lens.period.history, one_scale=metric is not None))


def _shown(standings: tuple[MetricStatus, ...], metric: str | None) -> tuple[MetricStatus, ...]:
    return tuple(s for s in standings if metric in {None, s.metric.name})


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs={**_KEYED, Incident: repr})
def trend(key: Key, _pin: Pin, found: Incident) -> Trend | None:
    """An incident's own figures over time."""
    rule, metric = current_rule(found, catalog(key.folder, key.stamp))
    if rule is None or metric is None:
        return None
    return read_trend(_pin.conn, rule, metric, found, key.scope, key.as_of)


@st.cache_data(max_entries=ENTRIES, show_spinner=False, hash_funcs={**_KEYED, Incident: repr, charts.Reference: repr})
def trend_spec(key: Key, _pin: Pin, found: Incident, held: charts.Reference | None) -> dict[str, Any] | None:
    """The finished chart of an incident, None where no figures are kept for it."""
    shown = trend(key, _pin, found)
    _, metric = current_rule(found, catalog(key.folder, key.stamp))
    if shown is None or metric is None or all(point.value is None for point in shown.points):
        return None
    return charts.finished(charts.over_time(shown, metric, found, held))


@st.cache_resource(max_entries=ENTRIES * 8, show_spinner=False, hash_funcs=_KEYED)
def account_name(key: Key, _pin: Pin, account_id: str) -> str:
    """An account's name, or its id where the reader may not have the name."""
    return read_account_name(_pin.conn, account_id, key.scope) or account_id


def effect_words(key: Key, pin: Pin, action: Action, others: tuple[Action, ...]) -> str:
    """What an action has done so far, in words."""
    found = _effect(key, pin, action, others)
    metric = next((m for m in catalog(key.folder, key.stamp).metrics if m.name == action.metric), None)
    return found.words(metric) if found and metric else "no metric to judge it by"


@st.cache_resource(
    max_entries=ENTRIES, show_spinner=False, hash_funcs={**_KEYED, IncidentPage: lambda it: repr(it.incident)}
)
def incident_evidence(key: Key, _pin: Pin, it: IncidentPage) -> Evidence | None:
    """What stands behind an incident, at its present version."""
    return read_evidence(_pin.conn, it, key.scope, key.as_of)


def card(key: Key, pin: Pin, it: IncidentPage, link: str) -> Card | None:
    """The card that Slack shows too. This reader may see the accounts: the scope has seen to it."""
    known = catalog(key.folder, key.stamp)
    route = next((route for route in known.routes if route.name == it.incident.route), None)
    if it.rule is None or route is None:
        return None
    named = route.model_copy(update={"show": ("accounts",)})
    zone = ZoneInfo(pin.generation.zone)
    found = incident_evidence(key, pin, it)
    return Card(it.incident, it.history, it.rule, it.metric, named, found, zone, link, known.people)


# The lab: a trial is read once, and each setting of it is judged and replayed once.


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What the lab tries: a rule of the configuration, or of a draft, over the days [since, until).

    `alphas` are what null replays found, by the version's hash: part of the key, for the state is never cached.
    """

    rule: str
    draft: str
    since: date
    until: date
    alphas: tuple[tuple[str, float], ...] = ()


_TRIED: Final[Any] = {**_KEYED, TrialRequest: repr}
TRIALS: Final = 24


def drafted(key: Key, draft: str) -> Drafts:
    """The rules of a draft, and the catalogue with them. Raises ConfigError with the draft's mistakes."""
    known = catalog(key.folder, key.stamp)
    return parse_drafts(draft, known, COLUMNS) if draft else Drafts((), known)


@st.cache_resource(max_entries=TRIALS, show_spinner="Reading the rule's past …", hash_funcs=_TRIED)
def rule_trial(key: Key, _pin: Pin, asked: TrialRequest) -> Trial:
    """A rule with all that it reads."""
    known = drafted(key, asked.draft).catalog
    return trial(_pin, known, known.rule(asked.rule), asked.since, asked.until, dict(asked.alphas))


@st.cache_resource(max_entries=TRIALS, show_spinner="Trying every setting …", hash_funcs=_TRIED)
def rule_sweep(key: Key, _pin: Pin, asked: TrialRequest) -> ParameterSweep:
    """What the rule would have done at every setting worth trying."""
    return sweep_setting(_pin.conn, rule_trial(key, _pin, asked))


@st.cache_resource(max_entries=ENTRIES, show_spinner="Replaying it without any change …", hash_funcs=_TRIED)
def rule_noise(key: Key, _pin: Pin, asked: TrialRequest, value: float) -> FalseAlarmRate:
    """The false alarms of one setting."""
    of = rule_trial(key, _pin, asked)
    return false_alarm_rate(of, with_value(of.rule, value), key.as_of)


@st.cache_resource(max_entries=ENTRIES, show_spinner="Asking whether the data explains it …", hash_funcs=_TRIED)
def rule_outcome(key: Key, _pin: Pin, asked: TrialRequest, value: float) -> TrialOutcome:
    """What one setting would have done, after the data's own faults were asked for."""
    of = rule_trial(key, _pin, asked)
    return outcome(_pin.conn, of, with_value(of.rule, value), fault_scanner(_pin, of))


@st.cache_resource(max_entries=ENTRIES, show_spinner=False, hash_funcs=_KEYED)
def spans(key: Key, _pin: Pin) -> tuple[ConditionPeriod, ...]:
    """The conditions that held."""
    del key  # it is a key only
    return condition_periods(_pin.conn, ZoneInfo(_pin.generation.zone))


@st.cache_data(max_entries=ENTRIES, show_spinner=False, hash_funcs=_TRIED)
def curve_spec(key: Key, _pin: Pin, asked: TrialRequest, value: float) -> dict[str, Any]:
    """The finished chart of what each setting asks of each reader."""
    of = rule_trial(key, _pin, asked)
    return charts.finished(lab_charts.attention_curve(rule_sweep(key, _pin, asked), own_metric(of), value))


@st.cache_data(max_entries=ENTRIES, show_spinner=False, hash_funcs={**_TRIED, lab_charts.IncidentTimeline: repr})
def time_spec(key: Key, _pin: Pin, asked: TrialRequest, line: lab_charts.IncidentTimeline) -> dict[str, Any]:
    """The finished chart of the incidents on the time line."""
    return charts.finished(lab_charts.time_line(line, asked.since, asked.until, spans(key, _pin)))
