"""Rules on what is quiet. They hear signals, not counts: `triggers.evaluation.quiet_rules` makes their panels. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Final

from config.models import Metric, QuietRule
from queries.metrics import count, day_words
from triggers.evaluation.kinds.kind import Ends, Held, RuleKind, Sample, Setting, rows_behind, spread
from triggers.evaluation.kinds.window import Windows

_SIGNALS: Final = {"account": "contact", "instrument": "invitation", "source": "data"}
_SILENT: Final = {
    "account": "{} has not been in touch",
    "instrument": "The survey {} has invited nobody",
    "source": "The source {} has delivered nothing",
}
_HEARD: Final = {
    "account": "{} is in touch again",
    "instrument": "The survey {} is inviting people again",
    "source": "The source {} is delivering again",
}


@dataclass(frozen=True)
class Quiet(RuleKind[QuietRule]):
    """Fires when an expected signal is absent."""

    model: ClassVar = QuietRule
    keys: ClassVar = ("at_least",)

    def finding(self, metric: Metric | None, sample: Sample) -> str:  # noqa: ARG002 - silence has no metric
        """How long nothing came in and what is usual, or how much of the revenue feedback covers."""
        value, held, n = sample.get("value"), sample.get("held"), count(rows_behind(sample))
        if self.rule.of == "coverage":
            return f"Feedback covers {_percent(value)} of the revenue of {n} accounts. Limit {_percent(held)}."
        days = _days(held) if held is not None else "an unknown time"
        usual = f"usually every {days.removeprefix('a ')}, n = {n} days with a signal"
        allowed = usual if self.rule.of == "account" else f"expected within {days}"
        until, silent = date.fromisoformat(sample["until"]), round(value or 0)
        heard = day_words(until - timedelta(days=silent))
        return f"No {_SIGNALS[self.rule.of]} since {heard}: {silent} days by {day_words(until)}; {allowed}."

    def sentence(
        self,
        place: str,
        metric: Metric | None,  # noqa: ARG002
        sample: Sample,
        *,
        has_recovered: bool = False,
    ) -> str:
        """Who was last heard of when, and what is usual; of a coverage how much of the revenue is heard from."""
        value, held = sample.get("value"), sample.get("held")
        if value is None or "until" not in sample:
            return ""
        if self.rule.of == "coverage":
            n = count(rows_behind(sample))
            covers = "again covers" if has_recovered else "covers"
            said = f"In {place} feedback {covers} {_percent(value)} of the revenue of {n} accounts"
            return f"{said} (limit {_percent(held)})"
        silent = round(value)
        until = date.fromisoformat(sample["until"])
        since = day_words(until - timedelta(days=silent))
        if has_recovered:
            return f"{_HEARD[self.rule.of].format(place)}, last on {since}"
        days = f"{silent} {'day' if silent == 1 else 'days'}"
        gap = "usual" if self.rule.of == "account" else "longest allowed"
        usual = "" if held is None else f"; the {gap} gap is {_days(held)}"
        return f"{_SILENT[self.rule.of].format(place)} since {since}: {days} by {day_words(until)}{usual}"

    def brief(self, sample: Sample) -> tuple[str, str]:
        """For how long nothing has been heard."""
        return f"{sample['value']:.0f} days", ""

    def held(self, sample: Sample) -> Held | None:  # noqa: ARG002
        """Nothing that a chart of a metric could show."""
        return None

    def window(self, sample: Sample) -> str | None:  # noqa: ARG002
        """Silence is about the days since the last signal, which its words say."""
        return None

    def setting(self, metric: Metric | None) -> Setting | None:  # noqa: ARG002
        """For how long at least."""
        return Setting("at_least", float(self.rule.at_least.days), 1) if self.rule.at_least else None

    def with_value(self, value: float) -> QuietRule:
        """In whole days."""
        return self.rule.model_copy(update={"at_least": timedelta(days=round(value))})

    def ends(self, metric: Metric | None, panel: Windows) -> Ends:  # noqa: ARG002
        """From a week to what hardly anything is silent for."""
        return 7.0, max(spread(panel.value[panel.enough], 0.5, 0.998)[1], 14.0)

    def is_allowed(self, metric: Metric | None, value: float) -> bool:  # noqa: ARG002
        """Nothing shorter than the time between two slots is noticed."""
        return value >= self.rule.every.days

    @property
    def uncalibrated(self) -> str:
        """There are no counts."""
        return "silence has no counts to draw again; it keeps to the declared false alarms over its slots and slices"


def _days(length: float) -> str:
    return "a day" if length < 1.5 else f"{length:.0f} days"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f}%"
