"""A rule with everything that is evaluated with it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from config.models import Catalog, Conditions, Metric, Privacy, RateRule, WatchRule
from triggers.rules.counts import is_plain
from triggers.rules.schedule import Cadence, Moment
from triggers.rules.versions import Version


@dataclass(frozen=True, slots=True)
class CubeRequest:
    """What a cube is asked for.

    Args:
        metric: with those conditions that choose rows, not cells; its name tells it from others in one cube.
        by: the columns to slice by.
        where: the conditions that choose cells.
    """

    metric: Metric
    by: tuple[str, ...]
    where: Conditions

    @property
    def dims(self) -> tuple[str, ...]:
        """The columns that the cube needs."""
        return tuple(sorted({*self.by, *(condition.column for condition in self.where)}))


@dataclass(frozen=True, slots=True)
class Subject:
    """A rule as one of its versions stands.

    Args:
        rule: the rule.
        metrics: the metrics that it reads, as the version has them: its own, and what a gap is measured from.
        metric: its own as it is judged: a quantile is judged by its plain value, as the mean of its rows would be.
        figures: what the cube is asked for, for each of the metrics.
        cadence: when it has slots.
        version: the rule and the metrics as they are stored.
        alpha: what the null replay found; None where it was not run for this version.
        privacy: from how many people a figure about people must come to be judged; None: from any number.
    """

    rule: WatchRule
    metrics: tuple[Metric, ...]
    figures: tuple[CubeRequest, ...]
    cadence: Cadence
    version: Version
    alpha: float | None = None
    privacy: Privacy | None = None

    @property
    def metric(self) -> Metric:
        """The rule's own metric as it is judged."""
        own = self.metrics[0]
        return own.model_copy(update={"shape": "mean"}) if own.shape == "quantile" else own

    @property
    def by(self) -> tuple[str, ...]:
        """The columns that tell its slices apart."""
        return self.rule.slice_columns

    @property
    def is_quantile(self) -> bool:
        """Whether the metric cannot be added up over days."""
        return bool(self.metrics) and self.metrics[0].shape == "quantile"

    @property
    def hash(self) -> str:
        """The version's name."""
        return self.version.hash


def subject_of(version: Version, catalog: Catalog, moment: Moment, alpha: float | None = None) -> Subject:
    """A version with its cadence, and with its metrics as the cube is asked for them."""
    rule = version.rule
    if not isinstance(rule, WatchRule):
        raise TypeError(rule.name)
    matures = max((metric.matures for metric in version.metrics), default=timedelta(0))
    cadence = Cadence(rule.window, rule.every, max(moment.settle, matures, rule.settle), moment.zone)
    if not isinstance(rule, RateRule):
        return Subject(rule, (), (), cadence, version, alpha)
    known = {metric.name: metric for metric in catalog.metrics}
    present = tuple(known.get(name) for name in rule.metric_names)
    figures = cube_requests(rule, version.metrics, present, version.hash)
    return Subject(rule, version.metrics, figures, cadence, version, alpha, catalog.privacy)


def cube_requests(
    rule: RateRule, metrics: Sequence[Metric], present: Sequence[Metric | None], hash_: str
) -> tuple[CubeRequest, ...]:
    """What the cube is asked for by a version of a rule.

    Args:
        rule: the rule.
        metrics: its metrics as the version has them.
        present: the same as the catalogue has them now: what differs needs sums of its own.
        hash_: the version's name.
    """
    requests: list[CubeRequest] = []
    for i, (metric, now, where) in enumerate(zip(metrics, present, rule.wheres, strict=True)):
        rows = tuple(condition for condition in where if not is_plain(condition))
        cells = tuple(condition for condition in where if is_plain(condition))
        name = f"{metric.name}~{hash_}.{i}" if rows or metric != now else metric.name
        own = metric.model_copy(update={"name": name, "where": (*metric.where, *rows)})
        requests.append(CubeRequest(own, rule.count_columns, cells))
    return tuple(requests)
