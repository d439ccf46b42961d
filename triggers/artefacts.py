"""Data that deceives, told from the data alone: eight ways in which figures move though nothing happened to customers.

Each detector looks at counts of rows by day, never at scores or shares of good and bad, so a real change of those is no
artefact. It asks for two things at once: an exact tail below ALPHA over all it looks at, and a size that matters.
Only days before `until` are read, and rows are dated by their own event.

Sources: conditional binomial test of two Poisson counts (Przyborowski & Wilenski 1940), dispersion by successive
differences (von Neumann 1941), chi square with Pearson's dispersion (McCullagh & Nelder 1989, section 4.5), the chance
that two Poisson counts are equal (Skellam 1946), Welch 1947.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from math import log
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from queries.profiles import AGES, Breakdown, Profile
from queries.statistics import Floats

Kind = Literal[
    "publication-lag",
    "right-censoring",
    "collection-change",
    "sampling-change",
    "copied-period",
    "duplicated-rows",
    "swapped-dates",
    "padded-promise",
]

ALPHA: Final = 1e-6
"""How rarely each detector may be wrong in one look."""

BASELINE_WEEKS: Final = 26
"""So long before a window a change still matters to what the window is compared with."""

_BEFORE: Final = 26  # weeks that a change of mix or promise is compared with
_AFTER: Final = 13
_NEAR: Final = 8  # weeks of rows that a silence is compared with
_HISTORY: Final = 60  # weeks looked at before the baseline
_LEAST_WEEKS: Final = 8

_SAME_ROWS: Final = {
    "wait": ("contact",),
    "inbound": ("contact",),
    "issue": ("contact", "journey"),
    "journey": ("journey", "defect"),
}
"""The tables whose rows a relation is made of, where they are not its own alone."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One thing that is wrong with the data.

    Args:
        kind: which of the eight.
        table: whose rows.
        place: which of them, such as "vertical=Retail, channel=phone"; "" is all.
        since: the first day that it spoils.
        until: the day after the last one, as far as is known.
        reason: one sentence with the figures that show it.
        vertical: the only vertical concerned, if it is one.
        touchpoint: the only touchpoint or journey type concerned, if it is one.
    """

    kind: Kind
    table: str
    place: str
    since: date
    until: date
    reason: str
    vertical: str | None = None
    touchpoint: str | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """A profile up to a day, and how far back a change still concerns the window."""

    profile: Profile
    end: int
    concern: int  # the first place that concerns the window or its baseline
    weeks: int

    def day(self, place: int) -> date:
        return self.profile.first + timedelta(days=place)

    @property
    def until(self) -> date:
        return self.day(self.end)

    def week(self, number: int) -> int:
        """The place of a week's first day; weeks count up to the one that ends the look."""
        return self.end - 7 * (self.weeks - number)

    def weekly(self, counts: Floats) -> Floats:
        """Sums by week: shape (weeks, ...)."""
        part = counts[self.week(0) : self.end]
        return np.asarray(part.reshape(self.weeks, 7, *counts.shape[1:]).sum(axis=1), dtype=np.float64)

    @property
    def concerned(self) -> int:
        """The first week that concerns the window or its baseline."""
        return max(0, (self.concern - self.week(0)) // 7)


@dataclass(frozen=True, slots=True)
class _Cell:
    """One slice of a table and the slice it is a part of."""

    names: tuple[tuple[str, str], ...]
    daily: Floats
    whole: Floats

    @property
    def place(self) -> str:
        return ", ".join(f"{column}={value}" for column, value in self.names)

    @property
    def called(self) -> str:
        return " of " + ", ".join(value for _, value in self.names) if self.names else ""


_Detector = Callable[[_Look], Iterator[Artefact]]


def detect(profile: Profile, since: date, until: date) -> tuple[Artefact, ...]:
    """Everything wrong that concerns the window [since, until) and the half year it may be compared with.

    Args:
        profile: of one table; its days from `until` on are not read.
        since: the window's first day.
        until: the day after its last one.
    """
    end = min((until - profile.first).days, profile.days)
    concern = max((since - profile.first).days - 7 * BASELINE_WEEKS, 0)
    weeks = min(end // 7, (end - concern) // 7 + _HISTORY)
    if weeks < _LEAST_WEEKS:
        return ()
    look = _Look(profile, end, concern, weeks)
    found = [artefact for detector in _DETECTORS for artefact in detector(look)]
    return tuple(artefact for artefact in found if not _follows(artefact, found))


def _follows(artefact: Artefact, found: Collection[Artefact]) -> bool:
    """Whether a silence is nothing but rows that are still on their way, or that stand under a wrong date."""
    if artefact.kind != "collection-change":
        return False
    moved = (a for a in found if a.kind in ("publication-lag", "swapped-dates"))
    overlapping = (a for a in moved if a.since < artefact.until and artefact.since < a.until)
    return any(a.vertical in (None, artefact.vertical) for a in overlapping)


def explains(
    artefacts: Collection[Artefact],
    table: str,
    vertical: str | None,
    touchpoint: str | None,
    window: tuple[date, date],
) -> Artefact | None:
    """The artefact that explains a breach, if any: it spoils the window and is not about other rows.

    A promise that was padded makes figures look better than they are, so it explains no breach.

    Args:
        artefacts: what `detect` found, of one table or several.
        table: the relation that the breached metric reads.
        vertical: of the breach; None is the whole company, which no artefact of a single vertical explains.
        touchpoint: of the breach, or its journey type; None is all of them.
        window: its first day and the day after its last.
    """
    tables = _SAME_ROWS.get(table, (table,))
    found = (a for a in artefacts if a.table in tables and a.kind != "padded-promise")
    return next((a for a in found if _concerns(a, vertical, touchpoint, window)), None)


def _concerns(artefact: Artefact, vertical: str | None, touchpoint: str | None, window: tuple[date, date]) -> bool:
    overlap = artefact.since < window[1] and artefact.until > window[0]
    same_place = artefact.vertical in (None, vertical) and (
        touchpoint is None or artefact.touchpoint in (None, touchpoint)
    )
    return overlap and same_place


# What the detectors share.


def _cells_by(breakdown: Breakdown, names: tuple[str, ...]) -> dict[tuple[str, ...], Floats]:
    """Daily counts by some of the columns."""
    at = [breakdown.columns.index(name) for name in names]
    keys = [tuple(cell[i] for i in at) for cell in breakdown.cells]
    found = sorted(set(keys))
    index = np.array([found.index(key) for key in keys], dtype=np.intp)
    return {key: breakdown.counts[:, index == i].sum(axis=1) for i, key in enumerate(found)}


@lru_cache(maxsize=16)
def _total(profile: Profile) -> Floats:
    return np.asarray(profile.sources.counts.sum(axis=1), dtype=np.float64)


@lru_cache(maxsize=16)
def _large(profile: Profile) -> tuple[_Cell, ...]:
    """All rows, each source where there are several, and each vertical."""
    total = _total(profile)
    sources = _cells_by(profile.sources, ("source",))
    verticals = _cells_by(profile.slices[0], ("vertical",))
    parts = [(("source", key[0]), daily) for key, daily in sources.items() if len(sources) > 1]
    parts += [(("vertical", key[0]), daily) for key, daily in verticals.items() if len(verticals) > 1]
    return (_Cell((), total, total), *(_Cell((name,), daily, total) for name, daily in parts))


def _small(profile: Profile) -> tuple[_Cell, ...]:
    """Each channel, touchpoint, instrument or journey type: everywhere, and within each vertical."""
    total, found = _total(profile), []
    for breakdown in profile.slices:
        column = breakdown.columns[1]
        verticals, kinds = _cells_by(breakdown, ("vertical",)), _cells_by(breakdown, (column,))
        if len(kinds) > 1:
            found += [_Cell(((column, key[0]),), daily, total) for key, daily in kinds.items()]
        if len(kinds) > 1 and len(verticals) > 1:
            found += [
                _Cell((("vertical", cell[0]), (column, cell[1])), breakdown.counts[:, i], verticals[cell[:1]])
                for i, cell in enumerate(breakdown.cells)
            ]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Every slice of a table, and the rows of each before each day: shape (days + 1, cells)."""

    cells: tuple[_Cell, ...]
    sums: Floats


@lru_cache(maxsize=16)
def _parts(profile: Profile) -> _Parts:
    cells = _large(profile) + _small(profile)
    sums = np.zeros((profile.days + 1, len(cells)))
    np.cumsum(np.stack([cell.daily for cell in cells], axis=1), axis=0, out=sums[1:])
    return _Parts(cells, sums)


def _dispersion(weekly: Floats) -> float:
    """How much more a weekly count varies from week to week than a Poisson count does; at least 1."""
    change, size = np.diff(weekly) ** 2, weekly[1:] + weekly[:-1]
    known = size > 0
    return max(1.0, float(np.median(change[known] / size[known])) / 0.455) if known.any() else 1.0


def _few(few: float, others: float, share: float, dispersion: float) -> float:
    """The chance of at most `few` of few + others, were each in its part with probability `share`."""
    x, n = few / dispersion, (few + others) / dispersion
    return float(special.betainc(n - x, x + 1, 1 - share)) if n > x else 1.0


def _at_least(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or more."""
    return float(special.gammainc(seen / dispersion, expected / dispersion)) if seen > 0 else 1.0


def _at_most(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or fewer."""
    return float(special.gammaincc(seen / dispersion + 1, expected / dispersion))


def _begun(weekly: Floats) -> int:
    """The week from which rows come at half their later level or more: what is before is the beginning of the data."""
    seen = weekly[weekly > 0]
    return int(np.argmax(weekly >= 0.5 * np.median(seen))) if len(seen) else len(weekly)


def _touchpoint(cell: _Cell) -> str | None:
    return next((value for column, value in cell.names if column in ("touchpoint", "journey_type")), None)


def _found(look: _Look, kind: Kind, cell: _Cell, since: int, reason: str, until: int | None = None) -> Artefact:
    end = look.end if until is None else until
    vertical = dict(cell.names).get("vertical")
    table = look.profile.table
    return Artefact(kind, table, cell.place, look.day(since), look.day(end), reason, vertical, _touchpoint(cell))


# Collection starts or stops.

_SILENT: Final = 0.05
_LEAST_SILENT: Final = 2  # weeks
_BEGINNING: Final = 13  # weeks in which parts may join one after the other: that is how data begins
_MATTERS: Final = 0.02  # share of the rows it is a part of


def _collection_changes(look: _Look) -> Iterator[Artefact]:
    """From the largest part to the smallest; what stops as a whole is not said again of its parts."""
    parts = _parts(look.profile)
    known = max(int(np.count_nonzero(parts.sums[look.end])), 1)  # a part that begins later is no reason to doubt now
    alpha, said = ALPHA / (known * look.weeks), set[tuple[str, str]]()
    for place in _suspects(look, parts, alpha):
        cell = parts.cells[place]
        if said.intersection(cell.names) or ("", "") in said:
            continue
        found = tuple(_silences(look, cell, alpha))
        if found:
            said.update(cell.names[-1:] or (("", ""),))
        yield from found


def _suspects(look: _Look, parts: _Parts, alpha: float) -> list[int]:
    """The places of the cells whose longest silence, since the data of what they are part of began, is no chance."""
    weekly = np.diff(parts.sums[look.end - 7 * look.weeks : look.end + 1 : 7], axis=0)
    wholes = {id(cell.whole): cell.whole for cell in parts.cells}
    begun = {key: _begun(look.weekly(whole)) for key, whole in wholes.items()}
    first = np.array([begun[id(cell.whole)] for cell in parts.cells])
    run = longest = np.zeros(weekly.shape[1])
    for week, silent in enumerate(weekly <= _silence(weekly)):
        run = np.where(silent & (week >= first), run + 1, 0.0)
        longest = np.maximum(longest, run)
    suspect = longest * weekly.sum(axis=0) >= -log(alpha) * (look.weeks - longest)
    return np.flatnonzero(suspect & (longest >= _LEAST_SILENT) & (longest < look.weeks)).tolist()


def _silence(weekly: Floats) -> Floats:
    """The weekly rows up to which a cell is silent: a small part of those in weeks that have any."""
    usual = weekly.sum(axis=0) / np.maximum((weekly > 0).sum(axis=0), 1)
    return np.asarray(_SILENT * usual, dtype=np.float64)


def _silences(look: _Look, cell: _Cell, alpha: float) -> Iterator[Artefact]:
    weekly, begun = look.weekly(cell.daily), _begun(look.weekly(cell.whole))
    is_whole_vertical = [column for column, _ in cell.names] == ["vertical"]
    for first, last in _runs(weekly <= _silence(weekly), begun):
        if last - first < _LEAST_SILENT or last < look.concerned:
            continue
        if first <= begun:
            started = _started(look, cell, (begun, last), alpha)
            if started and not is_whole_vertical and cell.names:
                yield started
        elif stopped := _stopped(look, cell, (first, last), alpha):
            yield stopped


def _runs(flags: NDArray[np.bool_], begin: int) -> Iterator[tuple[int, int]]:
    """The stretches of true flags from `begin` on, as [first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags[begin:].astype(np.int8), [0]))))
    yield from ((int(a) + begin, int(b) + begin) for a, b in edges.reshape(-1, 2))


