"""Tests of rules as analysts write them: what was counted and when, and the incidents that should follow."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from config import ConfigError, Mistake
from config.models import ZERO, Catalog, Duration, FrozenModel, Goal, KeyedError, Listed, Rule, Zone
from config.reading.cross_checks import Columns
from config.reading.entries import ConfigEntry, Kind, read_entry, read_sheet, suggest
from config.reading.loader import RULE, check_drafts, unknown_tops
from config.reading.number_series import Numbers
from config.reading.toml_lines import Place, read_toml

Slices = dict[str, str | int | bool]
"""A slice as it is written: the value of each column in the rule's `by`."""


class Series(FrozenModel):
    """Counts of one slice, one of each list for every `every` from `from` on.

    `n` rows of the metric. For a share `plus` of them that count, or `bad` on the bad side; for a balance `plus` and
    `minus`; for a mean its `mean` and `spread` (standard deviation of the rows); a count has `n` alone. `scores` are
    rows by the value of the one column that the metric looks at, instead of all these.
    """

    slice: Slices = Field(default_factory=dict)
    side: Literal["own", "against"] = "own"
    from_: date | None = Field(default=None, alias="from")
    every: Duration | None = None
    n: Numbers | None = None
    plus: Numbers | None = None
    minus: Numbers | None = None
    bad: Numbers | None = None
    mean: Numbers | None = None
    spread: Numbers | None = None
    scores: dict[str, Numbers] | None = None


class WrittenSignals(FrozenModel):
    """The days on which something was heard of: `days`, or `every` so often from `from` to before `until`."""

    slice: Slices
    days: Annotated[tuple[date, ...] | None, Listed] = None
    every: Duration | None = None
    from_: date | None = Field(default=None, alias="from")
    until: date | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        spaced = (self.every, self.until)
        if (self.days is None) != all(spaced) or (self.days is not None and any(spaced)):
            raise KeyedError("days", "the days are missing; write days = [...], or every, from and until")
        return self


class ExpectedIncident(FrozenModel):
    """An incident that should open. What is left out is not compared.

    `opened` and `resolved` are the days on which it is known, as a backtest shows them; `resolved = false`: it is still
    open at the end. `slot` is the day after the window's last. `row` is the id of an event's row.
    """

    slice: Slices = Field(default_factory=dict)
    row: str | None = None
    opened: date
    resolved: date | Literal[False] | None = None
    slot: date | None = None
    value: float | None = None
    held: float | None = None
    n: int | None = None
    reason: str | None = None


class RuleTest(FrozenModel):
    """One test of one rule, up to the end of the day `at`. No incident is expected but those that are named.

    `rule` is a rule's name, or a whole draft. `alpha` is what the null replay found for it, `deff` the design effect of
    its rows, `settle` how long after a day its source is complete.
    """

    name: str
    rule: str | dict[str, Any]
    at: date
    from_: date | None = Field(default=None, alias="from")
    every: Duration | None = None
    zone: Zone = "UTC"
    settle: Duration = ZERO
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    deff: Annotated[float, Field(ge=1)] = 1.0
    goal: Annotated[tuple[Goal, ...], Listed] = ()
    series: Annotated[tuple[Series, ...], Listed] = ()
    signals: Annotated[tuple[WrittenSignals, ...], Listed] = ()
    row: Annotated[tuple[dict[str, Any], ...], Listed] = ()
    incident: Annotated[tuple[ExpectedIncident, ...], Listed] = ()

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if bool(self.series) == bool(self.signals or self.row):
            message = "a test needs [[test.series]], or else [[test.row]] and [[test.signals]]; write one of the two"
            raise ValueError(message)
        return self


_KIND: Final = Kind(TypeAdapter(RuleTest), lambda _: RuleTest, {})


def read_rule_tests(file: Path) -> tuple[ConfigEntry[RuleTest], ...]:
    """Every `[[test]]` of a file.

    Raises:
        ConfigError: with all mistakes that show without the catalogue.
    """
    document = read_toml(file)
    sheet = read_sheet(document, "test", _KIND)
    mistakes = (*unknown_tops(document, ("test",)), *sheet.mistakes)
    if not mistakes and not sheet.entries:
        mistakes = (Mistake(file, 1, "there is no test in it", "write [[test]], its rule, its series and incidents"),)
    if mistakes:
        raise ConfigError(mistakes)
    return sheet.entries


def tested_rule(entry: ConfigEntry[RuleTest], catalog: Catalog, columns: Columns) -> Rule:
    """The rule that a test is about: the catalogue's of that name, or the draft that stands in the test.

    Raises:
        ConfigError: with every mistake in it.
    """
    rule = entry.item.rule
    if isinstance(rule, str):
        names = [known.name for known in catalog.rules]
        if rule not in names:
            raise ConfigError((entry.mistake(("rule",), f"unknown rule {rule!r}", suggest(rule, names)),))
        return catalog.rule(rule)
    document, place = entry.document, (*entry.place, "rule")
    draft, own = read_entry(document, place, rule, RULE)
    mistakes = tuple(replace(mistake, wrong=f"rule{mistake.wrong.removeprefix('test')}") for mistake in own)
    if draft and not mistakes:
        named = ConfigEntry(draft.item, document, place, f"rule {draft.item.name}")
        mistakes = tuple(check_drafts((named,), document, catalog, columns))
    if mistakes or not draft:
        raise ConfigError(mistakes)
    return draft.item


def line(entry: ConfigEntry[RuleTest], place: Place = ()) -> str:
    """Where a place of a test stands: `file:line`."""
    return f"{entry.document.file}:{entry.document.line((*entry.place, *place))}"
