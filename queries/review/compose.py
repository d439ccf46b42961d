"""How the review's document is composed. Nothing here reads anything."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from config.models import Metric
from queries.engine import day_of
from queries.metrics import count, half_width, listed, number_word, point_figure, signed_change
from queries.review.action_effects import ActionEffect, outcome_words
from queries.review.document import (
    EVERYWHERE,
    ActionStatus,
    Facts,
    Issue,
    MeetingState,
    PageBudget,
    Points,
    Review,
    metric_change,
    pooled,
)
from queries.review.issues import key_issues, with_meeting_state
from queries.state import Action
from queries.warehouse import UNKNOWN


def compose(  # noqa: PLR0913 - a document is made of its parts
    facts: Facts,
    meeting: MeetingState,
    points: Points,
    effects: Mapping[str, ActionEffect],
    metrics: Mapping[str, Metric],
    *,
    vertical: str | None,
    budget: PageBudget,
    today: date,
    function: str | None = None,
) -> Review:
    """The review of a month, for all verticals or one, and for all functions or one.

    Args:
        facts: what the warehouse says.
        meeting: what the state says.
        points: the months of an incident's own slice, by its metric and its group.
        effects: the effect of each action, by its id.
        metrics: every metric by its name.
        vertical: the one reviewed, None for all.
        budget: how much a page may show its reader; what is over it is left out, and its number said.
        today: what is overdue is overdue today.
        function: the one whose issues and actions are shown, None for all.
    """
    actions = tuple(_action_status(action, effects.get(action.id), metrics, facts, today) for action in meeting.actions)
    every = key_issues(facts, meeting.found, points)
    # What locks the financials is what the whole review has not decided, whatever is shown of it.
    first = [with_meeting_state(issue, facts, meeting.decisions, actions) for issue in every[: budget.issues]]
    undecided = sum(issue.decision is None for issue in first)
    if function is not None:
        actions = tuple(status for status in actions if status.action.function == function)
        every = [issue for issue in every if issue.function == function]
        first = [with_meeting_state(issue, facts, meeting.decisions, actions) for issue in every[: budget.issues]]
    issues = tuple(first)
    attached = {status.action.id for issue in issues for status in issue.undertakings}
    immature = sorted({s.metric.label for s in facts.standings if s.point.status == "immature"})
    incomplete = f"{facts.month:%B} is not complete yet: cases are still arriving, and"
    review = Review(
        facts.month,
        vertical,
        facts.generation,
        day_of(facts.published_at, facts.zone),
        review_headline(facts, issues, len(every), meeting.doubt, function),
        f"{incomplete} {listed(immature)} will move." if immature else "",
        issues,
        len(every) - len(issues),
        facts.standings,
        _improved(facts, actions),
        # An action is shown once: with the issue that it answers, or among those carried over.
        tuple(status for status in actions if status.action.id not in attached),
        facts.money,
        undecided,
        meeting.overrides,
        meeting.data_problems,
        facts.no_money,
        day_of(meeting.evaluated_at, facts.zone) if meeting.evaluated_at else None,
        meeting.doubt,
        meeting.outcome,
        _tally(facts.month, every),
        function=function,
    )
    return within(review, budget)


def of_function(review: Review, function: str, functions: Mapping[str, str | None]) -> Review:
    """A closed review as one function reads it; `functions` are those of today's rules, for issues that name none."""
    known = ((issue, issue.function or functions.get(issue.id.partition("|")[0])) for issue in review.issues)
    issues = tuple(issue for issue, of in known if of == function)
    return replace(
        review,
        headline=review_headline(review, issues, len(issues), review.doubt, function),
        issues=issues,
        carried=tuple(status for status in review.carried if status.action.function == function),
        outcome=None,
        tally=_tally(review.month, issues),
        function=function,
    )


def within(review: Review, budget: PageBudget) -> Review:
    """A review without what is over its reader's budget; how much that is stays said."""
    issues = review.issues[: budget.issues]
    # The chart of the goals is one, and every issue's months are another.
    issues = tuple(
        issue if number < budget.charts else replace(issue, history=()) for number, issue in enumerate(issues, start=1)
    )
    # An issue is one figure with all that it is held against; so are what became of the escalations and the headroom.
    room = max(0, budget.figures - len(issues) - 1 - (review.growth is not None))
    return replace(
        review,
        issues=issues,
        further=review.further + len(review.issues) - len(issues),
        improved=review.improved[:room],
        repeatable=review.repeatable[: max(0, room - len(review.improved))],
        more_improved=review.more_improved + max(0, len(review.improved) - room),
    )


def _tally(month: date, issues: Sequence[Issue]) -> str:
    """What the issues stand for: incidents, and goals that are missed without one."""
    number = f"{count(len(issues))} {'issue' if len(issues) == 1 else 'issues'}"
    incidents, from_them = sum(len(issue.incidents) for issue in issues), sum(bool(i.incidents) for i in issues)
    goals = len(issues) - from_them
    open_then = f"from {count(incidents)} {'incident' if incidents == 1 else 'incidents'} open in {month:%B %Y}"
    missed = "from missed goals without an incident"
    if incidents and goals:
        return f"{number}: {count(from_them)} {open_then} and {count(goals)} {missed}."
    return f"{number} {open_then if incidents else missed}." if issues else ""


