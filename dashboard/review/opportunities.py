"""What could be gained: accounts that could buy more, and what improved something that is open elsewhere. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

from dashboard.markup import bullets, macros, section
from queries.accounts import Growth
from queries.documents import review_words as words
from queries.metrics import money_figure, money_range

_MACROS: Final = macros("review/macros.html")


def opportunities(
    growth: Growth | None, repeatable: Sequence[str], names: Mapping[str, str], currency: str, *, has_links: bool
) -> list[Markup]:
    """The section, or nothing where there is no opportunity; `names` are those of the accounts, with links or not."""
    pieces = []
    if growth:
        pieces.append(_growth(growth, names, currency, has_links=has_links))
    if repeatable:
        pieces.append(bullets(repeatable))
    return [section("Opportunities") + Markup("").join(pieces)] if pieces else []


def _growth(of: Growth, names: Mapping[str, str], currency: str, *, has_links: bool) -> Markup:
    rows = [
        (
            one.account_id if has_links else "",
            names.get(one.account_id, ""),
            one.vertical,
            money_figure(one.revenue, currency),
            money_range(one.value, one.low, one.high, currency),
        )
        for one in of.most
    ]
    return _MACROS.headroom(words.growth_words(of, currency), rows)
