"""The threshold lab: what a rule's limit would have done, before it is turned on. It never writes the configuration."""

from datetime import timedelta
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from config import ConfigError
from config.models import Metric, Rule
from config.reading import parse_known_incidents
from dashboard import markup as parts
from dashboard.lab import charts, data, markup
from dashboard.page_session import PageSession, banners, follow_address
from queries.state import calibrations, precisions
from triggers.evaluation.kinds import sentence_start
from triggers.lab import (
    ParameterSweep,
    Score,
    Trial,
    TrialOutcome,
    UntriedError,
    is_tried,
    own_metric,
    recovery_words,
    rows,
    rule_as_toml,
    scored,
    setting,
    toml_lines,
    with_value,
)

YEARS: Final = (1, 2, 3)
USUAL: Final = 2
YEAR: Final = timedelta(days=365)
EXAMPLE: Final = """[[known]]
name = "What happened"
metric = "{metric}"
slice = {{ vertical = "Retail" }}
since = {since}
until = {until}
"""


def show(session: PageSession) -> None:
    """The page: one rule of the link (`?rule=installation-defects&years=2`), or a draft."""
    top = st.container(key="controls", horizontal=True, vertical_alignment="bottom")
    request = _request(session, top)
    banners(session)
    if request is not None:
        _tried(session, request)


def _request(session: PageSession, top: DeltaGenerator) -> data.TrialRequest | None:
    """The rule, the years and the draft; None where there is nothing to try, which is said."""
    named = {rule.name: rule for rule in session.catalog.rules if is_tried(rule)}
    if not named:
        st.html(parts.notice("No rule reads a metric yet: write one in config/triggers.toml, or draft it here."))
    on_rule = follow_address("rule", {name: name for name in named}, next(iter(named), None))
    on_years = follow_address("years", {str(number): number for number in YEARS}, USUAL)
    labels = {name: f"{rule.label or name}{'' if rule.enabled else ' (off)'}" for name, rule in named.items()}
    name = None
    with top:
        if named:
            name = st.selectbox(
                "Rule", [*named], format_func=labels.__getitem__, key="rule", on_change=on_rule, width=420
            )
        years = st.segmented_control("Years", YEARS, required=True, key="years", on_change=on_years)
        is_draft = st.toggle("Draft", key="is-draft", help="Change the rule as TOML, or write another one")
    draft = ""
    if is_draft or not named:
        draft, name = _draft(session, named.get(name or ""))
    if name is None:
        return None
    until = session.key.day
    stored = sorted((hash_, calibration.alpha) for hash_, calibration in calibrations(session.state).items())
    return data.TrialRequest(name, draft, until - YEAR * (years or USUAL), until, tuple(stored))


def _draft(session: PageSession, rule: Rule | None) -> tuple[str, str | None]:
    """The draft as it is typed, and its first rule that can be tried; what is wrong with it is said, line by line."""
    begun = rule_as_toml(rule.model_copy(update={"enabled": True})) if rule else "[[rule]]\n"
    # Where the configuration has changed, a draft begins anew: an old one might undo what was just written.
    key = f"draft-{rule.name if rule else ''}-{session.key.stamp}"
    with st.form(f"form-{key}", border=False):
        text = st.text_area("The draft, as it would stand in config/triggers.toml", begun, key=key, height=330)
        st.form_submit_button("Try it", type="primary")
    draft = text or begun
    try:
        rules = data.drafted(session.key, draft).rules
    except ConfigError as error:
        st.html(parts.section("The draft has mistakes", "Correct them to try the draft."))
        st.html(parts.mistake_list(error.mistakes))
        return draft, None
    name = next((rule.name for rule in rules if is_tried(rule)), None)
    if name is None:
        st.html(parts.notice("The draft is an event rule; use `python -m triggers backtest --draft`."))
    return draft, name


