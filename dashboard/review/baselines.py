"""What became of each vertical since the baseline, in a sentence and a table. Pure."""

from collections.abc import Iterable
from typing import Final

from markupsafe import Markup

from dashboard.markup import macros, notice, section
from queries.documents import baseline_words as words
from queries.metrics import AgainstBaseline

_MACROS: Final = macros("review/macros.html")
_STYLES: Final = {"good": "e-better", "bad": "e-attention", "quiet": "e-muted"}


def against_baselines(found: Iterable[AgainstBaseline]) -> list[Markup]:
    """A section for each metric that has a baseline."""
    return [_section(of) for of in found]


def _section(of: AgainstBaseline) -> Markup:
    heading = section("Against the baseline", words.baseline_lede(of))
    rows = [(*cells, _STYLES[tone]) for *cells, tone in (words.baseline_row(of, one) for one in of.verticals)]
    if not rows:
        return heading + notice("There are too few cases to compare.")
    return heading + _MACROS.baseline(words.baseline_sentence(of), rows, words.together_words(of))
