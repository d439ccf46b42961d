"""Every setting of a rule worth trying, what each asks of whom, and which of them keep a budget."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

from sqlalchemy import Connection

from config.models import Metric
from queries.metrics.formatting import goal_figure, is_share, shown, unit
from triggers.evaluation.kinds.kind import Setting
from triggers.lab.setting import candidate_values, setting_of, with_value
from triggers.lab.what_if import Trial, TrialOutcome, curve

MOST_STANDING: Final = 0.1
"""An incident that is nearly always open somewhere is no news: no value is proposed that opens this much."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How often a rule may ask for anybody's attention in a week."""

    a_week: float

    def keeps(self, outcome: TrialOutcome) -> bool:
        """Whether it is kept by everybody, on average and in the busiest week."""
        return outcome.a_week <= self.a_week and outcome.busiest <= max(ceil(self.a_week), 1)

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.a_week:g} per person per week"


@dataclass(frozen=True, slots=True)
class ParameterSweep:
    """The outcomes of a rule at each value of its dial, least value first."""

    on: Setting
    values: tuple[float, ...]
    outcomes: tuple[TrialOutcome, ...]

    @property
    def present(self) -> TrialOutcome:
        """The rule as it is."""
        return self.outcomes[self.values.index(self.on.value)]

    def lax_first(self) -> tuple[tuple[float, TrialOutcome], ...]:
        """From the value that fires least often on."""
        pairs = tuple(zip(self.values, self.outcomes, strict=True))
        return pairs if self.on.laxer < 0 else tuple(reversed(pairs))


def sweep_setting(conn: Connection, of: Trial) -> ParameterSweep:
    """What a rule would have done at every value worth trying."""
    metric = own_metric(of)
    on, tried = setting_of(of.rule, metric), candidate_values(of.rule, metric, of.judged.panel)
    rules = (of.rule if value == on.value else with_value(of.rule, value) for value in tried)
    return ParameterSweep(on, tried, curve(conn, of, rules))


def own_metric(of: Trial) -> Metric | None:
    """The metric of a trial's rule as it is judged; none for what is quiet."""
    return of.subject.metric if of.subject.metrics else None


def propose(found: ParameterSweep, within: Budget) -> tuple[float, TrialOutcome] | None:
    """The value that hears most of those up to which the budget is kept; None where not even the laxest keeps it.

    What would be open a tenth of the time, over all slices, is not proposed either.
    """
    best: tuple[float, TrialOutcome] | None = None
    for value, outcome in found.lax_first():
        if not within.keeps(outcome) or outcome.standing > MOST_STANDING:
            break
        best = value, outcome
    return best


def days_open(outcome: TrialOutcome, until: datetime) -> int:
    """How many days incidents were open in all; those that still are count up to `until`."""
    spans = ((one.incident.resolved_at or until, one.incident.opened_at) for one in outcome.found)
    return sum(max((over - opened).days, 0) for over, opened in spans)


def setting(on: Setting, metric: Metric | None, value: float) -> str:
    """A value of the dial with its unit: `15%`, `3 points`, `21 days`."""
    if metric is None or on.field == "at_least":
        return f"{value:g} days"
    if on.field == "limit":
        return goal_figure(metric, value)
    number, named = f"{round(shown(metric, value), 6):g}", "points" if is_share(metric) else unit(metric)
    return f"{number} {named}".strip()
