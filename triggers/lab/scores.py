"""Two backtests side by side, and one beside what is known to have happened. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from config.models import Catalog
from config.reading import KnownIncident
from queries.state import slice_values
from triggers.lab.backtest import Row
from triggers.rules import midnight


@dataclass(frozen=True, slots=True)
class Pair:
    """One incident in two backtests; None where only the other has it."""

    left: Row | None
    right: Row | None

    @property
    def row(self) -> Row:
        """Either of them."""
        found = self.left or self.right
        if found is None:
            raise TypeError
        return found


def paired(left: Sequence[Row], right: Sequence[Row]) -> tuple[Pair, ...]:
    """The incidents of two backtests, oldest first; the same breach is one whose time overlaps.

    A rule that was renamed is compared with its older self where each side has only one.
    """
    is_renamed = len({row.rule for row in left}) == 1 == len({row.rule for row in right})
    waiting = list(right)
    pairs = list[Pair]()
    for row in left:
        alike = (other for other in waiting if other.slice == row.slice and (is_renamed or other.rule == row.rule))
        overlapping = (r for r in alike if _begins_before_end(row, r) and _begins_before_end(r, row))
        same = next(overlapping, None)
        if same is not None:
            waiting.remove(same)
        pairs.append(Pair(row, same))
    pairs += (Pair(None, row) for row in waiting)
    return tuple(sorted(pairs, key=lambda pair: (pair.row.opened_at, pair.row.rule, pair.row.slice)))


def _begins_before_end(one: Row, other: Row) -> bool:
    return other.resolved_at is None or one.opened_at < other.resolved_at


@dataclass(frozen=True, slots=True)
class Score:
    """What became of one known incident. `delay` is from its beginning to the opening of `row`, where it was found."""

    known: KnownIncident
    verdict: Literal["found", "open before", "missed"]
    row: Row | None
    delay: timedelta | None


@dataclass(frozen=True, slots=True)
class Scores:
    """What was found of what is known, and the incidents that are about none of it: false ones, as far as is known."""

    scores: tuple[Score, ...]
    false: tuple[Row, ...]


def scored(known: Iterable[KnownIncident], rows: Sequence[Row], catalog: Catalog, zone: ZoneInfo) -> Scores:
    """Hold a backtest against what is known.

    A known incident is found by the first one of its rule or metric, in a slice that does not contradict its own, whose
    window reaches into it; it is `open before` where one was open already when it began. What the data explains is
    neither found nor false.

    Args:
        known: what happened.
        rows: the backtest's incidents, oldest first.
        catalog: to know each rule's metrics.
        zone: the reporting zone, in which days begin.
    """
    metrics = {rule.name: frozenset(rule.metric_names) for rule in catalog.rules}
    own = [row for row in rows if row.class_ != "data"]
    scores, explained = list[Score](), set[str]()
    for happened in known:
        about = [row for row in own if _is_about(happened, row, metrics)]
        score = _score(happened, about, zone)
        scores.append(score)
        explained.update(row.incident.id for row in about if row is score.row or _reaches(happened, row, zone))
    return Scores(tuple(scores), tuple(row for row in own if row.incident.id not in explained))


def _is_about(known: KnownIncident, row: Row, metrics: dict[str, frozenset[str]]) -> bool:
    names = {known.rule} if known.rule else metrics.get(row.rule, frozenset()) & {known.metric or ""}
    is_asked = row.rule in names if known.rule else bool(names)
    place = slice_values(row.slice)
    return is_asked and all(place.get(name, _text(value)) == _text(value) for name, value in known.slice.items())


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _score(known: KnownIncident, rows: Sequence[Row], zone: ZoneInfo) -> Score:
    begins = midnight(known.since, zone)
    for row in rows:
        if _reaches(known, row, zone) and row.opened_at >= begins:
            return Score(known, "found", row, row.opened_at - begins)
    for row in rows:
        if row.opened_at < begins and (row.resolved_at is None or row.resolved_at > begins):
            return Score(known, "open before", row, None)
    return Score(known, "missed", None, None)


def _reaches(known: KnownIncident, row: Row, zone: ZoneInfo) -> bool:
    """Whether the days that opened an incident share one with what is known."""
    day = row.opened_at.astimezone(zone).date()
    since, until = row.window or (day, day + timedelta(days=1))
    return until > known.since and (known.until is None or since < known.until)