def _action_status(
    action: Action, effect: ActionEffect | None, metrics: Mapping[str, Metric], facts: Facts, today: date
) -> ActionStatus:
    metric = metrics.get(action.metric or "")
    words = outcome_words(action, effect, metric)
    overdue = action.done_at is None and action.due_on is not None and action.due_on < today
    done = day_of(action.done_at, facts.zone) if action.done_at else None
    return ActionStatus(action, words, effect.reasons if effect else (), overdue, done)


def _improved(facts: Facts, actions: Sequence[ActionStatus]) -> tuple[str, ...]:
    """What got better than the three months before by more than chance, over all comparisons made; then what worked."""
    by_vertical = [status for status in facts.standings if status.vertical]
    lines = []
    for status in by_vertical:
        metric, point = status.metric, status.point
        # One month alone is a poor base: after an unlucky one, everything looks better.
        base = pooled([earlier for earlier in status.history if earlier.period < point.period][-3:])
        change = metric_change(metric, point, base, len(by_vertical)) if base else None
        if change is not None and change.meaning == "better":
            half = half_width(change.low, change.high)
            lines.append(
                f"{metric.label} in {status.where} is {point_figure(metric, point)}, "
                f"{signed_change(metric, change.value, half)} against the three months before (n = {count(point.n)})"
            )
    for answer in actions:
        if answer.effect.startswith("improved"):
            action = answer.action
            place = ", ".join(part for part in (action.vertical, action.touchpoint) if part) or EVERYWHERE
            lines.append(f"{action.what} ({place}): {answer.effect}")
    return tuple(lines)


def review_headline(
    facts: Facts | Review, issues: Sequence[Issue], every: int, doubt: str = "", function: str | None = None
) -> str:
    """The one sentence the meeting starts from; no all-clear where there is a doubt about the rules.

    Of one function it says nothing of goals: they are those of verticals.
    """
    judged = [s for s in facts.standings if s.verdict in {"met", "missed", "cannot tell"}]
    verticals = sorted({s.vertical for s in judged} - {"", UNKNOWN})
    if issues:
        others, undecided = every - 1, every - 1 - sum(issue.decision is not None for issue in issues[1:])
        rest = ""
        if others and not undecided:
            rest = f"; {number_word(others)} more {'issue is' if others == 1 else 'issues are'} decided"
        elif others:
            rest = f"; {number_word(undecided)} more {'issue needs' if undecided == 1 else 'issues need'} a decision"
        return f"{_first_issue(issues[0])}{rest}.{'' if function else _vertical_tally(facts)}"
    if function:
        missing = f", but incidents may be missing: {doubt}" if doubt else ""
        return f"{function} has no key issue in {facts.month:%B %Y}{missing}."
    if not judged:
        return f"There is nothing to assess in {facts.month:%B %Y}: no metric has both a goal and enough cases."
    unsure = sum(s.verdict == "cannot tell" for s in judged)
    close = f", with {count(unsure)} of {count(len(judged))} figures too close to call" if unsure else ""
    place = f"the {number_word(len(verticals))} verticals" if len(verticals) > 1 else "".join(verticals)
    place = place or "the company as a whole"
    if doubt:
        return f"No goal is missed in {place}{close}, but incidents may be missing: {doubt}."
    return f"No key issue in {place}: no goal is missed{close}.{'' if verticals else _vertical_tally(facts)}"


def _vertical_tally(facts: Facts | Review) -> str:
    """How many verticals miss a goal, keep what they can be judged on, are too close to call, or too small to say."""
    by: dict[str, set[str]] = {}
    for status in facts.standings:
        if status.vertical not in {"", UNKNOWN}:
            by.setdefault(status.vertical, set()).add(status.verdict)
    if len(by) < 2:
        return ""
    numbers = Counter(
        next((v for v in ("missed", "cannot tell", "met") if v in verdicts), "") for verdicts in by.values()
    )
    words = {
        "missed": ("misses at least one goal", "miss at least one goal"),
        "met": ("meets every goal with enough cases", "meet every goal with enough cases"),
        "cannot tell": ("is too close to call on at least one", "are too close to call on at least one"),
        "": ("has too few cases", "have too few cases"),
    }
    said = [f"{number_word(numbers[v])} {of[numbers[v] > 1]}" for v, of in words.items() if numbers[v]]
    first = said[0].split(" ", 1)
    said[0] = f"{first[0].capitalize()} vertical{'' if first[0] == 'one' else 's'} {first[1]}"
    return f" {listed(said)}."


def _first_issue(issue: Issue) -> str:
    # "Four verticals" begins a line elsewhere and stands inside the sentence here; a name keeps its capital.
    place = f" in {issue.where[:1].lower() + issue.where[1:] if issue.vertical is None else issue.where}"
    place = "" if issue.where == EVERYWHERE else place
    if issue.metric is None:
        return f"{issue.what}{place}{f' ({issue.figure})' if len(issue.incidents) > 1 else ''}"
    against = f" against a {issue.against.replace(' ', ' of ', 1)}" if issue.against else ""
    if issue.against.startswith("compared with"):
        against = f", {issue.against}"
    # What the sentence or the page's month says already is left out.
    of = "" if issue.figure_of in issue.what else issue.figure_of
    days = "" if issue.period.startswith("in ") else issue.period
    known = ", ".join(filter(None, (of, days)))
    return f"{issue.what}{place}: {issue.figure}{f' ({known})' if known else ''}{against}"
