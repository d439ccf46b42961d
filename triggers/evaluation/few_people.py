"""Windows of a figure about people that come from too few of them: nothing is judged of these, and so nothing told."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import numpy as np
from sqlalchemy import Connection

from queries.monitoring import Question, Who, how_many, people_by_day
from triggers.evaluation.kinds import YEAR
from triggers.rules import Bools, Moment, Slice, Subject

_FIRST: Final = 64
"""Answers of a window that are looked at before all of them: mostly they are enough."""

_Answers = tuple[list[int], list[Who]]
"""Days, oldest first, and who answered on each."""


@dataclass(frozen=True, slots=True)
class FewPeople:
    """Who answered, of each of a rule's metrics and by slice. `least` people are enough."""

    subject: Subject
    least: int
    sides: tuple[Mapping[Slice, _Answers], ...]
    known: dict[tuple[tuple[date, ...], tuple[Slice, ...]], Bools] = field(default_factory=dict)

    def windows(self, slots: Sequence[date], slices: Sequence[Slice]) -> Bools:
        """The windows whose figure, or what that is compared with, is of too few people: shape (slots, slices)."""
        key = (*slots,), (*slices,)
        if key not in self.known:
            cells = [[self._is_few(slot, slice_) for slice_ in slices] for slot in slots]
            self.known[key] = np.array(cells, dtype=bool).reshape(len(slots), len(slices))
        return self.known[key]

    def _is_few(self, slot: date, slice_: Slice) -> bool:
        of = [(timedelta(0), (slice_,)), *self._baseline(slice_)]
        return any(0 < self._people(side, one, slot - back) < self.least for side in self.sides for back, one in of)

    def _baseline(self, slice_: Slice) -> Iterator[tuple[timedelta, tuple[Slice, ...]]]:
        """How far before a window lies what a change is measured from, and whose it is."""
        rule, place = self.subject.rule, self.subject.by.index("vertical") if "vertical" in self.subject.by else 0
        baseline = getattr(rule, "baseline", None)
        if baseline == "previous":
            yield rule.period, (slice_,)
        elif baseline == "last-year":
            yield YEAR, (slice_,)
        elif baseline == "others":
            rest = slice_[:place], slice_[place + 1 :]
            same = (one for one in self.sides[0] if (one[:place], one[place + 1 :]) == rest)
            yield timedelta(0), tuple(one for one in same if one != slice_)

    def _people(self, side: Mapping[Slice, _Answers], of: Sequence[Slice], until: date) -> int:
        """How many answered in the window before `until`; where these are enough, perhaps more."""
        who, end = list[Who](), until.toordinal()
        for days, people in (side[one] for one in of if one in side):
            first, last = np.searchsorted(days, (end - self.subject.rule.period.days, end))
            who += people[first:last]
        some = how_many(who[:_FIRST])
        return some if some >= self.least else how_many(who)


def few_people(conn: Connection, subject: Subject, slots: Sequence[date], moment: Moment) -> FewPeople | None:
    """Who answered in all windows of these slots; None for a rule that reads no figure about people."""
    privacy, rule, sides = subject.privacy, subject.rule, list[Mapping[Slice, _Answers]]()
    if privacy is None or not slots:
        return None
    back = {"previous": rule.period, "last-year": YEAR}.get(str(getattr(rule, "baseline", None)), timedelta(0))
    for figure in subject.figures:
        by_slice: dict[Slice, _Answers] = defaultdict(lambda: ([], []))
        question = Question(figure.metric, min(slots) - rule.period - back, max(slots), figure.where)
        for day, slice_, who in people_by_day(conn, question, subject.by, privacy, moment.now):
            by_slice[slice_][0].append(day.toordinal())
            by_slice[slice_][1].append(who)
        if by_slice:
            sides.append(dict(by_slice))
    return FewPeople(subject, privacy.people, tuple(sides)) if sides else None
