"""A review as JSON, and back: what a closed review is kept as. Pure.

A field that a later version adds to the document has its default in what was kept before.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from config.models import Metric
from queries.metrics import point_figure
from queries.review.document import Review

_SHOWN: Final = frozenset(
    {"name", "label", "shape", "table", "dated_by", "good", "unit", "quantile", "factor", "min_n"}
)
"""What a page needs of a metric; what it counts may be written otherwise by the time that it is read."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A review, and the currency of its revenue."""

    review: Review
    currency: str


def document_json(document: StoredDocument) -> str:
    """The document as text; equal documents are equal texts."""
    return json.dumps(_plain(document), sort_keys=True, ensure_ascii=False, allow_nan=False)


def read_document(text: str) -> StoredDocument:
    """The document that was kept as text."""
    read: StoredDocument = _typed(StoredDocument, json.loads(text))
    return read


def _plain(value: Any) -> Any:
    if isinstance(value, Metric):
        return value.model_dump(include=set(_SHOWN))
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _typed(kind: Any, value: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return value if value is None else _typed(next(arg for arg in args if arg is not type(None)), value)
    if origin is tuple:
        return tuple(_typed(args[0], each) for each in value)
    if kind is Metric:
        return Metric.model_construct(**value)
    if is_dataclass(kind) and isinstance(kind, type):
        return kind(**{name: _typed(of, value[name]) for name, of in _hints(kind).items() if name in value})
    if kind in (date, datetime):
        return kind.fromisoformat(value)
    return value


def shows_other_figures(one: Review, other: Review) -> bool:
    """Whether two documents of one month differ in a figure of it that both show, or in the revenue."""
    pairs = [
        [{issue.id: issue.figure for issue in review.issues} for review in (one, other)],
        [_changes(review) for review in (one, other)],
    ]
    changed = (of[key] != said for said_of, of in pairs for key, said in said_of.items() if key in of)
    return _figures(one) != _figures(other) or any(changed)


def _changes(review: Review) -> dict[Any, Any]:
    """The changes against a baseline, by its days and the vertical."""
    return {
        (of.metric.name, of.first, of.last, of.since, of.until, one.vertical): one.change and round(one.change.value, 2)
        for of in review.baselines
        for one in of.verticals
    }


def _figures(review: Review) -> Any:
    # As they are shown: what differs in a later digit is the order in which rows were added up.
    of = {(s.metric.name, s.vertical): (s.point, s.metric) for s in review.standings}
    known = {
        of_: (point.value is not None and point_figure(metric, point), point.n) for of_, (point, metric) in of.items()
    }
    return known, {money.vertical: round(money.amount) for money in review.money}
