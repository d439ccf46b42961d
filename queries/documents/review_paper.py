"""The monthly review as a document. Pure: every figure is the review's own, written as on its page."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from config.models import Metric
from queries.documents import baseline_words
from queries.documents import review_words as words
from queries.documents.drawings import BULLET_HEIGHT, BULLET_WIDTH, HEIGHT, WIDTH, bullet_svg, trend_svg
from queries.documents.paper import Block, Drawing, Item, LineChart, Lines, Note, Paper, Section, Table, TableCell, Tone
from queries.metrics import (
    SEVERITY_WORDS,
    AgainstBaseline,
    count,
    day_words,
    goal_figure,
    half_width,
    interval,
    is_share,
    money_change,
    money_figure,
    point_figure,
    signed_change,
)
from queries.review import EVERYWHERE, ActionStatus, Issue, MetricStatus, Money, Review

LEAST_MONTHS: Final = 3
MOST_LINES: Final = 4
"""So many verticals stand beside all of them in a chart over time."""
_TONES: Final[dict[str, Tone]] = {"improved": "good", "worsened": "bad"}


def review_paper(review: Review, currency: str, closed: Iterable[str] = ()) -> Paper:
    """The review of a month.

    Args:
        review: the document, already within its reader's scope and budget.
        currency: of its revenue.
        closed: sentences that say when, by whom and before whom it was closed; none where it was not.
    """
    where = ", ".join(filter(None, (review.vertical or EVERYWHERE, review.function)))
    title = f"Monthly review of {review.month:%B %Y}, {where}"
    sections = (
        Section("Against the goals", (*_state(review, closed), *_verdicts(review))),
        Section("Key issues", _issues(review), review.tally),
        *_goals(review),
        *(_baseline(of) for of in review.baselines),
        Section("What improved", (Lines(words.improved_lines(review)),), words.IMPROVED),
        *_opportunities(review, currency),
        Section("Actions carried over", (_carried(review.carried),), joins=True),
        Section("Escalated incidents", (Lines(words.outcome_lines(review)),), words.ESCALATED, joins=True),
        Section("Financials", _financials(review, currency)),
    )
    about = (
        ("Review", f"{review.month:%B %Y}, {where}"),
        ("Data of", day_words(review.published_on)),
        ("Rules evaluated", day_words(review.evaluated_on) if review.evaluated_on else "never"),
        ("Generation of the data", str(review.generation)),
        ("Intervals", "95% confidence"),
        *(("State", line) for line in closed),
    )
    sheets = _figures(review.standings), _definitions(review.standings)
    return Paper(title, words.kicker(review), review.headline, words.dateline(review), sections, about, sheets)


def _state(review: Review, closed: Iterable[str]) -> tuple[Block, ...]:
    said = [*(Note(line) for line in closed)]
    if review.function:
        said.append(Note(words.function_words(review.function)))
    if review.doubt:
        said.append(Note(words.doubt_words(review), is_urgent=True))
    more = review.maturity, words.data_words(review), words.reference_words(review)
    said += [Note(line) for line in more if line]
    return tuple(said)


def _verdicts(review: Review) -> tuple[Block, ...]:
    metrics, rows = words.goal_words(review.standings)
    cells = (
        (TableCell(where), *(TableCell(", ".join(filter(None, (word, figure))), tone="bad" if missed else "quiet") for
                        figure, word, missed in words))
        for where, words in rows
    )  # fmt: skip
    return (Table("Against the goals", ("Vertical", *metrics), tuple(cells)),) if rows else ()


def _issues(review: Review) -> tuple[Block, ...]:
    if not review.issues:
        return (Lines((words.no_issue_words(review),)),)
    more = (Lines((f"{count(review.further)} more, less pressing.",)),) if review.further else ()
    return (*(_item(number, issue) for number, issue in enumerate(review.issues, start=1)), *more)


def _item(number: int, issue: Issue) -> Item:
    over = "" if issue.is_open else " · over within the month"
    said = (issue.figure_of if issue.figure_of != issue.what else "", issue.period, issue.interval, issue.against)
    n = (f"n = {count(issue.n)}",) if issue.n else ()
    return Item(
        number,
        issue.what,
        f"{issue.where} · {SEVERITY_WORDS[issue.severity]}, severity {issue.severity}{over}",
        issue.figure,
        (*filter(None, said), *n),
        tuple(_facts(issue)),
        sparkline(issue),
    )


def sparkline(issue: Issue) -> Drawing | None:
    """The trend of an issue's figure; None where fewer than three months have one."""
    if len(issue.history) < LEAST_MONTHS:
        return None
    first = issue.history[0].period
    ages = [(one.period.year - first.year) * 12 + one.period.month - first.month for one in issue.history]
    begun, now = (f"{one.figure} in {one.period:%B %Y}" for one in (issue.history[0], issue.history[-1]))
    said = f"From {begun} to {now}{f'; {issue.against}' if issue.line is not None else ''}."
    return Drawing(trend_svg(ages, [one.value for one in issue.history], issue.line), said, WIDTH, HEIGHT)


