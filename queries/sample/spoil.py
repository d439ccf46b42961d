"""Data that deceives, planted into the files of the sample company. The files without are the clean twin.

Each kind spoils one table so that figures move although nothing happened to any customer. Keys stay unique and every
reference stays whole, so that a load accepts what it cannot know to be wrong.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from queries.sample.columns import instants
from queries.sample.draws import DAY, Bools, Ints, Timeline, hashed
from queries.sample.names import RETAIL, VERTICALS

_LAG_WEEKS: Final = 8
_UNDECIDED_DAYS: Final = 42
_COPIED_DAYS: Final = 28
_COPIED_FROM: Final = 84  # days before
_STOPPED: Final = "phone"
_FEW_USERS: Final = 0.1
_PROMISE: Final = 1.5
_TRANSIT: Final = 1.2
_PLACE: Final = RETAIL

_Spoil = Callable[[Any, Timeline], Any]


def plant(kind: str, folder: Path, end: date) -> None:
    """Spoil the files that `generate` wrote into `folder` for the same `end`, in place.

    Args:
        kind: a name in ARTEFACTS.
        folder: where the files are; the one that is spoilt takes its name when it is whole.
        end: the first day that the files do not cover.

    Raises:
        ValueError: no such kind.
    """
    table = spoilt(kind)
    spoil = _PLANTS[kind][1]
    file = folder / f"{table}.parquet"
    part = file.with_suffix(".parquet.part")
    parquet.write_table(spoil(parquet.read_table(file), Timeline(end)), part, compression="snappy", store_schema=False)
    part.replace(file)


def spoilt(kind: str) -> str:
    """The table that a kind spoils.

    Raises:
        ValueError: no such kind.
    """
    if kind not in SPOILS:
        raise ValueError(f"no fault named {kind!r}; choose one of {', '.join(SPOILS)}")
    return _PLANTS[kind][0]


def _lagging(rows: Any, span: Timeline) -> Any:
    """Of the last eight weeks the younger a contact, the likelier it has not arrived yet."""
    age = (span.stop - _micros(rows, "occurred_at")) / (_LAG_WEEKS * 7 * DAY)
    return rows.filter(pa.array(_drawn(rows) < np.minimum(age, 1) ** 1.5))


def _undecided(rows: Any, span: Timeline) -> Any:
    """Nine in ten of the ends of the last six weeks are not in yet."""
    hidden = (_micros(rows, "ended_at") >= span.stop - _UNDECIDED_DAYS * DAY) & (_drawn(rows) < 0.9)
    return _open_again(rows, hidden)


def _stopped(rows: Any, span: Timeline) -> Any:
    """The telephone's records stop with the second last full month."""
    gone = (_micros(rows, "occurred_at") >= span.month(-2)) & _is(rows, "channel", _STOPPED)
    return rows.filter(pa.array(~gone))


def _other_people(rows: Any, span: Timeline) -> Any:
    """From the third last full month on hardly any standard account of one vertical is invited."""
    late = (_micros(rows, "invited_at") >= span.month(-3)) & _is(rows, "vertical", VERTICALS[_PLACE])
    numbers = np.array([int(name[1:]) for name in rows["account_id"].to_pylist()])
    return rows.filter(pa.array(~(late & (numbers % 70 >= 15) & (_drawn(rows) >= _FEW_USERS))))


def _copied(rows: Any, span: Timeline) -> Any:
    """Four weeks of contacts are those of four weeks twelve weeks before, with other ids and dates."""
    at, stop = _micros(rows, "occurred_at"), span.month(0)
    inside = (at >= stop - _COPIED_DAYS * DAY) & (at < stop)
    source = (at >= stop - (_COPIED_DAYS + _COPIED_FROM) * DAY) & (at < stop - _COPIED_FROM * DAY)
    copy = _again(rows.filter(pa.array(source)))
    for name in ("occurred_at", "answered_at", "recorded_at"):
        copy = _set(copy, name, _moved(copy, name, np.full(len(copy), _COPIED_FROM * DAY)))
    return pa.concat_tables([rows.filter(pa.array(~inside)), copy])


