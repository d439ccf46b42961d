"""The review's parts as HTML. Pure; every value is escaped, so what a customer's data says is shown as text."""

from collections.abc import Iterable
from datetime import date
from html import escape

from dashboard.markup import SEVERITIES, day_words, table
from queries.metrics.formatting import count, money_change, money_figure
from queries.review.document import ActionStatus, Issue, Money, Review


def review_header(review: Review, where: str) -> str:
    """What is reviewed, the headline, and how fresh the figures are."""
    loaded = f"data of {day_words(review.published_at)} (load {review.generation})"
    dateline = f"{review.month:%B %Y} · {loaded} · intervals are 95%"
    return (
        f'<p class="e-kicker">Monthly review · {escape(where)}</p>'
        f'<h1 class="e-headline">{escape(review.headline)}</h1>'
        f'<p class="e-dateline">{escape(dateline)}</p>'
    )


def issue(number: int, found: Issue) -> str:
    """One key issue: what, where, since when, how sure, whose, what is done and whether it works."""
    facts = [_fact("Since", found.since_words), *_owner(found)]
    facts += [fact for u in found.undertakings for fact in _doing(u)]
    if not found.undertakings:
        facts.append(_fact("Action", "none recorded", "e-muted"))
    return (
        f'<article class="e-issue"><div class="e-number" aria-hidden="true">{number}</div><div>'
        f"<h3>{escape(found.what)}</h3>"
        f'<p class="e-where">{escape(found.where)} · {SEVERITIES[found.severity]}{_closed(found)}</p>'
        f'<dl class="e-facts">{"".join(facts)}</dl></div>{_value(found)}</article>'
    )


def _closed(found: Issue) -> str:
    return "" if found.is_open else " · resolved within the month"


def _value(found: Issue) -> str:
    lines = [f"{found.interval}" if found.interval else "", found.against, f"n = {count(found.n)}" if found.n else ""]
    spans = "".join(f"<span>{escape(line)}</span>" for line in lines if line)
    return f'<div class="e-value"><strong>{escape(found.figure)}</strong>{spans}</div>'


def _owner(found: Issue) -> list[str]:
    if found.decision is None:
        return [_fact("Owner and decision", "missing", "e-attention")]
    return [_fact("Owner", found.decision.owner), _fact("Decision", found.decision.decision, wide=True)]


def _doing(undertaking: ActionStatus) -> list[str]:
    action = undertaking.action
    due = f"{day_words(action.due_on)}" if action.due_on else "no date"
    style = "e-attention" if undertaking.overdue else ""
    shown = f"{due}, overdue" if undertaking.overdue else due
    since = f"{action.what} ({action.owner}, since {day_words(action.started_on)})"
    return [
        _fact("Action", since, wide=True),
        _fact("Done", day_words(action.done_at)) if action.done_at else _fact("Due", shown, style),
        _effect(undertaking),
    ]


def _effect(undertaking: ActionStatus) -> str:
    style = {"improved": "e-better", "worsened": "e-attention"}.get(undertaking.effect.split(" ")[0], "")
    because = f" – {'; '.join(undertaking.reasons)}" if undertaking.reasons else ""
    return _fact("Effect", undertaking.effect + because, style)


def _fact(name: str, value: str, style: str = "", *, wide: bool = False) -> str:
    cls = f' class="{style}"' if style else ""
    row = ' class="wide"' if wide else ""
    return f"<div{row}><dt>{escape(name)}</dt><dd{cls}>{escape(value)}</dd></div>"


def carried(undertakings: Iterable[ActionStatus]) -> str:
    """Actions carried over, a row each."""
    rows = "".join(
        f"<tr><td>{escape(u.action.what)}</td><td>{escape(u.action.vertical or 'All verticals')}</td>"
        f"<td>{escape(u.action.owner)}</td><td>{_due(u)}</td><td>{escape(u.effect)}</td></tr>"
        for u in undertakings
    )
    return table(("Action", "Where", "Owner", "Due", "Effect"), rows)


def _due(undertaking: ActionStatus) -> str:
    action = undertaking.action
    if action.done_at:
        return f"done {day_words(action.done_at)}"
    if action.due_on is None:
        return '<span class="e-muted">no date</span>'
    text = day_words(action.due_on)
    return f'<span class="e-attention">{text}, overdue</span>' if undertaking.overdue else text


def finances(money: Iterable[Money], currency: str, month: date) -> str:
    """Revenue by vertical with its change, and the total below."""
    rows = [*money]
    body = "".join(_money_row(row.vertical, row.amount, row.previous, row.year_before, currency) for row in rows)
    total = _money_row(
        "Total",
        sum(row.amount for row in rows),
        _sum(row.previous for row in rows),
        _sum(row.year_before for row in rows),
        currency,
    )
    head = f"<th scope='col'>Vertical</th><th scope='col' class='num'>Revenue, {month:%B %Y}</th>"
    head += "<th scope='col' class='num'>on the month before</th><th scope='col' class='num'>on a year before</th>"
    return (
        f'<div class="e-scroll"><table class="e-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody><tfoot>{total}</tfoot></table></div>"
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _money_row(name: str, now: float, before: float | None, year: float | None, currency: str) -> str:
    cells = (money_figure(now, currency), money_change(now, before), money_change(now, year))
    numbers = "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells)
    return f"<tr><th scope='row'>{escape(name)}</th>{numbers}</tr>"
