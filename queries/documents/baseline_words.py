"""What became of each vertical since the baseline, in words. Pure."""

from datetime import date, timedelta
from typing import Final

from queries.documents.paper import Tone
from queries.metrics import AgainstBaseline, VerticalChange, change_words, count, figure, listed, number_word

HEAD: Final = ("Vertical", "Then", "Now", "Journeys", "Change")
TOO_FEW: Final = "too few"
_FINE: Final = 0.005
"""Half the width of an interval that supports one decimal of a share."""


def baseline_lede(of: AgainstBaseline) -> str:
    """Which months are held against which."""
    return f"{of.metric.label}, {_months(of.since, of.until)} against {_months(of.first, of.last)}."


def _months(first: date, end: date) -> str:
    last = end - timedelta(days=1)
    return (
        f"{first:%B %Y}" if (first.year, first.month) == (last.year, last.month) else f"{first:%B %Y} to {last:%B %Y}"
    )


def baseline_row(of: AgainstBaseline, one: VerticalChange) -> tuple[str, str, str, str, str, Tone]:
    """A vertical, its figure then and now, how many cases, the change, and what that means."""
    before, now = (figure(of.metric, value, _FINE) if value is not None else "–" for value in (one.before, one.now))
    words = TOO_FEW
    tone: Tone = "quiet"
    if one.change:
        words = change_words(one.change.value, one.change.low, one.change.high)
        is_better = (one.change.value > 0) == (of.metric.good == "up")
        tone = ("good" if is_better else "bad") if one.change.is_certain else "quiet"
        words = words if one.change.is_certain else f"cannot tell: {words}"
    return one.vertical, before, now, count(one.cases), words, tone


def together_words(of: AgainstBaseline) -> str:
    """What became of all verticals pooled; empty where that is not known."""
    if not of.pooled:
        return ""
    change = of.pooled.change
    return f"{'' if change.is_certain else 'cannot tell: '}{change_words(change.value, change.low, change.high)}"


def baseline_sentence(of: AgainstBaseline) -> str:
    """Where it is less, where it is more, where that cannot be told; and whether the verticals differ."""
    certain = [one for one in of.verticals if one.change and one.change.is_certain]
    less, more = (
        [one.vertical for one in certain if one.change and (one.change.value > 0) is up] for up in (False, True)
    )
    parts = [f"{word} in {listed(names)}" for word, names in (("fewer", less), ("more", more)) if names]
    open_ = len(of.verticals) - len(certain)
    unsure = f"it cannot be told of {_number(open_, len(of.verticals))}" if open_ else ""
    said = "; ".join(filter(None, (", ".join(parts), unsure)))
    said = f"{said[:1].upper()}{said[1:]}."
    if of.pooled and of.pooled.differs:
        said += f" The verticals differ by more than chance explains (I² {of.pooled.inconsistency:.0%})."
    return said


def _number(some: int, all_: int) -> str:
    if some == all_:
        return "any vertical" if all_ > 1 else "this vertical"
    return f"{number_word(some)} {'vertical' if some == 1 else 'verticals'}"
