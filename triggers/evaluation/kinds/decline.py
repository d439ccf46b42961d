"""Rules on the decline of single accounts: `triggers.evaluation.decline_rules` makes their panels. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from config.models import DeclineRule, Metric
from queries.metrics import count, money_figure
from triggers.evaluation.kinds.kind import Ends, Held, RuleKind, Sample, Setting, spread, with_changes
from triggers.evaluation.kinds.window import Windows


@dataclass(frozen=True)
class Decline(RuleKind[DeclineRule]):
    """Fires when an account's revenue or share of wallet falls against its own past."""

    model: ClassVar = DeclineRule
    keys: ClassVar = ("fall", "recover")

    def finding(self, metric: Metric | None, sample: Sample) -> str:  # noqa: ARG002 - revenue is no metric
        """Share of wallet and revenue before the fall and in the newest month, and the year before it."""
        if "months" not in sample:
            return f"{sample.get('value') or 0.0:.0%} below its own last twelve months."
        before, newest = (date.fromisoformat(day) for day in sample["months"])
        # A month of another year is named with it.
        names = (f"{before:%B}" if before.year == newest.year else f"{before:%B %Y}", f"{newest:%B}")
        then, now = _amounts(sample)
        parts = [f"{now} in {names[1]} against {then} in {names[0]}"]
        if None not in sample["shares"]:
            shares = (f"{share:.0%} ({name})" for share, name in zip(sample["shares"], names, strict=True))
            parts.insert(0, "share " + " \N{RIGHTWARDS ARROW} ".join(shares))
        if sample["year"] is not None:
            parts.append(f"{money_figure(sample['year'], sample['currency'] or '').strip()} in the year to {names[0]}")
        said = ", ".join(parts)
        return f"{said[0].upper()}{said[1:]}."

    def sentence(
        self,
        place: str,
        metric: Metric | None,  # noqa: ARG002
        sample: Sample,
        *,
        has_recovered: bool = False,  # noqa: ARG002 - what it buys says it
    ) -> str:
        """What the account buys in a month, against the best one of its past and its year, and its share of wallet."""
        if "months" not in sample:
            return ""
        before, newest = (date.fromisoformat(day) for day in sample["months"])
        then, now = _amounts(sample)
        said = f"{place} bought for {now} in {newest:%B %Y}, against {then} in {before:%B %Y}"
        if sample["year"] is not None:
            year = money_figure(sample["year"], sample["currency"] or "").strip()
            said += f" and {year} in the year to {before:%B}"
        if None in sample["shares"]:
            return said
        shares = (f"{share:.0%}" for share in sample["shares"])
        return f"{said}; our share of its wallet went from {' to '.join(shares)}"

    def brief(self, sample: Sample) -> tuple[str, str]:
        """The share of wallet in the newest month and before the fall, or what was bought."""
        if "months" not in sample:
            return "", ""
        before, newest = (f"{date.fromisoformat(day):%B %Y}" for day in sample["months"])
        if None in sample["shares"]:
            then, now = _amounts(sample)
        else:
            then, now = (f"{share:.0%} of its wallet" for share in sample["shares"])
        return f"{now} in {newest}", f"{then} in {before}"

    def held(self, sample: Sample) -> Held | None:  # noqa: ARG002
        """Nothing that a chart of a metric could show."""
        return None

    def window(self, sample: Sample) -> str | None:  # noqa: ARG002
        """Its words name the months."""
        return None

    def how_sure(self, sample: Sample) -> str | None:
        """Of the reading that was a breach: what came later has the fall in its own past."""
        return super().how_sure(sample) if sample.get("p", 1.0) < sample.get("alpha", 0.0) else None

    def setting(self, metric: Metric | None) -> Setting:  # noqa: ARG002
        """How deep a fall must be."""
        return Setting("fall", self.rule.fall, 1)

    def with_value(self, value: float) -> DeclineRule:
        """With another fall; `recover` is never above it."""
        return with_changes(self.rule, fall=value, recover=min(self.rule.recover, value))

    def ends(self, metric: Metric | None, panel: Windows) -> Ends:  # noqa: ARG002
        """From hardly any fall to what hardly any account falls by."""
        return 0.01, spread(panel.value[panel.enough], 0.5, 0.998)[1]

    def is_allowed(self, metric: Metric | None, value: float) -> bool:  # noqa: ARG002
        """A part of the account's own level."""
        return 0 < value < 1

    @property
    def uncalibrated(self) -> str:
        """What the replay of other rules finds once, this one finds with each reading."""
        return "every fall is replayed when it is judged: its months are drawn again from the accounts' own past"


def _amounts(sample: Sample) -> Iterator[str]:
    """What was bought before the fall and in the newest month, to three digits, as a person would say it."""
    for value in sample["amounts"]:
        digits = 3 - len(str(abs(round(value))))
        yield f"{count(int(round(value, digits)))} {sample['currency'] or ''}".strip()
