"""`python -m triggers rules` and `test`: the version of each rule in use, and whether rules do as they should."""

from argparse import Namespace
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from config.models import Catalog, Rule
from config.reading.drafts import read_drafts
from config.reading.loader import read_catalog
from config.settings import read_settings
from queries.operations.output import echo, print_table
from queries.scope import EVERYTHING
from queries.state import open_incidents, rule_version
from queries.stores import open_installation
from queries.warehouse import COLUMNS
from triggers.commands.arguments import AddCommand
from triggers.lab.backtest import iso_instant
from triggers.rule_tests.runner import suite
from triggers.rules import version_of

HEAD: Final = ("rule", "kind", "on", "version", "author", "since", "open", "older")


def declare_rules(command: AddCommand) -> None:
    """`test` and `rules`, and what they take."""
    tests = command("test", test_rules, "run tests of rules: what was counted, and the incidents that should follow")
    tests.add_argument("file", nargs="+", type=Path, help="a file of tests, or a folder of them")
    tests.add_argument("--draft", type=Path, metavar="DRAFT", help="the rules as a file of drafts has them")
    command("rules", list_rules, "list the rules with their versions, who wrote them, and what is open")


def test_rules(arguments: Namespace) -> int:
    """Run tests of rules; the catalogue is all they need. Returns 1 where one failed."""
    catalog = read_catalog(read_settings().config, COLUMNS)
    if arguments.draft:
        catalog = read_drafts(arguments.draft, catalog, COLUMNS).catalog
    passed = []
    for outcome in suite(arguments.file, catalog):
        echo(str(outcome))
        passed.append(outcome.passed)
    echo(f"{sum(passed)} of {len(passed)} tests passed")
    return 0 if all(passed) else 1


def list_rules(_: Namespace) -> None:
    """Every rule as it stands."""
    with open_installation() as site, site.reading() as conn:
        statuses = rules_overview(conn, site.catalog)
    rows = [
        (
            s.rule.name,
            s.rule.kind,
            "yes" if s.rule.enabled else "no",
            s.hash,
            s.author,
            iso_instant(s.since) if s.since else "not evaluated",
            s.open,
            s.older,
        )
        for s in statuses
    ]
    print_table(rows, HEAD, "table")
    echo("since: the version's first evaluation; older: open under an older version, until they close")


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
