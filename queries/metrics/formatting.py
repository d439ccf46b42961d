"""How a figure is written: in the metric's own unit, and no finer than its interval supports."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from math import ceil, isfinite, log10
from typing import Any, Final

from config.models import Metric
from queries.engine import aware, day_of
from queries.metrics.measure import MetricPoint

MINUS: Final = "\N{MINUS SIGN}"
NO_FIGURE: Final = "–"
MOST_DECIMALS: Final = 2
_SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
_FORMULA: Final = re.compile(rf"^(?=[\t\r])|(^|[;|\t\r\n])(?=[^\S\t\r\n]*[{_SIGNS}])")
"""Where a spreadsheet would take a formula to begin: in a text, and in each piece of it. Where commas are for decimals
it splits at other signs than commas; and East Asian keyboards write wide signs, which it reads like the others.
"""
SEVERITY_WORDS: Final = {1: "critical", 2: "serious", 3: "notable", 4: "minor"}
_NUMBERS: Final = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_ORDINALS: Final = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def is_share(metric: Metric) -> bool:
    """Whether the metric is a part of a whole (0..1), which is read in percent."""
    return metric.shape == "share" and metric.factor == 1


def shown(metric: Metric, value: float) -> float:
    """A value as it stands on a scale: shares in percent, everything else as it is."""
    return value * 100 if is_share(metric) else value


def unit(metric: Metric) -> str:
    """What a scale of the metric counts, for an axis."""
    return "%" if is_share(metric) else metric.unit


def decimals(half_width: float | None) -> int:
    """Decimals that an interval of this half-width (in the unit shown) supports."""
    if half_width is None or half_width <= 0:
        return 1
    return max(0, min(MOST_DECIMALS, ceil(-log10(half_width))))


def figure(metric: Metric, value: float | None, half_width: float | None = None) -> str:
    """A value with its unit, such as `93%` or `4.2 days`. `half_width` is in the metric's unit."""
    if value is None:
        return NO_FIGURE
    places = decimals(None if half_width is None else shown(metric, half_width))
    return _with_unit(metric, _plain(shown(metric, value), places))


def goal_figure(metric: Metric, value: float) -> str:
    """A goal as its owner wrote it: `95%`, `2.5 days`."""
    return _with_unit(metric, _plain(shown(metric, value), None))


def point_figure(metric: Metric, point: MetricPoint) -> str:
    """The value of a point, rounded to what its interval supports."""
    return figure(metric, point.value, half_width(point.low, point.high))


def interval(metric: Metric, low: float | None, high: float | None) -> str:
    """A 95% interval such as `88 to 96%`, empty where there is none."""
    half = half_width(low, high)
    if low is None or high is None or half is None:
        return ""
    places = decimals(shown(metric, half))
    return _with_unit(metric, f"{_plain(shown(metric, low), places)} to {_plain(shown(metric, high), places)}")


def private_words(people: int) -> str:
    """Why a figure is private, in a sentence without its full stop. `people`: how many would have been enough."""
    return f"a figure is private where it, or one that it would give away, comes from fewer than {people} people"


def signed_change(metric: Metric, value: float | None, half_width: float | None = None) -> str:
    """A change with its sign: points for shares and balances, the unit otherwise."""
    if value is None:
        return NO_FIGURE
    places = decimals(None if half_width is None else shown(metric, half_width))
    text = _plain(shown(metric, value), places)
    signed = text if text.startswith(MINUS) or not float(text.replace(",", "")) else f"+{text}"
    unit_ = "point" if _points(metric) == "points" and text.lstrip(MINUS) == "1" else _points(metric)
    return f"{signed} {unit_}".strip()


def difference_words(metric: Metric, sample: Mapping[str, Any]) -> str:
    """How far a figure lies from the one it is compared with: `−27 points (95% CI −35 to −20)`; empty without one."""
    against, value, held = sample.get("against"), sample.get("value"), sample.get("held")
    if against is None or value is None or held is None:
        return ""
    low, high = against.get("low"), against.get("high")
    half, ends = half_width(low, high), ""
    if half is not None:
        places = decimals(shown(metric, half))
        ends = f" (95% CI {_plain(shown(metric, low), places)} to {_plain(shown(metric, high), places)})"
    return f"{signed_change(metric, value - held, half)}{ends}"


def half_width(low: float | None, high: float | None) -> float | None:
    """Half the width of an interval, None where it has no two ends."""
    return None if low is None or high is None else (high - low) / 2


_SIZES: Final = ((1e9, " bn"), (1e6, " M"), (1e3, " k"))


