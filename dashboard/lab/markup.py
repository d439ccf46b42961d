"""What the lab says of a trial, as HTML and in words. Pure; every value is escaped."""

from collections.abc import Sequence
from html import escape
from typing import Final

from config.models.metrics import Metric
from config.models.rules import WatchRule
from dashboard.lab.charts import place_words, reader_name
from queries.metrics.formatting import figure
from queries.state.feedback import Precision
from triggers.incidents.notification_load import NotificationLoad
from triggers.lab.false_alarms import FalseAlarmRate
from triggers.lab.parameter_sweep import ParameterSweep, days_open, setting
from triggers.lab.typical_range import typical_range
from triggers.lab.what_if import Trial, TrialIncident, TrialOutcome
from triggers.messages.wording import sentence_start

LISTED: Final = 60
WEEKS_A_YEAR: Final = 365.25 / 7


def lab_header(of: Trial, found: ParameterSweep, set_: TrialOutcome, metric: Metric | None, value: float) -> str:
    """What the setting would have meant, in a sentence."""
    rule = of.rule
    kicker = f"Threshold lab · {rule.label or rule.name}"
    dateline = (
        f"{_what(rule, metric)} · every {rule.every.days} days over the last {rule.window.days} · "
        f"{of.since:%-d %B %Y} to {of.until:%-d %B %Y} · {_certainty(of)}"
    )
    return (
        f'<p class="e-kicker">{escape(kicker)}</p>'
        f'<h1 class="e-headline">{escape(_sentence(found, set_, metric, value))}</h1>'
        f'<p class="e-dateline">{escape(dateline)}</p>{_lay(of, metric)}'
    )


def _lay(of: Trial, metric: Metric | None) -> str:
    """Where the figure lay, so that a limit says something."""
    lay = typical_range(of) if metric else None
    return f'<p class="e-dateline">{escape(sentence_start(lay.words(metric)))}.</p>' if lay and metric else ""


def _what(rule: WatchRule, metric: Metric | None) -> str:
    where = f" by {' and '.join(rule.by)}" if rule.by else ""
    return f"{metric.label if metric else 'Silence'}{where}"


def _certainty(of: Trial) -> str:
    return "as sure as its null replay asks" if of.subject.alpha is not None else "as sure as Bonferroni's bound asks"


def _sentence(found: ParameterSweep, set_: TrialOutcome, metric: Metric | None, value: float) -> str:
    named = {"limit": "limit", "floor": "distance that counts", "at_least": "silence"}[found.on.field]
    number = len(set_.found)
    what = "no incident" if not number else "one incident" if number == 1 else f"{number} incidents"
    head = f"With a {named} of {setting(found.on, metric, value)} it would have opened {what}"
    if not set_.attention:
        return f"{head}, and told nobody."
    most = set_.attention[0]
    times = "once" if set_.busiest == 1 else f"{set_.busiest} times"
    return f"{head}; {reader_name(most.reader)} would be told {times} in the busiest week."


def cards(of: Trial, found: ParameterSweep, set_: TrialOutcome) -> str:
    """The cost in attention: as set, beside as it is."""
    own = found.present
    lasted = [days_open(one, of.moment.now) for one in (set_, own)]
    parts = [
        _card("Incidents", str(len(set_.found)), _beside(str(len(set_.found)), str(len(own.found)))),
        _card("Told per person and week", f"{set_.a_week:.2f}", _yearly(set_) + _beside(_yearly(set_), _yearly(own))),
        _card("In the busiest week", str(set_.busiest), _beside(str(set_.busiest), str(own.busiest))),
        _card("Days open, all together", f"{lasted[0]:,}", _beside(f"{lasted[0]:,}", f"{lasted[1]:,}")),
    ]
    return f'<dl class="e-card">{"".join(parts)}</dl>'


def _yearly(one: TrialOutcome) -> str:
    """A rate so small is read better by the year."""
    return f"{one.a_week * WEEKS_A_YEAR:.1f} a year"


def _beside(value: str, own: str) -> str:
    return f", as it is {own}" if value != own else ""


def _card(name: str, value: str, rest: str) -> str:
    beside = f'<span class="e-muted e-beside">{escape(rest.removeprefix(", "))}</span>' if rest else ""
    return f'<div class="figure"><dt>{escape(name)}</dt><dd>{escape(value)}{beside}</dd></div>'


def noise_words(found: FalseAlarmRate) -> str:
    """What chance alone makes of the setting."""
    if found.a_year is None or found.low is None or found.high is None:
        return f"At most {found.declared:g} false alarms a year, as the rule declares: {found.why}."
    ends = f"95% sure: {found.low:.2g} to {found.high:.2g}"
    return f"{found.a_year:.2g} false alarms a year ({ends}); the rule declares {found.declared:g}."


def votes_words(found: Precision | None) -> str:
    """What people thought of the rule's incidents."""
    if found is None:
        return "Nobody has judged one of its incidents yet."
    ends = f"95% sure: {found.low:.0%} to {found.high:.0%}"
    return f"Useful were {found.value:.0%} of the {found.n} incidents that people judged ({ends})."


def readers(found: ParameterSweep, set_: TrialOutcome) -> str:
    """Who is told, as set and as it is."""
    own = {one.reader: one for one in found.present.attention}
    now = {one.reader: one for one in set_.attention}
    none = NotificationLoad("", 0, 0.0, 0)
    rows = "".join(
        f"<tr><td>{escape(reader_name(reader))}</td>"
        + "".join(
            f'<td class="num">{escape(cell)}</td>' for cell in _asked(now.get(reader, none), own.get(reader, none))
        )
        + "</tr>"
        for reader in dict.fromkeys([*now, *own])
    )
    names = ("Times", "A week", "Busiest week", "Times as it is")
    return _table(("Reader", *names), rows, numbers=4)


def _asked(now: NotificationLoad, own: NotificationLoad) -> tuple[str, ...]:
    return str(now.told), f"{now.a_week:.2f}", str(now.busiest), str(own.told)


def incident_rows(set_: TrialOutcome, metric: Metric | None) -> str:
    """The incidents, the newest first."""
    newest = sorted(set_.found, key=lambda found: found.incident.opened_at, reverse=True)[:LISTED]
    rows = "".join(_listed(found, metric) for found in newest)
    return _table(("Opened", "Where", "Value", "n", "Until"), rows, numbers=0)


def _listed(found: TrialIncident, metric: Metric | None) -> str:
    one = found.incident
    value = figure(metric, one.value) if metric and one.value is not None else f"{one.value or 0:.0f} days"
    over = f"{one.resolved_at:%-d %b %Y}" if one.resolved_at else "still open"
    by = f" ({found.fault.kind.replace('-', ' ')}: goes to the analysts)" if found.fault else ""
    cells = (f"{one.opened_at:%-d %b %Y}", place_words(one.slice) + by, value, str(one.n or ""), over)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _table(names: Sequence[str], rows: str, numbers: int) -> str:
    first = len(names) - numbers
    head = "".join(
        f"<th scope='col'{' class=num' if i >= first else ''}>{escape(name)}</th>" for i, name in enumerate(names)
    )
    body = f"<table class='e-table'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="e-scroll">{body}</div>'
