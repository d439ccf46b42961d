"""What a test expected beside what it got. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from config.models import Rule
from config.reading.entries import ConfigEntry
from config.reading.rule_tests import ExpectedIncident, RuleTest, line
from triggers.rule_tests.run import OpenedIncident, incident_slice
from triggers.rule_tests.written_counts import slice_of
from triggers.rules import ROUNDING

FIELDS: Final = ("opened", "slot", "resolved", "value", "held", "n", "reason")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An expected incident: what it says, where it lies, and where it is written."""

    incident: ExpectedIncident
    place: str
    where: str


@dataclass(frozen=True, slots=True)
class Match:
    """An expected incident and the one that it is held against; None on the side where there is none."""

    wanted: Wanted | None
    seen: OpenedIncident | None

    @property
    def differing(self) -> tuple[str, ...]:
        """The fields that were asked for and differ."""
        if self.wanted is None or self.seen is None:
            return ("opened",)
        return tuple(
            name for name in stated_fields(self.wanted.incident) if not _agrees(self.wanted.incident, self.seen, name)
        )


def stated_fields(incident: ExpectedIncident) -> tuple[str, ...]:
    """The fields that an expected incident states."""
    return tuple(name for name in FIELDS if getattr(incident, name) is not None)


def matched(entry: ConfigEntry[RuleTest], rule: Rule, seen: Sequence[OpenedIncident]) -> tuple[Match, ...]:
    """Each expected incident with the one of its slice that opened on its day, else with the next that is left.

    Raises:
        ConfigError: an expected incident lies in no slice of the rule.
    """
    left = list(seen)
    wanted = [_wanted(entry, rule, i) for i in range(len(entry.item.incident))]
    exact = {i: found for i, one in enumerate(wanted) if (found := _take(left, one, one.incident.opened))}
    pairs = [Match(one, exact.get(i) or _take(left, one, None)) for i, one in enumerate(wanted)]
    return (*pairs, *(Match(None, one) for one in left))


def _take(left: list[OpenedIncident], wanted: Wanted, day: date | None) -> OpenedIncident | None:
    for one in left:
        if _place(one, wanted) == wanted.place and day in (None, one.opened):
            left.remove(one)
            return one
    return None


def _wanted(entry: ConfigEntry[RuleTest], rule: Rule, number: int) -> Wanted:
    incident, place = entry.item.incident[number], ("incident", number)
    written = slice_of(entry, place, incident.slice, rule.slice_columns)
    return Wanted(incident, incident.row or incident_slice(rule, written), line(entry, place))


def _place(seen: OpenedIncident, wanted: Wanted) -> str:
    """A row is named by its id alone, without its table and source."""
    return seen.slice.partition("/")[2] if wanted.incident.row else seen.slice


def _agrees(wanted: ExpectedIncident, seen: OpenedIncident, name: str) -> bool:
    expected, got = getattr(wanted, name), getattr(seen, name)
    if expected is False:
        return got is None
    if isinstance(expected, float) and got is not None:
        return abs(float(got) - expected) <= 0.5 * 0.1 ** _decimals(expected) + ROUNDING
    return bool(expected == got)


def _decimals(number: float) -> int:
    """How exactly a number is written: 0.28 asks for no more than two places."""
    text = repr(number)
    return int(text.partition("e-")[2]) if "e-" in text else len(text.partition(".")[2].rstrip("0"))


def differences(pairs: Sequence[Match]) -> Iterator[str]:
    """What differs, in lines: nothing where all is as expected."""
    for pair in pairs:
        if pair.differing:
            yield from _difference(pair)


def _difference(pair: Match) -> Iterator[str]:
    if pair.wanted is None and pair.seen is not None:
        yield f"  opened, and was not expected: {_whole(pair.seen)}"
    elif pair.wanted is not None and pair.seen is None:
        place, day = pair.wanted.place or "the whole company", pair.wanted.incident.opened
        yield f"  expected, and did not open: {place}, opened {day} ({pair.wanted.where})"
    elif pair.wanted is not None and pair.seen is not None:
        yield f"  {pair.wanted.place or 'the whole company'} ({pair.wanted.where})"
        yield from _table(pair, pair.wanted.incident, pair.seen)


def _table(pair: Match, wanted: ExpectedIncident, seen: OpenedIncident) -> Iterator[str]:
    rows = [(name, *(_shown(name, getattr(side, name)) for side in (wanted, seen))) for name in stated_fields(wanted)]
    width = max(len(expected) for _, expected, _ in rows) + 2
    yield f"    {'':10}{'expected':{max(width, 10)}}got"
    for name, expected, got in rows:
        yield f"  {'!' if name in pair.differing else ' '} {name:10}{expected:{max(width, 10)}}{got}"


def _whole(seen: OpenedIncident) -> str:
    parts = ((name, getattr(seen, name)) for name in FIELDS)
    told = ", ".join(f"{name} {_shown(name, value)}" for name, value in parts)
    return f"{seen.slice or 'the whole company'}, {told}"


def _shown(name: str, value: Any) -> str:
    if name == "resolved" and not value:
        return "still open"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