def _facts(issue: Issue) -> Iterable[tuple[str, TableCell]]:
    if issue.since_words:
        yield "Since", TableCell(issue.since_words)
    if issue.found_on:
        yield "Found", TableCell(day_words(issue.found_on), issue.found_on, "yyyy-mm-dd")
    if issue.trend:
        yield "Trend", TableCell(issue.trend)
    if made := issue.decision:
        yield "Owner", TableCell(made.owner)
        yield "Decision", TableCell(made.what)
        if made.due_on:
            yield "Due", TableCell(day_words(made.due_on), made.due_on, "yyyy-mm-dd")
    else:
        if issue.suggested_owner:
            yield "Responsible", TableCell(issue.suggested_owner)
        yield "Decision", TableCell("missing", tone="bad")
    for status in issue.undertakings:
        if status.action != made:
            yield "Action", TableCell(f"{status.action.what} ({status.action.owner})")
        yield "Effect", _effect(status)


def _effect(status: ActionStatus) -> TableCell:
    because = f" – {'; '.join(status.reasons)}" if status.reasons else ""
    return TableCell(f"{status.effect}{because}", tone=_TONES.get(status.effect.partition(" ")[0], ""))


def _goals(review: Review) -> Iterable[Section]:
    """Every vertical in the metric that most of them miss, or every metric of one vertical."""
    name = None if review.vertical else words.leading_metric(review.standings)
    rows = [s for s in review.standings if name in {None, s.metric.name}]
    if not rows:
        return
    title = f"{review.vertical} against its goals" if review.vertical else f"{rows[0].metric.label} by vertical"
    head = (
        *("Metric" if review.vertical else "Vertical", "Value", "Interval, goal", "95% interval", "n", "Goal"),
        *("State", "Change on the month before"),
    )
    ordered = sorted(rows, key=lambda s: (not s.vertical, s.verdict != "missed", s.vertical, s.metric.name))
    scale = _scale(rows) if name else None
    cells = tuple(_standing(s, scale or _scale([s]), is_named=bool(review.vertical)) for s in ordered)
    widths = (1.6, 0.7, 1.9, 1.1, 0.6, 0.6, 1.4, 2.1)
    table = Table(title, head, cells, (1, 4, 5), widths)
    yield Section(title, (table, *(_trend(ordered, review.months) if name else ())))


def _standing(s: MetricStatus, ends: tuple[float, float], *, is_named: bool) -> tuple[TableCell, ...]:
    form, point, change = _form(s.metric), s.point, s.change
    known = point.value is not None and s.verdict != "too few"
    figure = point_figure(s.metric, point) if known else ""
    half = half_width(change.low, change.high) if change else None
    moved = f"{signed_change(s.metric, change.value, half)}, {change.meaning}" if change else ""
    better: dict[str, Tone] = {"better": "good", "worse": "bad"}
    picture = None
    if known and point.value is not None and point.low is not None and point.high is not None:
        drawn = bullet_svg(ends, point.value, (point.low, point.high), s.goal, is_missed=s.verdict == "missed")
        aimed = "" if s.goal is None else f", goal {goal_figure(s.metric, s.goal)}"
        said = f"{figure}, {interval(s.metric, point.low, point.high)}{aimed}"
        picture = Drawing(drawn, said, BULLET_WIDTH, BULLET_HEIGHT)
    return (
        TableCell(s.metric.label if is_named else s.where),
        TableCell(figure, point.value if known else None, form, "strong"),
        TableCell("", picture=picture),
        TableCell(interval(s.metric, point.low, point.high) if known else "", tone="quiet"),
        TableCell(
            "" if s.verdict == "private" else count(point.n), None if s.verdict == "private" else point.n, "#,##0"
        ),
        TableCell("" if s.goal is None else goal_figure(s.metric, s.goal), s.goal, form),
        TableCell(words.VERDICT_WORDS[s.verdict], tone="bad" if s.verdict == "missed" else "quiet"),
        TableCell(moved, tone=better.get(change.meaning, "quiet") if change else "quiet"),
    )


def _scale(standings: Iterable[MetricStatus]) -> tuple[float, float]:
    known = [
        end
        for s in standings
        for end in (s.point.value, s.point.low, s.point.high, s.goal)
        if end is not None
    ]  # fmt: skip
    return (min(known), max(known)) if known else (0.0, 1.0)


def _trend(standings: Sequence[MetricStatus], months: Sequence[date]) -> tuple[Block, ...]:
    """All verticals together, and those furthest up the table, over the months."""
    if len(months) < 2:
        return ()
    metric = standings[0].metric
    whole = [s for s in standings if not s.vertical]
    shown = [*whole, *(s for s in standings if s.vertical)][: len(whole) + MOST_LINES]
    lines: list[tuple[str, tuple[float | None, ...]]] = []
    for s in shown:
        by = {point.period: point.value for point in s.history if point.status != "private"}
        lines.append((s.where, tuple(by.get(month) for month in months)))
    goals = {s.goal for s in standings}
    if len(goals) == 1 and (goal := goals.pop()) is not None:
        lines.append(("Goal", (goal,) * len(months)))
    return (LineChart(metric.label, tuple(f"{month:%b %Y}" for month in months), tuple(lines), _form(metric)),)