def _tried(session: PageSession, request: data.TrialRequest) -> None:
    try:
        trial = data.rule_trial(session.key, session.pin, request)
    except UntriedError as error:
        st.html(parts.section("No data to try it on") + parts.notice(str(error), command="python -m queries status"))
        return
    sweep, metric = data.rule_sweep(session.key, session.pin, request), own_metric(trial)
    # The headline stands above the slider and says what the slider is set to: its place is kept until that is known.
    head, slider = st.container(key="lab-head"), st.container(key="lab-dial")
    with slider:
        value = _slider(session, sweep, metric, request)
    current = sweep.outcomes[sweep.values.index(value)]
    if st.session_state.get("ask-data"):
        current = data.rule_outcome(session.key, session.pin, request, value)
    with head:
        st.html(markup.lab_header(trial, sweep, current, value))
    st.html(markup.cards(trial, sweep, current))
    lede = "How many notifications each person would get if nobody acknowledged. Escalations included."
    st.html(parts.section("The cost in attention", lede))
    spec = data.curve_spec(session.key, session.pin, request, value)
    st.vega_lite_chart(spec, width="stretch", alt=charts.describe_curve(sweep, metric, value), key="lab-curve")
    _line(session, request, trial, sweep, current)
    _paste(trial, value)
    st.html(parts.section("False alarms and ratings"))
    votes, over = precisions(session.state).get(trial.rule.name), recovery_words(trial)
    st.html(parts.bullets([markup.votes_words(votes), f"{sentence_start(over)}."]))
    # Last, for the replays take a second or two: the page is there meanwhile.
    rate = data.rule_noise(session.key, session.pin, request, value)
    st.html(parts.bullets(word for word in (f"By chance alone: {markup.noise_words(rate)}", rate.warning) if word))


def _slider(session: PageSession, sweep: ParameterSweep, metric: Metric | None, request: data.TrialRequest) -> float:
    """The setting, from the laxest to the one that hears most."""
    words = {"limit": "Limit", "floor": "Smallest distance that counts (floor)", "at_least": "Least silence (at_least)"}
    value = st.select_slider(
        f"{words[sweep.on.field]}, from fewest to most incidents",
        [value for value, _ in sweep.lax_first()],
        sweep.on.value,
        format_func=lambda value: setting(sweep.on, metric, value),
        # Another rule, draft or configuration has other settings: a slider that kept its value would be at none.
        key=f"dial-{request.rule}-{hash((request.draft, request.since, session.key.stamp))}",
    )
    return value if value in sweep.values else sweep.on.value


def _line(
    session: PageSession, request: data.TrialRequest, trial: Trial, sweep: ParameterSweep, current: TrialOutcome
) -> None:
    lede = (
        "Thick: new setting. Thin grey: current setting. Dashed: caused by a data fault. Outline: known incident. "
        "Shaded: external condition."
    )
    st.html(parts.section("What it would have opened", lede))
    with st.container(horizontal=True, vertical_alignment="center", key="lab-asides"):
        scores = _scores(session, trial, current)
        st.toggle("Check for data faults", key="ask-data", help="Takes some seconds: every table is checked")
    line = charts.line_of(current, sweep.present, scores, session.key.tz)
    if line.bars:
        spec = data.time_spec(session.key, session.pin, request, line)
        st.vega_lite_chart(spec, width="stretch", alt=charts.describe_line(line), key="lab-line")
    else:
        st.html(parts.notice("No incidents with either setting. Move the slider or choose a longer period."))
    if more := charts.hidden(line):
        st.html(parts.notice(f"{more} more slices have fewer incidents and are in the list below only."))
    if current.found:
        with st.expander(f"Incidents ({len(current.found)}) and who is notified", key="lab-incidents"):
            st.html(markup.incident_rows(trial, current, session.key.tz))
            st.html(markup.readers(sweep, current))
    if scores:
        st.html(parts.bullets(markup.score_words(score) for score in scores))


def _scores(session: PageSession, trial: Trial, current: TrialOutcome) -> tuple[Score, ...]:
    """What the analyst knows to have happened, held against the setting."""
    slot = st.popover("Known incidents", key="lab-known", type="tertiary", on_change="rerun")
    if slot.open:
        with slot, st.form("lab-known-form", border=False):
            metric = trial.subject.metrics[0].name if trial.subject.metrics else ""
            example = EXAMPLE.format(metric=metric, since=trial.since, until=trial.since + timedelta(days=30))
            st.text_area("What happened, and when", key="known-text", placeholder=example, height=220)
            st.form_submit_button("Show them")
    text = st.session_state.get("known-text") or ""
    if not text.strip():
        return ()
    # A draft's rule is in no configuration: what is known may name it all the same.
    others = (rule for rule in session.catalog.rules if rule.name != trial.rule.name)
    catalog = session.catalog.model_copy(update={"rules": (*others, trial.rule)})
    try:
        known = parse_known_incidents(text, catalog)
    except ConfigError as error:
        st.html(parts.mistake_list(error.mistakes))
        return ()
    return scored(known, rows(current), catalog, trial.moment.zone).scores if known else ()


def _paste(trial: Trial, value: float) -> None:
    rule = with_value(trial.rule, value)
    lede = "Replace these lines of the rule in config/triggers.toml. The lab does not change any file."
    st.html(parts.section("The rule to paste", lede))
    st.code("\n".join(toml_lines(rule)), language=None)
    with st.expander("The whole rule", key="lab-whole"):
        st.code(rule_as_toml(rule), language=None)