def _stopped(look: _Look, cell: _Cell, run: tuple[int, int], alpha: float) -> Artefact | None:
    weekly, parent = look.weekly(cell.daily), look.weekly(cell.whole)
    first, last = run
    near = slice(max(first - _NEAR, _begun(parent)), first)
    length, seen, before = near.stop - near.start, float(weekly[first:last].sum()), float(weekly[near].sum())
    if length < 4 or before < _MATTERS * parent[near].sum():
        return None
    share = (last - first) / (last - first + length)
    if _few(seen, before, share, _dispersion(weekly[max(0, first - _BEFORE) : first])) >= alpha:
        return None
    since, until = _last_row(look, cell, first), look.week(last)
    if last < look.weeks:
        until = _first_row(look, cell, last - 1)
    if max(since, until if last < look.weeks else since) < look.concern:
        return None
    expected = before / length * (last - first)
    again = "" if last == look.weeks else f" and start again on {look.day(until)}"
    figures = f"{seen:.0f} in {7 * (last - first)} days where {expected:.0f} were expected"
    reason = f"{look.profile.table} rows{cell.called} stop on {look.day(since)}{again}: {figures}"
    return _found(look, "collection-change", cell, since, reason, until)


def _started(look: _Look, cell: _Cell, run: tuple[int, int], alpha: float) -> Artefact | None:
    weekly, parent = look.weekly(cell.daily), look.weekly(cell.whole)
    begun, last = run
    near = slice(last, min(last + _NEAR, look.weeks))
    length, seen, after = near.stop - last, float(weekly[begun:last].sum()), float(weekly[near].sum())
    if length < 2 or last - begun < _BEGINNING or after < _MATTERS * parent[near].sum():
        return None
    since = _first_row(look, cell, last - 1)
    share = (last - begun) / (last - begun + length)
    if since < look.concern or _few(seen, after, share, _dispersion(weekly[last : last + _BEFORE])) >= alpha:
        return None
    figures = f"{seen:.0f} in the {7 * (last - begun)} days before, {after:.0f} in the {7 * length} days after"
    reason = f"{look.profile.table} rows{cell.called} start on {look.day(since)}: {figures}"
    return _found(look, "collection-change", cell, since, reason)


