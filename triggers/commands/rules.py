"""Every rule as it stands: which version of it is in use, who wrote that and since when, and what is open."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from config.models.catalog import Catalog
from config.models.rules import Rule
from queries.scope import EVERYTHING
from queries.state.evaluations import rule_version
from queries.state.incidents import open_incidents
from triggers.rules.versions import version_of

HEAD: Final = ("rule", "kind", "on", "version", "author", "since", "open", "older")


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule as the catalogue has it.

    Args:
        rule: the rule.
        hash: its version's.
        author: who wrote that version, where it is known.
        since: its first evaluation, aware UTC; None before it.
        open: incidents that are open.
        older: how many of them opened under an older version, which they stay with until they close.
    """

    rule: Rule
    hash: str
    author: str | None
    since: datetime | None
    open: int
    older: int


def rules_overview(conn: Connection, catalog: Catalog) -> tuple[RuleStatus, ...]:
    """Every rule of the catalogue, in its order.

    Args:
        conn: the state.
        catalog: the rules as they are now.
    """
    hashes: dict[str, list[str]] = {}
    for incident in open_incidents(conn, EVERYTHING):
        hashes.setdefault(incident.rule, []).append(incident.rule_hash)
    return tuple(_standing(conn, catalog, rule, hashes.get(rule.name, [])) for rule in catalog.rules)


def _standing(conn: Connection, catalog: Catalog, rule: Rule, opened_under: list[str]) -> RuleStatus:
    hash_ = version_of(catalog, rule).hash
    stored = rule_version(conn, hash_)
    author, since = (stored.author, stored.stored_at) if stored else (None, None)
    older = sum(under != hash_ for under in opened_under)
    return RuleStatus(rule, hash_, author, since, len(opened_under), older)
