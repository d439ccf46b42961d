"""The threshold lab: what a rule's limit would have done, before it is turned on. It never writes the configuration."""

from datetime import date, timedelta
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from config.errors import ConfigError
from config.models.catalog import Catalog
from config.models.metrics import Metric
from config.models.rules import Rule
from config.reading.known_incidents import KnownIncident, parse_known_incidents
from dashboard import markup as parts
from dashboard.lab import charts, data, markup
from dashboard.session import PageSession, banners
from queries.state.calibrations import calibrations
from queries.state.feedback import precisions
from triggers.lab.parameter_sweep import ParameterSweep, own_metric, setting
from triggers.lab.rule_toml import rule_as_toml
from triggers.lab.scores import Score, scored
from triggers.lab.setting import toml_lines, with_value
from triggers.lab.what_if import Trial, TrialOutcome, UntriedError, is_tried, rows

YEARS: Final = (1, 2, 3)
VERDICTS: Final = {"found": "found", "missed": "missed", "open before": "an incident was open before it began"}
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
    asked = _asked(session, top)
    banners(session)
    if asked is not None:
        _tried(session, asked)


def _asked(session: PageSession, top: DeltaGenerator) -> data.TrialRequest | None:
    """The rule, the years and the draft; None where there is nothing to try, which is said."""
    named = {rule.name: rule for rule in session.catalog.rules if is_tried(rule)}
    if not named:
        st.html(parts.notice("No rule reads a metric yet: write one in config/triggers.toml, or draft it here."))
    _drop_unknown(tuple(named))
    with top:
        rule = _choose(named) if named else None
        years = st.segmented_control("Years", YEARS, default=2, required=True, key="years", bind="query-params")
        is_draft = st.toggle("Draft", key="is-draft", help="Change the rule as TOML, or write another one")
    draft = _draft(session, named.get(rule or "")) if is_draft or not named else ""
    name = _drafted(session, draft) if draft else rule
    if name is None:
        return None
    until = session.key.day
    stored = sorted((hash_, found.alpha) for hash_, found in calibrations(session.state).items())
    return data.TrialRequest(name, draft, until - YEAR * (years or 2), until, tuple(stored))


def _choose(named: dict[str, Rule]) -> str | None:
    """The rule of the link, then whatever is chosen; the address follows, so that it can be passed on."""
    wanted = st.query_params.get("rule")
    first = [*named].index(wanted) if wanted in named else 0
    rule = st.selectbox("Rule", [*named], first, format_func=lambda n: _label(named[n]), key="rule", width=420)
    if rule is not None:
        st.query_params["rule"] = rule
    return rule


def _label(rule: Rule) -> str:
    return f"{rule.label or rule.name}{'' if rule.enabled else ' (off)'}"


def _drop_unknown(known: tuple[str, ...]) -> None:
    asked = st.query_params.get("rule")
    if asked is not None and asked not in known:
        words = f"The link asks for the rule “{asked[:80]}”, which cannot be tried here. It was left out."
        st.html(parts.notice(words, attention=True))


def _draft(session: PageSession, rule: Rule | None) -> str:
    """The draft as it is typed, begun with the chosen rule as it stands."""
    begun = rule_as_toml(rule.model_copy(update={"enabled": True})) if rule else "[[rule]]\n"
    key = f"draft-{rule.name if rule else ''}-{session.key.stamp}"
    with st.form(f"form-{key}", border=False):
        text = st.text_area("The draft, as it would stand in config/triggers.toml", begun, key=key, height=330)
        st.form_submit_button("Try it", type="primary")
    return text or begun


def _drafted(session: PageSession, draft: str) -> str | None:
    """The name of the draft's first rule that can be tried; what is wrong with it is said, line by line."""
    try:
        rules = data.drafted(session.key, draft).rules
    except ConfigError as error:
        st.html(parts.section("The draft has mistakes", "Nothing is tried before they are mended."))
        st.html(parts.mistake_list(error.mistakes))
        return None
    found = next((rule.name for rule in rules if is_tried(rule)), None)
    if found is None:
        st.html(parts.notice("The draft waits for severe cases; `python -m triggers backtest --draft` tries it."))
    return found


def _tried(session: PageSession, asked: data.TrialRequest) -> None:
    try:
        of = data.rule_trial(session.key, session.pin, asked)
    except UntriedError as error:
        st.html(parts.section("Nothing to try it on") + parts.notice(str(error), command="python -m queries status"))
        return
    found, metric = data.rule_sweep(session.key, session.pin, asked), own_metric(of)
    head, dial = st.container(key="lab-head"), st.container(key="lab-dial")
    with dial:
        value = _dialled(found, metric, asked, session.key.stamp)
    set_ = found.outcomes[found.values.index(value)]
    if st.session_state.get("ask-data"):
        set_ = data.rule_outcome(session.key, session.pin, asked, value)
    with head:
        st.html(markup.lab_header(of, found, set_, metric, value))
    st.html(markup.cards(of, found, set_))
    _curve(session, asked, found, metric, value)
    _line(session, asked, of, found, set_)
    _paste(of, value)
    st.html(parts.section("Chance, and people's judgement"))
    st.html(parts.bullets([markup.votes_words(precisions(session.state).get(of.rule.name))]))
    _chance(session, asked, value)