def _last_row(look: _Look, cell: _Cell, week: int) -> int:
    """The day after the last row up to the first day of a silent week, or up to its end where it has few rows."""
    before = np.flatnonzero(cell.daily[: look.week(week)])
    return int(before[-1]) + 1 if len(before) else look.week(week)


def _first_row(look: _Look, cell: _Cell, week: int) -> int:
    """The first day with rows after the beginning of a silent week's last one."""
    after = np.flatnonzero(cell.daily[look.week(week) : look.end])
    return look.week(week) + int(after[0]) if len(after) else look.end


# Publication lag.

_LAGGING: Final = 0.5
_TAPERS: Final = 0.8


def _publication_lags(look: _Look) -> Iterator[Artefact]:
    cells = [cell for cell in _large(look.profile) if cell.daily[: look.end].any()]
    for cell in cells:
        found = _lag(look, cell, ALPHA / len(cells))
        if found:
            yield found
            if not cell.names:
                return


def _lag(look: _Look, cell: _Cell, alpha: float) -> Artefact | None:
    weekly = look.weekly(cell.daily)
    usual = _usual_level(weekly)
    if usual is None or weekly[-2] <= _SILENT * usual:
        return None
    noise = _dispersion(weekly[-_BEFORE - 8 : -8])
    is_short = weekly[-1] <= _LAGGING * usual and _at_most(float(weekly[-1]), usual, noise) < alpha
    if not is_short or not _tapers(look, cell, weekly, usual, noise):
        return None
    first = look.weeks - 1
    while first > 0 and weekly[first - 1] < 0.85 * usual:
        first -= 1
    days = 7 * (look.weeks - first)
    figures = f"{weekly[first:].sum():.0f} where {usual * (look.weeks - first):.0f} were expected, ever fewer"
    reason = f"{look.profile.table} rows{cell.called} of the last {days} days are still arriving: {figures}"
    return _found(look, "publication-lag", cell, look.week(first), reason)


