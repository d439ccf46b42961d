"""Everything that analysts edit, in one frozen value."""

from datetime import date
from typing import Protocol, TypeVar

from config.models.calendar import Calendar
from config.models.metrics import BaselinePeriod, ContactCost, Cutoffs, Goal, Metric, goal_of
from config.models.routing import Audience, Person, Privacy, ReviewSettings, Route
from config.models.rule_fields import Guard
from config.models.rules import DATA_FAULT, Rule
from config.models.values import Conditions, FrozenModel


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """How other entries refer to it."""
        ...


NamedT = TypeVar("NamedT", bound=Named)


class Catalog(FrozenModel):
    """Everything in the config folder, checked against itself."""

    metrics: tuple[Metric, ...]
    goals: tuple[Goal, ...]
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    people: tuple[Person, ...]
    audiences: tuple[Audience, ...]
    calendar: Calendar
    review: ReviewSettings
    privacy: Privacy = Privacy()
    portfolio: tuple[Cutoffs, ...] = ()
    baselines: tuple[BaselinePeriod, ...] = ()
    contact_costs: tuple[ContactCost, ...] = ()
    guard: Guard

    def metric(self, name: str) -> Metric:
        """The metric of that name. Raises KeyError."""
        return next_named(self.metrics, name)

    def route(self, name: str) -> Route:
        """The route of that name. Raises KeyError."""
        return next_named(self.routes, name)

    def rule(self, name: str) -> Rule:
        """The rule of that name. Raises KeyError."""
        return next_named(self.rules, name)

    def person(self, name: str) -> Person:
        """The person of that name. Raises KeyError."""
        return next_named(self.people, name)

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions of the company that rules name, in order."""
        return tuple(sorted({one.function for one in (*self.rules, self.guard) if one.function}))

    def function_of(self, rule: str) -> str | None:
        """The function that is responsible for what a rule found; of a fault of the data the guard's."""
        named = self.guard if rule == DATA_FAULT else next((one for one in self.rules if one.name == rule), None)
        return named.function if named else None

    def audience(self, name: str) -> Audience | None:
        """The audience of that name, or None: in open mode there may be no analysts."""
        return next((audience for audience in self.audiences if audience.name == name), None)

    def goal(
        self, metric: str, vertical: str, day: date, where: Conditions = (), function: str | None = None
    ) -> Goal | None:
        """The goal of a metric for a vertical, or a part of one, that is valid on `day`; see `goal_of`."""
        return goal_of(self.goals, metric, vertical, day, where, function=function)

    def cutoffs(self, day: date) -> Cutoffs | None:
        """The newest cut-offs of the portfolio that are valid on `day`."""
        valid = (one for one in self.portfolio if one.valid_from <= day)
        return max(valid, key=lambda one: one.valid_from, default=None)

    def baselines_on(self, day: date) -> tuple[BaselinePeriod, ...]:
        """The baseline of each metric that has one on `day`: the newest that is valid then."""
        valid = sorted((one for one in self.baselines if one.valid_from <= day), key=lambda one: one.valid_from)
        return tuple({one.metric: one for one in valid}.values())


def next_named(items: tuple[NamedT, ...], name: str) -> NamedT:
    """The item of that name. Raises KeyError."""
    for item in items:
        if item.name == name:
            return item
    raise KeyError(name)