def _doubled(rows: Any, span: Timeline) -> Any:
    """A week of contacts came twice."""
    at, stop = _micros(rows, "occurred_at"), span.month(0)
    twice = (at >= stop - 14 * DAY) & (at < stop - 7 * DAY)
    return pa.concat_tables([rows, _again(rows.filter(pa.array(twice)))])


def _swapped(rows: Any, span: Timeline) -> Any:
    """The contacts of the second last full month up to the twelfth have day and month the wrong way round."""
    at = _micros(rows, "occurred_at")
    shift = np.zeros(len(rows), dtype=np.int64)
    first = date.fromordinal(date(1970, 1, 1).toordinal() + span.month(-2) // DAY)
    for number in range(1, 13):
        day = first.replace(day=number)
        other = date(first.year, number, first.month)
        shift[at // DAY == (day - date(1970, 1, 1)).days] = (other - day) // timedelta(days=1) * DAY
    # A date in the future is noticed at once, and by nobody who needs Earshot for it.
    shift[at + shift >= span.stop] = 0
    for name in ("occurred_at", "answered_at", "recorded_at"):
        rows = _set(rows, name, _moved(rows, name, shift))
    return rows


def _padded(rows: Any, span: Timeline) -> Any:
    """From the third last full month on one vertical promises half as many days more, and takes a fifth longer."""
    start, late = _micros(rows, "started_at"), _is(rows, "vertical", VERTICALS[_PLACE])
    late &= start >= span.month(-4)
    for name, factor in (("promised_at", _PROMISE), ("ended_at", _TRANSIT)):
        longer = ((_micros(rows, name) - start) * (factor - 1)).astype(np.int64) // 1_000_000 * 1_000_000
        rows = _set(rows, name, _moved(rows, name, np.where(late, longer, 0)))
    return _open_again(rows, _micros(rows, "ended_at") >= span.stop)


def _again(rows: Any) -> Any:
    """The same rows under other ids."""
    return _set(rows, "id", pc.binary_join_element_wise("2", rows["id"].cast(pa.string()), ""))


def _open_again(rows: Any, hidden: Bools) -> Any:
    """Journeys whose end is not known any more."""
    known = ~hidden & pc.is_valid(rows["ended_at"]).to_numpy()
    ended = pc.if_else(pa.array(known), rows["ended_at"].combine_chunks(), pa.scalar(None, rows["ended_at"].type))
    outcome = pc.if_else(pa.array(known), rows["outcome"].cast(pa.string()).combine_chunks(), pa.scalar("open"))
    return _set(_set(rows, "ended_at", ended), "outcome", outcome)


def _micros(rows: Any, name: str) -> Ints:
    """Microseconds since 1970; long before that where there is none."""
    found: Ints = rows[name].cast(pa.timestamp("us")).cast(pa.int64()).fill_null(-(2**62)).to_numpy().astype(np.int64)
    return found


def _moved(rows: Any, name: str, by: Ints) -> Any:
    absent = pc.is_null(rows[name]).to_numpy()
    return instants(np.where(absent, 0, _micros(rows, name) + by), absent)


def _is(rows: Any, name: str, value: str) -> Bools:
    found: Bools = pc.equal(rows[name].cast(pa.string()), value).fill_null(False).to_numpy()
    return found


def _drawn(rows: Any) -> Any:
    """A draw in [0, 1) that belongs to each row."""
    return hashed(np.arange(len(rows)), 0, 77)


def _set(rows: Any, name: str, values: Any) -> Any:
    return rows.set_column(rows.column_names.index(name), name, values)


_PLANTS: Final[Mapping[str, tuple[str, _Spoil]]] = {
    "publication-lag": ("contact", _lagging),
    "right-censoring": ("journey", _undecided),
    "collection-change": ("contact", _stopped),
    "sampling-change": ("response", _other_people),
    "copied-period": ("contact", _copied),
    "duplicated-rows": ("contact", _doubled),
    "swapped-dates": ("contact", _swapped),
    "padded-promise": ("journey", _padded),
}

SPOILS: Final = tuple(_PLANTS)
"""The kinds that can be planted."""
