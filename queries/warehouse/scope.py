"""Who may see what: a WHERE clause and a cache key, for pages and for Slack recipients alike."""

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, FromClause, false, func, true

from config.models import Privacy
from queries.warehouse.tables import UNKNOWN


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reader may see. `None` is everything, an empty set is nothing.

    Args:
        role: the audience the reader belongs to.
        verticals: the vertical markets of the facts that may be read.
        touchpoints: the touchpoints that may be read, where a table has them.
        accounts: the accounts that may be read.
        privacy: from how many people a figure must come; None where nobody looks: rules are judged on exact figures.
        before: the reader's own scope, where this one was narrowed to what is looked at.
    """

    role: str = "analyst"
    verticals: frozenset[str] | None = None
    touchpoints: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    privacy: Privacy | None = None
    before: "Scope | None" = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is out of reach."""
        return not self._restrictions()

    def where(self, table: FromClause) -> ColumnElement[bool]:
        """The rows of `table` inside this scope. A table without a restricted column is not readable."""
        clause: ColumnElement[bool] = true()
        for name, allowed in self._restrictions():
            clause &= _within(table, name, allowed)
        return clause

    def narrowed(self, vertical: str | None) -> "Scope":
        """The same reader looking at one vertical: never wider than before."""
        if vertical is None:
            return self
        wanted = frozenset({vertical})
        seen = wanted if self.verticals is None else self.verticals & wanted
        return replace(self, verticals=seen, before=self.before or self)

    def within(self, other: "Scope") -> "Scope":
        """This reader, who sees nothing that `other` does not see."""
        limits = ((scope.verticals, scope.touchpoints, scope.accounts) for scope in (self, other))
        verticals, touchpoints, accounts = (
            b if a is None else a if b is None else a & b for a, b in zip(*limits, strict=True)
        )
        return Scope(self.role, verticals, touchpoints, accounts, self.privacy or other.privacy)

    def _restrictions(self) -> tuple[tuple[str, frozenset[str]], ...]:
        pairs = (
            ("vertical", self.verticals),
            ("touchpoint", self.touchpoints),
            ("account_id", self.accounts),
        )
        return tuple((name, allowed) for name, allowed in pairs if allowed is not None)


def _within(table: FromClause, name: str, allowed: frozenset[str]) -> ColumnElement[bool]:
    if name not in table.c:
        return true() if name == "touchpoint" else false()
    return func.coalesce(table.c[name], UNKNOWN).in_(sorted(allowed))


EVERYTHING = Scope()