def _dialled(found: ParameterSweep, metric: Metric | None, asked: data.TrialRequest, stamp: str) -> float:
    """The setting, from the laxest to the one that hears most."""
    ordered = [value for value, _ in found.lax_first()]
    words = {"limit": "Limit", "floor": "Smallest distance that counts (floor)", "at_least": "Least silence (at_least)"}
    key = f"dial-{asked.rule}-{hash((asked.draft, asked.since, stamp))}"
    value = st.select_slider(
        f"{words[found.on.field]}: from hardly ever to most often",
        ordered,
        found.on.value,
        format_func=lambda one: setting(found.on, metric, one),
        key=key,
    )
    return value if value in found.values else found.on.value


def _curve(
    session: PageSession, asked: data.TrialRequest, found: ParameterSweep, metric: Metric | None, value: float
) -> None:
    lede = "What the rule would ask of whoever reads it, were nobody to take anything on. Its ladder counts."
    st.html(parts.section("The cost in attention", lede))
    spec = data.curve_spec(session.key, session.pin, asked, value)
    st.vega_lite_chart(spec, width="stretch", alt=charts.describe_curve(found, metric, value), key="lab-curve")


def _line(session: PageSession, asked: data.TrialRequest, of: Trial, found: ParameterSweep, set_: TrialOutcome) -> None:
    st.html(
        parts.section(
            "What it would have opened",
            "Thick: as set. Thin, grey: as it is. Dashed: the data explains it. Outlined: known. Shaded: conditions.",
        )
    )
    with st.container(horizontal=True, vertical_alignment="center", key="lab-asides"):
        scores = _known(session, of, set_)
        st.toggle("Ask whether the data explains them", key="ask-data", help="Some seconds: every table is looked at")
    line = charts.line_of(set_, found.present, scores)
    if line.bars:
        spec = data.time_spec(session.key, session.pin, asked, line)
        st.vega_lite_chart(spec, width="stretch", alt=charts.describe_line(line), key="lab-line")
    else:
        st.html(parts.notice("Nothing: neither as it is nor as it is set. Move the slider, or look back further."))
    if more := charts.hidden(line):
        st.html(parts.notice(f"{more} more slices have fewer incidents and are in the list below only."))
    if set_.found:
        with st.expander(f"The incidents ({len(set_.found)}), and who is told", key="lab-incidents"):
            st.html(markup.incident_rows(set_, own_metric(of)))
            st.html(markup.readers(found, set_))
    if scores:
        st.html(parts.bullets(_score_words(score) for score in scores))


def _known(session: PageSession, of: Trial, set_: TrialOutcome) -> tuple[Score, ...]:
    """What the analyst knows to have happened, held against the setting."""
    slot = st.popover("Known incidents", key="lab-known", type="tertiary", on_change="rerun")
    if slot.open:
        with slot, st.form("lab-known-form", border=False):
            example = EXAMPLE.format(metric=_metric_name(of), since=of.since, until=of.since + timedelta(days=30))
            st.text_area("What happened, and when", key="known-text", placeholder=example, height=220)
            st.form_submit_button("Show them")
    known = _read_known(session.catalog, st.session_state.get("known-text") or "", of)
    return scored(known, rows(set_), _with(session.catalog, of.rule), of.moment.zone).scores if known else ()


def _metric_name(of: Trial) -> str:
    return of.subject.metrics[0].name if of.subject.metrics else ""


def _with(catalog: Catalog, rule: Rule) -> Catalog:
    others = tuple(other for other in catalog.rules if other.name != rule.name)
    return catalog.model_copy(update={"rules": (*others, rule)})


def _read_known(catalog: Catalog, text: str, of: Trial) -> tuple[KnownIncident, ...]:
    if not text.strip():
        return ()
    try:
        return parse_known_incidents(text, _with(catalog, of.rule))
    except ConfigError as error:
        st.html(parts.mistake_list(error.mistakes))
        return ()


def _score_words(score: Score) -> str:
    known = score.known
    named = known.name or known.rule or known.metric or ""
    delay = f", {score.delay.days} days after it began" if score.delay is not None else ""
    return f"{named} ({_span(known.since, known.until)}): {VERDICTS[score.verdict]}{delay}"


def _span(since: date, until: date | None) -> str:
    return f"{parts.day_words(since)} to {parts.day_words(until)}" if until else f"from {parts.day_words(since)}"


def _paste(of: Trial, value: float) -> None:
    rule = with_value(of.rule, value)
    st.html(
        parts.section("To paste", "Into config/triggers.toml, in the place of the same rule. Nothing is written here.")
    )
    st.code("\n".join(toml_lines(rule)), language="toml")
    with st.expander("The whole rule", key="lab-whole"):
        st.code(rule_as_toml(rule), language="toml")


def _chance(session: PageSession, asked: data.TrialRequest, value: float) -> None:
    """Last, for it takes a second or two: the page is there meanwhile."""
    found = data.rule_noise(session.key, session.pin, asked, value)
    words = [f"Without any change: {markup.noise_words(found)}", *([found.warning] if found.warning else [])]
    st.html(parts.bullets(words))
