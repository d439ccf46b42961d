"""What a test expected beside what it got. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from config.models import Rule
from config.reading import ConfigEntry, ExpectedIncident, RuleTest, line
from queries.state import slice_key
from triggers.rule_tests.written_counts import slice_of
from triggers.rules import ROUNDING

FIELDS: Final = ("opened", "slot", "resolved", "value", "held", "n", "reason")


@dataclass(frozen=True, slots=True)
class OpenedIncident:
    """One incident that a test opened. Days are of the test's zone.

    Args:
        slice: as text, such as `vertical=Retail`; of an event the key of its row.
        opened: the day on which it was known.
        slot: the day after its window's last.
        resolved: the day on which it was known to be over; None while it holds.
        value: what opened it, in the metric's unit.
        held: what that was held against.
        n: rows.
        reason: why it opened.
    """

    slice: str
    opened: date
    slot: date
    resolved: date | None
    value: float | None
    held: float | None
    n: int | None
    reason: str


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
    left, wanted = list(seen), list[Wanted]()
    for number, incident in enumerate(entry.item.incident):
        place, columns = ("incident", number), rule.slice_columns
        key = slice_key(columns, slice_of(entry, place, incident.slice, columns))
        wanted.append(Wanted(incident, incident.row or key, line(entry, place)))
    exact = [_take(left, expected, expected.incident.opened) for expected in wanted]
    pairs = [Match(expected, exact[i] or _take(left, expected, None)) for i, expected in enumerate(wanted)]
    return (*pairs, *(Match(None, incident) for incident in left))


def _take(left: list[OpenedIncident], wanted: Wanted, day: date | None) -> OpenedIncident | None:
    for incident in left:
        # A row is named by its id alone, without its table and source.
        place = incident.slice.partition("/")[2] if wanted.incident.row else incident.slice
        if place == wanted.place and day in (None, incident.opened):
            left.remove(incident)
            return incident
    return None


def _agrees(wanted: ExpectedIncident, seen: OpenedIncident, name: str) -> bool:
    expected, got = getattr(wanted, name), getattr(seen, name)
    if expected is False:
        return got is None
    if isinstance(expected, float) and got is not None:
        # As exactly as it is written: 0.28 asks for no more than two places.
        text = repr(expected)
        places = int(text.partition("e-")[2]) if "e-" in text else len(text.partition(".")[2].rstrip("0"))
        return abs(float(got) - expected) <= 0.5 * 0.1**places + ROUNDING
    return bool(expected == got)


def differences(pairs: Sequence[Match]) -> Iterator[str]:
    """What differs, in lines: nothing where all is as expected."""
    for pair in pairs:
        wanted, seen = pair.wanted, pair.seen
        if wanted is None and seen is not None:
            told = ", ".join(f"{name} {_shown(name, getattr(seen, name))}" for name in FIELDS)
            yield f"  opened, and was not expected: {seen.slice or 'the whole company'}, {told}"
        elif wanted is not None and seen is None:
            place, day = wanted.place or "the whole company", wanted.incident.opened
            yield f"  expected, and did not open: {place}, opened {day} ({wanted.where})"
        elif wanted is not None and seen is not None and pair.differing:
            yield f"  {wanted.place or 'the whole company'} ({wanted.where})"
            yield from _table(pair, wanted.incident, seen)


def _table(pair: Match, wanted: ExpectedIncident, seen: OpenedIncident) -> Iterator[str]:
    rows = [(name, *(_shown(name, getattr(side, name)) for side in (wanted, seen))) for name in stated_fields(wanted)]
    width = max(len(expected) for _, expected, _ in rows) + 2
    yield f"    {'':10}{'expected':{max(width, 10)}}got"
    for name, expected, got in rows:
        yield f"  {'!' if name in pair.differing else ' '} {name:10}{expected:{max(width, 10)}}{got}"


def _shown(name: str, value: Any) -> str:
    if name == "resolved" and not value:
        return "still open"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
