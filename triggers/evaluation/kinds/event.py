"""Rules on severe cases. They look at no slots: `triggers.evaluation.event_rules` finds their cases. Pure."""

from dataclasses import dataclass
from typing import ClassVar

from config.models import EventRule, Metric
from triggers.evaluation.kinds.kind import Ends, Held, RuleKind, Sample, Setting
from triggers.evaluation.kinds.window import Windows


@dataclass(frozen=True)
class Event(RuleKind[EventRule]):
    """Fires once for each severe case."""

    model: ClassVar = EventRule
    keys: ClassVar = ()

    def finding(self, metric: Metric | None, sample: Sample) -> None:
        """A case has no figure."""

    def held(self, sample: Sample) -> Held | None:  # noqa: ARG002
        """A case is severe by itself."""
        return None

    def window(self, sample: Sample) -> str | None:  # noqa: ARG002
        """A case has a day."""
        return None

    def setting(self, metric: Metric | None) -> Setting | None:  # noqa: ARG002
        """There is no number."""
        return None

    def with_value(self, value: float) -> EventRule:  # noqa: ARG002
        """There is nothing to set."""
        raise TypeError(self.rule.name)

    def ends(self, metric: Metric | None, panel: Windows) -> Ends:  # noqa: ARG002
        """There is nothing to set."""
        raise TypeError(self.rule.name)

    def is_allowed(self, metric: Metric | None, value: float) -> bool:  # noqa: ARG002
        """There is nothing to set."""
        return False

    @property
    def uncalibrated(self) -> str:
        """One case is one too many."""
        return "every severe case is reported, by chance or not"