def _baseline(of: AgainstBaseline) -> Section:
    rows = []
    for one in of.verticals:
        *cells, words_, tone = baseline_words.baseline_row(of, one)
        change = one.change.value if one.change else None
        rows.append((*map(TableCell, cells), TableCell(words_, change, "+0.0%;-0.0%;0.0%", tone)))
    if not rows:
        return Section("Against the baseline", (Lines(("There are too few cases to compare.",)),))
    together = baseline_words.together_words(of)
    said = (baseline_words.baseline_sentence(of), *([f"All verticals: {together}."] if together else []))
    table = Table("Against the baseline", baseline_words.HEAD, tuple(rows), (1, 2, 3))
    return Section("Against the baseline", (Lines(said), table), baseline_words.baseline_lede(of))


def _opportunities(review: Review, currency: str) -> Iterable[Section]:
    lines = (words.growth_words(review.growth, currency),) if review.growth else ()
    if lines or review.repeatable:
        yield Section("Opportunities", (Lines((*lines, *review.repeatable)),), joins=True)


def _carried(statuses: Iterable[ActionStatus]) -> Block:
    rows = tuple(
        (
            TableCell(status.action.what),
            TableCell(status.action.vertical or EVERYWHERE),
            TableCell(status.action.owner),
            _due(status),
            _effect(status),
        )
        for status in statuses
    )
    return (
        Table("Actions carried over", ("Action", "Where", "Owner", "Due", "Effect"), rows)
        if rows
        else Lines(("None.",))
    )


def _due(status: ActionStatus) -> TableCell:
    if status.done_on:
        return TableCell(f"done {day_words(status.done_on)}", status.done_on, "yyyy-mm-dd")
    due = status.action.due_on
    if due is None:
        return TableCell("no date", tone="quiet")
    late = ", overdue" if status.overdue else ""
    return TableCell(f"{day_words(due)}{late}", due, "yyyy-mm-dd", "bad" if late else "")


def _financials(review: Review, currency: str) -> tuple[Block, ...]:
    if not review.financials_open:
        return (Note(words.locked_words(review)),)
    if review.no_money:
        return (Note(f"Revenue is not shown: {review.no_money}.", is_urgent=True),)
    if not review.money:
        return (Lines((words.NO_REVENUE,)),)
    head = ("Vertical", f"Revenue, {review.month:%B %Y}", "On the month before", "On a year before")
    rows = tuple(_money(row, currency) for row in (*review.money, words.total(review.money)))
    return (Table("Financials", head, rows, (1, 2, 3)),)


def _money(row: Money, currency: str) -> tuple[TableCell, ...]:
    changes = (
        TableCell(money_change(row.amount, then), (row.amount - then) / abs(then) if then else None, "+0.0%;-0.0%;0.0%")
        for then in row.before
    )
    return (
        TableCell(row.vertical),
        TableCell(money_figure(row.amount, currency), row.amount, f'#,##0 "{currency}"'),
        *changes,
    )


def _form(metric: Metric) -> str:
    return "0.0%" if is_share(metric) else "0.0"


def _figures(standings: Iterable[MetricStatus]) -> Table:
    """Every month of every row, for a workbook."""
    head = ("Vertical", "Metric", "Month", "n", "Value", "Low", "High", "Status", "Goal", "State")
    rows = []
    for s in standings:
        form = _form(s.metric)
        for point in s.history:
            is_now = point.period == s.point.period
            n = None if point.status == "private" else point.n
            ends = (point.value, point.low, point.high)
            rows.append(
                (
                    TableCell(s.where),
                    TableCell(s.metric.label),
                    TableCell(f"{point.period:%B %Y}", point.period, "mmm yyyy"),
                    TableCell("", n, "#,##0"),
                    *(TableCell("", end, form) for end in ends),
                    TableCell(point.status.replace("_", " ")),
                    TableCell("", s.goal if is_now else None, form),
                    TableCell(words.VERDICT_WORDS[s.verdict] if is_now else ""),
                )
            )
    return Table("Figures", head, tuple(rows))


def _definitions(standings: Iterable[MetricStatus]) -> Table:
    metrics = {s.metric.name: s.metric for s in standings}
    rows = (
        (
            TableCell(metric.label),
            TableCell(metric.name),
            TableCell(metric.shape),
            TableCell(metric.unit or ("%" if is_share(metric) else "")),
            TableCell("more is better" if metric.good == "up" else "less is better"),
            TableCell("", metric.min_n, "#,##0"),
        )
        for metric in metrics.values()
    )
    head = ("Metric", "Name in metrics.toml", "Shape", "Unit", "Direction", "Least cases for a figure")
    return Table("Definitions", head, tuple(rows))
