"""What the lab says of a trial, as HTML and in words; the templates are in `macros.html`. Pure."""

from datetime import tzinfo
from typing import Final

from markupsafe import Markup

from dashboard.lab.charts import place_words, reader_name
from dashboard.markup import macros
from queries.metrics import day_words, figure
from queries.state import Precision
from triggers.evaluation.kinds import sentence_start
from triggers.lab import (
    FalseAlarmRate,
    ParameterSweep,
    Score,
    Trial,
    TrialOutcome,
    days_open,
    is_in_normal,
    own_metric,
    setting,
    typical_range,
)

LISTED: Final = 60
VERDICTS: Final = {"found": "found", "missed": "missed", "open before": "an incident was open before it began"}
WEEKS_A_YEAR: Final = 365.25 / 7
_MACROS: Final = macros("lab/macros.html")


def lab_header(trial: Trial, sweep: ParameterSweep, current: TrialOutcome, value: float) -> Markup:
    """What the setting would have meant, in a sentence."""
    rule, metric = trial.rule, own_metric(trial)
    certainty = "calibrated by simulation" if trial.subject.alpha is not None else "not calibrated (Bonferroni bound)"
    by = f" by {' and '.join(rule.by)}" if rule.by else ""
    dateline = (
        f"{metric.label if metric else 'Silence'}{by} · "
        f"every {rule.every.days} days over the last {rule.window.days} · "
        f"{trial.since:%-d %B %Y} to {trial.until:%-d %B %Y} · {certainty}"
    )
    # Where the figure lay, so that a limit says something.
    range_ = typical_range(trial) if metric else None
    lay = sentence_start(range_.words(metric)) if range_ and metric else ""
    if is_in_normal(trial, sweep.on, value):
        lay += f". {setting(sweep.on, metric, value)} is in the middle of that: what lies beyond it is nothing unusual"
    name = {"limit": "limit", "floor": "distance that counts", "at_least": "silence"}[sweep.on.field]
    number = len(current.found)
    what = "no incident" if not number else "one incident" if number == 1 else f"{number} incidents"
    told = " and notified nobody"
    if current.attention:
        times = "once" if current.busiest == 1 else f"{current.busiest} times"
        told = f"; {reader_name(current.attention[0].reader)} would be notified {times} in the busiest week"
    headline = f"With a {name} of {setting(sweep.on, metric, value)} it would have opened {what}{told}."
    return _MACROS.lab_header(f"Threshold lab · {rule.label or rule.name}", headline, dateline, lay)


def cards(trial: Trial, sweep: ParameterSweep, current: TrialOutcome) -> Markup:
    """The cost in attention: the new setting, beside the current one."""
    pairs = []
    for outcome in (current, sweep.present):
        # A rate so small is read better by the year.
        yearly = f"{outcome.a_week * WEEKS_A_YEAR:.1f} a year"
        pairs.append(
            (str(len(outcome.found)), yearly, str(outcome.busiest), f"{days_open(outcome, trial.moment.now):,}")
        )
    now, before = pairs
    found, yearly, busiest, lasted = (
        f"currently {old}" if new != old else "" for new, old in zip(now, before, strict=True)
    )
    figures = [
        ("Incidents", now[0], found),
        (
            "Notifications per person per week",
            f"{current.a_week:.2f}",
            ", ".join(part for part in (now[1], yearly) if part),
        ),
        ("In the busiest week", now[2], busiest),
        ("Total days open", now[3], lasted),
    ]
    return _MACROS.cards(figures)


def noise_words(rate: FalseAlarmRate) -> str:
    """What chance alone makes of the setting."""
    if rate.a_year is None or rate.low is None or rate.high is None:
        return f"At most {rate.declared:g} false alarms a year, as the rule allows: {rate.why}."
    ends = f"95% CI {rate.low:.2g} to {rate.high:.2g}"
    return f"{rate.a_year:.2g} false alarms a year ({ends}); the rule allows {rate.declared:g}."


def votes_words(precision: Precision | None) -> str:
    """What people thought of the rule's incidents."""
    if precision is None:
        return "None of its incidents has been rated yet."
    ends = f"95% CI {precision.low:.0%} to {precision.high:.0%}"
    rated = "incident was" if precision.n == 1 else "incidents were"
    return f"{precision.value:.0%} of {precision.n} rated {rated} useful ({ends})."


def readers(sweep: ParameterSweep, current: TrialOutcome) -> Markup:
    """Who is notified, with the new setting and the current one."""
    rows = []
    for reader in dict.fromkeys(load.reader for load in (*current.attention, *sweep.present.attention)):
        load, before = current.load(reader), sweep.present.load(reader)
        rows.append((reader_name(reader), str(load.told), f"{load.a_week:.2f}", str(load.busiest), str(before.told)))
    return _MACROS.table(("Reader", "Times", "A week", "Busiest week", "Times, current setting"), rows, 4)


def incident_rows(trial: Trial, current: TrialOutcome, zone: tzinfo) -> Markup:
    """The incidents, the newest first."""
    newest = sorted(current.found, key=lambda found: found.incident.opened_at, reverse=True)[:LISTED]
    metric, rows = own_metric(trial), []
    for found in newest:
        incident = found.incident
        value = f"{incident.value or 0:.0f} days"
        if metric and incident.value is not None:
            value = figure(metric, incident.value)
        over = day_words(incident.resolved_at, zone) if incident.resolved_at else "still open"
        fault = f" ({found.fault.kind.replace('-', ' ')}: goes to the analysts)" if found.fault else ""
        where = place_words(incident.slice) + fault
        rows.append((day_words(incident.opened_at, zone), where, value, str(incident.n or ""), over))
    return _MACROS.table(("Opened", "Where", "Value", "n", "Until"), rows, 0)


def score_words(score: Score) -> str:
    """What became of something that is known to have happened."""
    known = score.known
    name = known.name or known.rule or known.metric or ""
    since = day_words(known.since)
    span = f"{since} to {day_words(known.until)}" if known.until else f"from {since}"
    delay = f", {score.delay.days} days after it began" if score.delay is not None else ""
    return f"{name} ({span}): {VERDICTS[score.verdict]}{delay}"
