"""Windows of a figure about people that come from too few of them: nothing is judged of these, and so nothing told."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

    def windows(self, slots: Sequence[date], slices: Sequence[Slice], asked: Bools) -> Bools:
        """The windows whose figure, or what that is compared with, is of too few people, of those that are asked for.

        Both have shape (slots, slices).
        """
        found = np.zeros(asked.shape, dtype=bool)
        for row, column in zip(*np.nonzero(asked), strict=True):
            found[row, column] = self._is_few(slots[row], slices[column])
        return found

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
        end = until.toordinal()
        since, known = end - self.subject.rule.period.days, [side[one] for one in of if one in side]
        spans = [(people, bisect_left(days, since), bisect_left(days, end)) for days, people in known]
        some = how_many([who for people, first, last in spans for who in people[first : min(last, first + _FIRST)]])
        return (
            some if some >= self.least else how_many([who for people, *ends in spans for who in people[slice(*ends)]])
        )


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