def _usual_level(weekly: Floats) -> float | None:
    """Rows a week to be expected now: the level of two months ago, or less if the year before had fewer just now."""
    before = weekly[_begun(weekly) :]
    if len(before) < _NEAR + 10:
        return None
    usual = float(before[-_NEAR - 8 : -8].mean())
    if len(before) >= 52 + _NEAR + 8:
        then = float(before[-52 - _NEAR - 8 : -52 - 8].mean())
        usual *= min(1.0, float(before[-53]) / then) if then > 0 else 1.0
    return usual if usual > 0 else None


def _tapers(look: _Look, cell: _Cell, weekly: Floats, usual: float, noise: float) -> bool:
    """Whether the last days have fewer rows than the days just before them: a fall to a lower level has not."""
    if weekly[-2] < 0.85 * usual:
        fewer = float(weekly[-1]) <= _TAPERS * float(weekly[-2])
        return fewer and _few(float(weekly[-1]), float(weekly[-2]), 0.5, noise) < 0.01
    pattern = cell.daily[look.end - 7 * (_NEAR + 8) : look.end - 56].reshape(_NEAR, 7).sum(axis=0)
    late, share = float(cell.daily[look.end - 3 : look.end].sum()), float(pattern[4:].sum() / max(pattern.sum(), 1))
    rest = float(weekly[-1]) - late
    return late < 0.7 * share * float(weekly[-1]) and _few(late, rest, share, noise) < 0.01


# Who is asked, and who answers.

_MOVED: Final = 0.15
_ASKED: Final = {"person.role": "role", "account.tier": "tier", "instrument_version": "instrument version"}


