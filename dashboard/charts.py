"""Charts: pure functions from rows to Altair charts. Grey first, one accent for what needs attention, direct labels.

Marks have one colour that is clear on light and on dark paper; text takes the page's own. Nothing here is HTML: Vega
draws text as text.
"""

from typing import Any, Final

import altair as alt
import pyarrow as pa

GREY: Final = "#8A8579"
ATTENTION: Final = "#CF5327"
BETTER: Final = "#2F80B9"
"""At least 3 to 1 against both papers, and told apart by every kind of colour vision."""

QUIET: Final[dict[str, Any]] = {"titleFontSize": 12, "labelFontSize": 12, "labelPadding": 4, "titlePadding": 6}
"""How axes are set: smaller than the labels of the rows."""
Rows = list[dict[str, Any]]


def finished(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart's specification, validated once, its rows as Arrow tables. It is what is cached and shown."""
    spec: dict[str, Any] = chart.to_dict()
    # The chart is one picture with a sentence of its own: its marks, read out one by one, say nothing to who listens.
    config = spec.get("config", {})
    spec["config"] = {**config, "aria": False, "mark": {**config.get("mark", {}), "aria": False}}
    tables = {name: pa.Table.from_pylist(rows) for name, rows in spec.get("datasets", {}).items()}
    return {**spec, "datasets": tables}


def in_full(spec: dict[str, Any]) -> dict[str, Any]:
    """A finished specification with its rows written out, as other programs read it."""
    return {**spec, "datasets": {name: table.to_pylist() for name, table in spec["datasets"].items()}}


def muted() -> alt.Opacity:
    return alt.Opacity("muted:Q", scale=None, legend=None)