def amount(value: float, currency: str) -> str:
    """Money without cents: `1.24 M EUR`, `385 k EUR`, `940 EUR`."""
    for size, letter in _SIZES:
        if abs(value) >= size:
            return f"{_plain(value / size, 2 if size > 1e3 else 0)}{letter} {currency}"
    return f"{_plain(value, 0)} {currency}"


def money_range(value: float, low: float, high: float, currency: str) -> str:
    """Money with its 95% interval, rounded to what that supports: `12.0 M EUR (11.4 to 12.6)`."""
    size, letter = next(((size, letter) for size, letter in _SIZES if abs(value) >= size), (1.0, ""))
    places = decimals((high - low) / 2 / size) if size > 1 else 0
    said, least, most = (_plain(part / size, places) for part in (value, low, high))
    return f"{said}{letter} {currency} ({least} to {most})"


def count(number: int) -> str:
    """A number of cases with thin thousands: `12,480`."""
    return f"{number:,}"


def day_words(day: date, zone: tzinfo | None = None) -> str:
    """A day as it is read: `3 October 2026`. An instant has one in a zone only."""
    if isinstance(day, datetime):
        if zone is None:
            raise TypeError("an instant lies on different days in different zones; say whose day is meant")
        day = day_of(day, zone)
    return f"{day.day} {day:%B %Y}"


def span_words(first: date, last: date, word: str = "to") -> str:
    """Two days as they are read: `3 to 9 October 2026`, `28 July and 17 August 2026`. What both share is said once."""
    shared = "%B %Y" if (first.year, first.month) == (last.year, last.month) else "%Y"
    said = day_words(first).removesuffix(f" {last:{shared}}")
    return f"{said} {word} {day_words(last)}"


def moment_words(at: date, zone: tzinfo) -> str:
    """An instant as it is read: `3 October 2026, 07:30 CEST`, one without a zone as UTC; of a day the day alone."""
    if not isinstance(at, datetime):
        return day_words(at)
    local = (at if at.tzinfo else aware(at)).astimezone(zone)
    return f"{day_words(local, zone)}, {local:%H:%M %Z}"


def length_words(length: timedelta) -> str:
    """A length of time as people say it: `90 minutes`, `9 hours`, `14 days`."""
    minutes = round(length.total_seconds() / 60)
    hours = round(minutes / 60)
    number, unit = (hours, "hour") if hours < 48 else (round(hours / 24), "day")
    if minutes < 120 and minutes % 60:
        number, unit = minutes, "minute"
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def csv_cell(value: object) -> str:
    """One CSV cell: empty for None and what is not finite, ten significant digits, text never a formula.

    Where a formula would start, text gets a single quote; numbers, negative ones too, stay as they are.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.10g}" if isfinite(value) else ""
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return _FORMULA.sub(r"\1'", str(value))


def money_change(now: float, then: float | None) -> str:
    """A relative change of revenue, such as `+3.2%`."""
    if not then:
        return "–"
    percent = round((now - then) / abs(then) * 100, 1)
    return f"{percent:+.1f}%".replace("-", "\N{MINUS SIGN}") if percent else "0.0%"


def change_words(value: float, low: float, high: float) -> str:
    """A relative change with its 95% interval, such as `−18% (−29% to −5%)`."""
    said, least, most = (
        f"{round(100 * part):+,d}%".replace("-", MINUS).replace("+0%", "0%") for part in (value, low, high)
    )
    return f"{said} ({least} to {most})"


def money_figure(value: float | None, currency: str) -> str:
    """Revenue as it is shown."""
    return "–" if value is None else amount(value, currency)


def number_word(value: int) -> str:
    """A small number as a word, a larger one in digits."""
    return _NUMBERS[value] if value < len(_NUMBERS) else count(value)


def largest_word(place: int) -> str:
    """A place among the largest, as people say it: `largest`, `second-largest`, `21st-largest`."""
    if place == 1:
        return "largest"
    ending = "th" if place % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{_ORDINALS[place - 2] if place - 2 < len(_ORDINALS) else f'{count(place)}{ending}'}-largest"


def listed(names: Sequence[str]) -> str:
    """At least one name, as a sentence lists them: `Energy, Retail and Industry`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _points(metric: Metric) -> str:
    return "points" if is_share(metric) or metric.shape == "balance" else metric.unit


def _with_unit(metric: Metric, text: str) -> str:
    if is_share(metric):
        return f"{text}%"
    return text if metric.shape == "balance" else f"{text} {metric.unit}".strip()


def _plain(value: float, places: int | None) -> str:
    text = f"{round(value, 6):,g}" if places is None else f"{value:,.{places}f}"
    return text.replace("-", "" if not float(text.replace(",", "")) else MINUS)