def _sampling_changes(look: _Look) -> Iterator[Artefact]:
    """At most one a vertical: the clearest of its columns."""
    found: dict[str, tuple[float, Artefact]] = {}
    groups = [g for g in _groups(look.profile) if np.count_nonzero(g.daily[: look.end].any(axis=0)) > 1]
    alpha = ALPHA / max(1, len(groups))
    for group in groups:
        shift = _mix_shift(look, group)
        if shift and shift[0] < alpha and shift[0] < found.get(group.vertical, (2.0,))[0]:
            found[group.vertical] = shift
    yield from (artefact for _, artefact in found.values())


@dataclass(frozen=True, slots=True)
class _Group:
    """Daily counts of the people of one vertical and survey kind by one attribute: shape (days, names)."""

    vertical: str
    kind: str
    column: str
    done: str
    names: tuple[str, ...]
    daily: Floats


@lru_cache(maxsize=16)
def _groups(profile: Profile) -> tuple[_Group, ...]:
    return tuple(_grouped(profile))


def _grouped(profile: Profile) -> Iterator[_Group]:
    for done, people in profile.people.items():
        for column in _ASKED:
            cells = _cells_by(people, ("vertical", "kind", column))
            for vertical, kind in sorted({key[:2] for key in cells}):
                names = tuple(key[2] for key in cells if key[:2] == (vertical, kind))
                if len(names) > 1:
                    daily = np.stack([cells[vertical, kind, name] for name in names], axis=1)
                    yield _Group(vertical, kind, column, done, names, daily)


def _mix_shift(look: _Look, group: _Group) -> tuple[float, Artefact] | None:
    """The tail of the largest change of mix, and its name, where it is large enough to matter."""
    weekly = look.weekly(group.daily)
    splits = np.arange(max(look.concerned, _begun(weekly.sum(axis=1)) + 4), look.weeks - 1)
    if not len(splits):
        return None
    before, after = _sides(weekly, splits)
    chi2 = _chi_square(before, after)
    best = int(np.argmax(chi2))
    past, now = before[best], after[best]
    moved = np.abs(now / max(now.sum(), 1) - past / max(past.sum(), 1))
    if moved.sum() / 2 < _MOVED or past.sum() < 50 or now.sum() < 20:
        return None
    noise = _pearson(weekly[max(0, splits[best] - _BEFORE) : splits[best]])
    p = float(special.chdtrc(max(1, int((past + now > 0).sum()) - 1), chi2[best] / noise))
    return p, _shift(look, group, int(splits[best]), (past, now))


def _sides(weekly: Floats, splits: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The sums of up to 26 weeks before and up to 13 weeks after each split."""
    sums = np.concatenate((np.zeros((1, *weekly.shape[1:])), weekly.cumsum(axis=0)))
    before = sums[splits] - sums[np.maximum(splits - _BEFORE, 0)]
    return before, sums[np.minimum(splits + _AFTER, len(weekly))] - sums[splits]


def _chi_square(before: Floats, after: Floats) -> Floats:
    both = before + after
    n, m = before.sum(axis=1, keepdims=True), after.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (before * m - after * n) ** 2 / (both * n * m)
    return np.asarray(np.nan_to_num(terms).sum(axis=1), dtype=np.float64)


def _pearson(weekly: Floats) -> float:
    """How much more the mix varies from week to week than it would by chance; at least 1."""
    n, shares = weekly.sum(axis=1, keepdims=True), weekly.sum(axis=0) / max(weekly.sum(), 1)
    expected = n * shares
    used = expected > 0
    degrees = (int((n > 0).sum()) - 1) * (int((shares > 0).sum()) - 1)
    return max(1.0, float(((weekly - expected)[used] ** 2 / expected[used]).sum()) / degrees) if degrees > 0 else 1.0


def _shift(look: _Look, group: _Group, split: int, sides: tuple[Floats, Floats]) -> Artefact:
    past, now = sides
    shares = (now / now.sum() - past / past.sum()).tolist()
    at = max(range(len(shares)), key=lambda i: abs(shares[i]))
    was, is_ = past[at] / past.sum(), now[at] / now.sum()
    who = f"{group.names[at]} ({_ASKED[group.column]})"
    figures = f"{was:.0%} of {past.sum():.0f} before, {is_:.0%} of {now.sum():.0f} since"
    since = look.week(split)
    reason = f"who is {group.done} in {group.vertical} shifts about {look.day(since)}: {who} {figures}"
    cell = _Cell((("vertical", group.vertical),), past, past)
    return _found(look, "sampling-change", cell, since, reason.replace("is answered", "answers"))


# A span whose days equal those of an earlier one.

_LEAST_COPIED: Final = 7


def _copied_periods(look: _Look) -> Iterator[Artefact]:
    parts = look.profile.slices[0]
    everywhere = _Cell((), _total(look.profile), _total(look.profile))
    verticals = np.array([cell[0] for cell in parts.cells], dtype=object)
    names = sorted(set(verticals[parts.counts[: look.end].any(axis=0)].tolist()))
    found = _copied(look, everywhere, parts.counts, len(names) + 1)
    if found or len(names) < 2:
        yield from [found] if found else []
        return
    for name in names:
        own = parts.counts[:, verticals == name]
        one = _copied(look, _Cell((("vertical", name),), own, own), own, len(names) + 1)
        if one:
            yield one


def _copied(look: _Look, cell: _Cell, counts: Floats, looks: int) -> Artefact | None:
    """The strongest run of days each of which equals, cell for cell, the day so many days before it."""
    days = counts[: look.end]
    same = _fingerprints(days)
    doubt, targets = _doubt(days, same), np.arange(look.concern, look.end)
    enough = -log(ALPHA / (looks * len(targets) * look.end))
    apart = _repeating(same, doubt, targets, enough)
    runs = [(*_heaviest(same, doubt, targets[targets >= lag], lag), lag) for lag in apart]
    weight, first, last, lag = max(runs, default=(0.0, 0, 0, 0))
    if weight < enough or last - first < _LEAST_COPIED:
        return None
    return _copy(look, cell, (first, last), first - lag)


def _repeating(same: NDArray[np.uint64], doubt: Floats, targets: NDArray[np.int64], enough: float) -> list[int]:
    """How many days apart days are equal so often that a run of them may tell."""
    tells = targets[doubt[targets] > 0]
    day, source = np.nonzero(same[tells][:, None] == same[None, :])
    apart = tells[day] - source
    late = apart >= _LEAST_COPIED
    return np.flatnonzero(np.bincount(apart[late], doubt[tells[day[late]]]) >= enough).tolist()


def _heaviest(same: NDArray[np.uint64], doubt: Floats, targets: NDArray[np.int64], lag: int) -> tuple[float, int, int]:
    """The run of equal days with the most doubt: its sum, its first place and the place after its last."""
    sums = np.concatenate(([0.0], doubt[targets].cumsum()))
    runs = [(float(sums[b] - sums[a]), a, b) for a, b in _runs(same[targets] == same[targets - lag], 0)]
    weight, first, last = max(runs, default=(0.0, 0, 0))
    return weight, int(targets[0]) + first, int(targets[0]) + last


def _fingerprints(days: Floats) -> NDArray[np.uint64]:
    """One number for each day: equal days have equal ones, and different days nearly always not."""
    factors = np.random.default_rng(1).integers(1, 2**63, days.shape[1], dtype=np.uint64)
    found: NDArray[np.uint64] = (days.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    return found


def _doubt(days: Floats, same: NDArray[np.uint64]) -> Floats:
    """For each day how surprising an equal day would be (minus the log of its chance); 0 for an empty day.

    The chance is that of two Poisson counts to be equal in every cell, and no less than how often days of the same
    weekday are equal anyway.
    """
    chance, rows = np.zeros(len(days)), days.sum(axis=1)
    for weekday in range(7):
        own = slice(weekday, None, 7)
        alone = float(np.log(special.ive(0, 2 * days[own].mean(axis=0))).sum())
        _, times = np.unique(same[own][rows[own] > 0], return_counts=True)
        pairs, equal = float(times.sum() * (times.sum() - 1)), float((times * (times - 1)).sum())
        chance[own] = -max(alone, log((equal + 2) / (pairs + 2)))
    return np.where(rows > 0, chance, 0.0)


def _copy(look: _Look, cell: _Cell, span: tuple[int, int], source: int) -> Artefact:
    rows = cell.daily[span[0] : span[1]].sum()
    figures = f"{span[1] - span[0]} days in a row with the same counts, {rows:.0f} rows"
    what = f"{look.profile.table} rows{cell.called} from {look.day(span[0])} repeat those from {look.day(source)}"
    return _found(look, "copied-period", cell, span[0], f"{what}: {figures}", span[1])


# Rows that came twice.

_DOUBLED: Final = 0.1
_LEAST_DOUBLED: Final = 10


def _duplicated_rows(look: _Look) -> Iterator[Artefact]:
    rows = _cells_by(look.profile.slices[0], ("vertical",))
    known = sum(bool(of[: look.end].any()) for of in rows.values())
    surplus = {cell[0]: look.profile.surplus.counts[:, i] for i, cell in enumerate(look.profile.surplus.cells)}
    total = _Cell((), np.sum([*surplus.values(), np.zeros(look.profile.days)], axis=0), _total(look.profile))
    found = _doubled(look, total, known + 1)
    if found:
        yield found
        return
    for name, more in surplus.items():
        one = _doubled(look, _Cell((("vertical", name),), more, rows[(name,)]), known + 1)
        if one:
            yield one


def _doubled(look: _Look, cell: _Cell, looks: int) -> Artefact | None:
    """Days on which far more rows came twice than on other days."""
    seen, rows = cell.daily[: look.end], cell.whole[: look.end] / look.profile.sampled
    share = seen / np.maximum(rows, 1)
    usual = max(float(np.median(share[rows > 0])) if (rows > 0).any() else 0.0, 0.001)
    expected = usual * rows
    tails = special.gammainc(np.maximum(seen, 1e-9), np.maximum(expected, 1e-9))
    odd = (seen >= _LEAST_DOUBLED) & (share >= _DOUBLED + usual) & (tails < ALPHA / (looks * look.end))
    days = np.flatnonzero(odd[look.concern :]) + look.concern
    if not len(days):
        return None
    first, last = int(days[0]), int(days[-1])
    sample = f", of one in {look.profile.sampled} looked at" if look.profile.sampled > 1 else ""
    figures = f"{seen[days].sum():.0f} of {rows[days].sum():.0f} rows on {len(days)} days{sample}"
    what = f"{look.profile.table} rows{cell.called} came twice between {look.day(first)} and {look.day(last)}"
    return _found(look, "duplicated-rows", cell, first, f"{what}, equal in all but the id: {figures}", last + 1)


# Day and month swapped.

_TWELVE: Final = 12
_LOST: Final = 0.3


def _swapped_dates(look: _Look) -> Iterator[Artefact]:
    for cell in _large(look.profile):
        expected = _expected_days(cell.daily[: look.end])
        found = [one for month in _months(look) if (one := _swapped(look, cell, month, expected))]
        yield from found
        if found and not cell.names:
            return


def _months(look: _Look) -> list[date]:
    """The months whose first twelve days are all in the look and concern it."""
    first = look.day(look.concern).replace(day=1)
    months = [date(first.year + i // 12, i % 12 + 1, 1) for i in range(first.month - 1, first.month + 24)]
    return [month for month in months if month >= look.profile.first and month.replace(day=13) <= look.until]


def _expected_days(daily: Floats) -> Floats:
    """For each day the mean of the same weekday up to five weeks before and after it, without the extremes."""
    size, reach = len(daily), 35
    wide = np.concatenate((np.full(reach, np.nan), daily, np.full(reach, np.nan)))
    near = np.stack([wide[reach + 7 * k : reach + 7 * k + size] for k in range(-5, 6) if k])
    known = np.isfinite(near).sum(axis=0)
    filled = np.nan_to_num(near)
    low, high = np.where(np.isfinite(near), near, np.inf).min(axis=0), filled.max(axis=0)
    middle = (filled.sum(axis=0) - np.where(np.isfinite(low), low, 0) - high) / np.maximum(known - 2, 1)
    return np.where(known > 2, middle, np.nan)


def _swapped(look: _Look, cell: _Cell, month: date, expected: Floats) -> Artefact | None:
    """Rows lost from the days 1 to 12 of a month that turn up on the day of that number in other months."""
    numbers = [number for number in range(1, _TWELVE + 1) if number != month.month]
    home = [_place(look, month) + number - 1 for number in numbers]
    lost = expected[home].sum() - cell.daily[home].sum()
    if not lost >= _LOST * expected[home].sum():
        return None
    away = [_place(look, date(month.year, number, month.month)) for number in numbers]
    pairs = [(h, a) for h, a in zip(home, away, strict=True) if 0 <= a < look.end]
    at, to = np.array(home), np.array([a for _, a in pairs], dtype=np.intp)
    if not len(to) or not np.isfinite(expected[at]).all() or not np.isfinite(expected[to]).all():
        return None
    gained = cell.daily[to].sum() - expected[to].sum()
    due = lost * expected[[h for h, _ in pairs]].sum() / max(expected[at].sum(), 1)
    if not 0.5 * due <= gained <= 2 * due:
        return None
    noise = _dispersion(look.weekly(cell.daily))
    alpha = ALPHA / 24
    is_low = _at_most(float(cell.daily[at].sum()), float(expected[at].sum()), noise) < alpha
    if not is_low or _at_least(float(cell.daily[to].sum()), float(expected[to].sum()), noise) >= alpha:
        return None
    figures = f"{lost:.0f} rows missing there, {gained:.0f} too many on day {month.month} of other months"
    what = f"{look.profile.table} rows{cell.called} of 1 to 12 {month:%B %Y} seem to have day and month swapped"
    return _found(look, "swapped-dates", cell, min(home), f"{what}: {figures}", max(home) + 1)


def _place(look: _Look, day: date) -> int:
    return (day - look.profile.first).days


# Cases that are not decided yet.

_YOUNG: Final = 28
_DECIDED: Final = 0.5


def _right_censoring(look: _Look) -> Iterator[Artefact]:
    """Young journeys of which far fewer are decided than used to be at their age."""
    if look.profile.ages is None:
        return
    names = [cell[0] for cell in look.profile.ages.cells]
    every = _undecided(
        look, _Cell((), _total(look.profile), _total(look.profile)), look.profile.ages.counts.sum(axis=1)
    )
    if every:
        yield every
        return
    for i, name in enumerate(names if len(names) > 1 else []):
        counts = look.profile.ages.counts[:, i]
        daily = counts.sum(axis=1)
        one = _undecided(look, _Cell((("vertical", name),), daily, daily), counts)
        if one:
            yield one


def _undecided(look: _Look, cell: _Cell, ages: Floats) -> Artefact | None:
    """Compares the ends that journeys of the last 28 days have with those that older ones had at the same age."""
    until = look.end - AGES - _YOUNG
    older = ages[max(0, until - 364) : max(0, until)].sum(axis=0)
    if older.sum() < 100:
        return None
    decided = (older.cumsum() / older.sum())[:AGES]
    young = np.arange(look.end - _YOUNG, look.end)
    seen = sum(float(ages[day, : look.end - day].sum()) for day in young)
    expected = float((ages[young].sum(axis=1) * decided[look.end - 1 - young]).sum())
    noise = _dispersion(look.weekly(cell.daily))
    if seen > _DECIDED * expected or _at_most(seen, expected, noise) >= ALPHA / 20:
        return None
    figures = f"{seen:.0f} of {ages[young].sum():.0f} have ended where {expected:.0f} would have by their age"
    reason = f"journeys{cell.called} begun since {look.day(int(young[0]))} are not decided yet: {figures}"
    return _found(look, "right-censoring", cell, int(young[0]), reason)


# A promise that was padded.

_PADDED: Final = 1.10
_SLOWER: Final = 1.05


def _padded_promises(look: _Look) -> Iterator[Artefact]:
    promises, transits = look.profile.promises, look.profile.transits
    if promises is None or transits is None:
        return
    ended = {cell: i for i, cell in enumerate(transits.cells)}
    for i, cell in enumerate(promises.cells):
        if cell in ended:
            one = _padded(look, cell, promises.counts[:, i], transits.counts[:, ended[cell]])
            yield from [one] if one else []


def _padded(look: _Look, cell: tuple[str, ...], promised: Floats, took: Floats) -> Artefact | None:
    """Promised days that grew at a stroke while journeys took longer and fewer were late."""
    weekly, done = look.weekly(promised), look.weekly(took)
    splits = np.arange(max(look.concerned, _begun(weekly[:, 0]) + 4), look.weeks - 2)
    if not len(splits):
        return None
    before, after = _sides(weekly, splits)
    best = int(np.argmax(_welch(before, after)))
    split = splits[best : best + 1]
    past, now = (side[0] for side in _sides(done, split))
    if min(before[best][0], after[best][0], past[0], now[0]) < 20:
        return None
    grew, slowed = _mean(after[best]) / _mean(before[best]), _mean(now) / _mean(past)
    is_padded = grew >= _PADDED and _welch(before[best], after[best]) > 6
    is_slower = slowed >= _SLOWER and _welch(past, now) > 2
    if not (is_padded and is_slower and now[3] / now[0] < past[3] / past[0]):
        return None
    names = (("vertical", cell[0]), ("journey_type", cell[1]))
    figures = (
        f"promised {_mean(before[best]):.1f} days before and {_mean(after[best]):.1f} since, "
        f"took {_mean(past):.1f} and {_mean(now):.1f}, late {past[3] / past[0]:.0%} and {now[3] / now[0]:.0%}"
    )
    since = look.week(int(split[0]))
    reason = f"promises for {cell[1]} in {cell[0]} are padded from about {look.day(since)}: {figures}"
    return _found(look, "padded-promise", _Cell(names, promised, promised), since, reason)


def _mean(moments: Floats) -> float:
    return float(moments[1] / max(moments[0], 1))


def _welch(before: Floats, after: Floats) -> Floats:
    """How many standard errors a mean grew; the last axis holds n, sum and sum of squares. 0 under two cases."""
    errors, means = np.zeros(before.shape[:-1]), []
    for moments in (before, after):
        n = np.maximum(moments[..., 0], 1)
        mean = moments[..., 1] / n
        errors += np.maximum(moments[..., 2] / n - mean**2, 1e-4 * mean**2) / n
        means.append(mean)
    known = (np.minimum(before[..., 0], after[..., 0]) >= 2) & (errors > 0)
    return np.where(known, (means[1] - means[0]) / np.sqrt(np.where(known, errors, 1.0)), 0.0)


_DETECTORS: Final[tuple[_Detector, ...]] = (
    _publication_lags,
    _right_censoring,
    _collection_changes,
    _sampling_changes,
    _copied_periods,
    _duplicated_rows,
    _swapped_dates,
    _padded_promises,
)
