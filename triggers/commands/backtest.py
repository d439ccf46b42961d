"""`python -m triggers backtest`: what rules, drafts or two versions would have done, and whether they were right."""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog
from config.reading import read_drafts, read_known_incidents
from queries.metrics import csv_cell
from queries.operations import add_format, add_until, echo, parse_day, print_table
from queries.state import Calibration, calibrations, rule_version
from queries.stores import open_installation
from queries.warehouse import COLUMNS, Pin
from triggers.commands.arguments import AddCommand, rule_file
from triggers.incidents.notification_load import NotificationLoad, by_incident
from triggers.lab import HEAD, Pair, Past, Scores, iso_instant, paired, past, rule_named, scored
from triggers.rules import read_version

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""The names of the columns, and the rows."""

HASH: Final = re.compile("[0-9a-f]{16}")
CAUTION: Final = "corrections, attributes and late arrivals are as known now"
WHO_IS_TOLD: Final = "Notifications if nobody acknowledges:"


@dataclass(frozen=True, slots=True)
class ComparedRules:
    """What is tested: a catalogue, which of its rules are asked about (None: all that are on), and what to call it."""

    label: str
    catalog: Catalog
    names: frozenset[str] | None


def declare_backtest(command: AddCommand) -> None:
    """`backtest`, and what it takes."""
    parser = command("backtest", backtest_rules, "replay rules over past days, using only what was known at the time")
    parser.add_argument("--since", type=parse_day, metavar="DAY", required=True, help="first day, such as 2026-01-31")
    add_until(parser, required=True)
    parser.add_argument("--rule", metavar="RULE", help="only this rule, even if it is disabled")
    parser.add_argument("--draft", type=rule_file, metavar="FILE", help="use the draft rules in this file")
    parser.add_argument(
        "--against", type=rule_file, metavar="FILE|HASH", help="compare with a second draft or a stored version"
    )
    parser.add_argument(
        "--known",
        type=rule_file,
        metavar="FILE",
        help="a file of known incidents, in [[known]] tables; report which were caught and which were missed",
    )
    add_format(parser, ("table", "csv"))


def backtest_rules(arguments: Namespace) -> None:
    """What rules would have done."""
    with open_installation() as site, site.warehouse.pin() as pin, site.reading() as conn:
        for part in tested(arguments, site.catalog, pin, conn):
            if isinstance(part, str):
                echo(part)
            else:
                print_table(part[1], part[0], arguments.format)


def tested(asked: Namespace, catalog: Catalog, pin: Pin, state: Connection) -> Iterator[str | Table]:
    """What is printed, line by line and table by table.

    Raises:
        EarshotError: a rule, a file or a version that is not there.
        ConfigError: the mistakes in a file.
    """
    if asked.until <= asked.since:
        raise EarshotError("--until is the day after the last one; it must come after --since")
    if asked.known and asked.format == "csv":
        raise EarshotError("--known cannot be printed as CSV; leave out --format csv")
    known = read_known_incidents(asked.known, catalog) if asked.known else ()
    own = _side(asked, catalog)
    other = _other(str(asked.against), own, catalog, state) if asked.against else None
    alphas = calibrations(state)
    left = past(pin, own.catalog, asked.since, asked.until, alphas, own.names)
    right = past(pin, other.catalog, asked.since, asked.until, alphas, other.names) if other else None
    if other and right:
        yield from _compared(own, left, other, right, as_csv=asked.format == "csv")
    else:
        yield from _alone(left, as_csv=asked.format == "csv")
    zone = ZoneInfo(pin.generation.zone)
    for side, found in ((own, left), (other, right)):
        if known and side and found:
            yield from _judged(scored(known, found.rows, side.catalog, zone), side, alone=other is None)
    if asked.format == "table":
        yield from dict.fromkeys(line for found in (left, right) if found for line in _certainty(found, alphas))


def _side(asked: Namespace, catalog: Catalog) -> ComparedRules:
    """What is asked about: the drafts of a file, one rule, or all that are on."""
    if asked.draft:
        drafts = read_drafts(asked.draft, catalog, COLUMNS)
        names = frozenset(draft.name for draft in drafts.rules)
        if asked.rule:
            names = frozenset({rule_named(drafts.catalog, asked.rule).name})
        return ComparedRules(asked.draft.name, drafts.catalog, names)
    if asked.rule:
        return ComparedRules("config", catalog, frozenset({rule_named(catalog, asked.rule).name}))
    return ComparedRules("config", catalog, None)


def _other(against: str, own: ComparedRules, catalog: Catalog, state: Connection) -> ComparedRules:
    """The second side: the drafts of a file, or a version that was stored."""
    if HASH.fullmatch(against) and not Path(against).exists():
        return _stored(against, own, catalog, state)
    drafts = read_drafts(Path(against), catalog, COLUMNS)
    names = frozenset(draft.name for draft in drafts.rules)
    asked = own.names & names if own.names else None
    return ComparedRules(Path(against).name, drafts.catalog, asked or names if own.names else None)


def _stored(hash_: str, own: ComparedRules, catalog: Catalog, state: Connection) -> ComparedRules:
    """The catalogue with one rule, its metrics and goals as a stored version has them."""
    stored = rule_version(state, hash_)
    if stored is None:
        raise EarshotError(f"no version {hash_} is stored; `python -m triggers rules` lists those that are")
    try:
        old = read_version(stored.body)
    except ValidationError:
        message = f"version {hash_} of {stored.rule} has fields that no longer exist; name another version"
        raise EarshotError(message) from None
    rules = tuple(rule for rule in catalog.rules if rule.name != old.rule.name)
    metrics = {metric.name: metric for metric in (*catalog.metrics, *old.metrics)}
    goals = tuple(goal for goal in catalog.goals if not old.goals or goal.metric != old.goals[0].metric)
    parts = {"rules": (*rules, old.rule), "metrics": tuple(metrics.values()), "goals": (*goals, *old.goals)}
    names = own.names if own.names is None else frozenset({old.rule.name})
    return ComparedRules(hash_, catalog.model_copy(update=parts), names)


def _alone(found: Past, *, as_csv: bool) -> Iterator[str | Table]:
    if as_csv:
        yield HEAD, [row.cells for row in found.rows]
        return
    told = by_incident(found.told)
    yield (*HEAD, "notified"), [(*row.cells, ", ".join(told.get(row.incident.id, ()))) for row in found.rows]
    yield f"{len(found.rows)} incidents; {CAUTION}"
    if found.attention:
        yield ""
        yield WHO_IS_TOLD
        rows = [(load.reader, load.told, f"{load.a_week:.2f}", load.busiest) for load in found.attention]
        yield ("reader", "notified", "per week", "busiest week"), rows


def _compared(
    own: ComparedRules, left: Past, other: ComparedRules, right: Past, *, as_csv: bool
) -> Iterator[str | Table]:
    pairs = paired(left.rows, right.rows)
    labels = (f"opened: {own.label}", f"opened: {other.label}")
    ends = (f"over: {own.label}", f"over: {other.label}")
    yield ("found by", "rule", "slice", *labels, *ends), [_pair(pair, own, other, as_csv=as_csv) for pair in pairs]
    if as_csv:
        return
    both = sum(pair.left is not None and pair.right is not None for pair in pairs)
    only = [sum(part is None for part in side) for side in ([p.right for p in pairs], [p.left for p in pairs])]
    yield f"{both} by both, {only[0]} only by {own.label}, {only[1]} only by {other.label}; {CAUTION}"
    yield ""
    yield WHO_IS_TOLD
    names = ("reader", *(f"{word}: {side.label}" for word in ("notified", "per week") for side in (own, other)))
    yield names, _both(left, right)


def _pair(pair: Pair, own: ComparedRules, other: ComparedRules, *, as_csv: bool) -> tuple[str, ...]:
    labels = [side.label for side, row in ((own, pair.left), (other, pair.right)) if row]
    by = labels[0] if len(labels) == 1 else "both"
    rows = (pair.left, pair.right)
    opened = (_at(row.opened_at if row else None, as_csv=as_csv) for row in rows)
    over = ((_at(row.resolved_at, as_csv=as_csv) or "open") if row else "" for row in rows)
    return (csv_cell(by), csv_cell(pair.row.rule), csv_cell(pair.row.slice), *opened, *over)


def _at(at: Any, *, as_csv: bool) -> str:
    if at is None:
        return ""
    return iso_instant(at) if as_csv else f"{at:%Y-%m-%d}"


def _both(left: Past, right: Past) -> list[tuple[Any, ...]]:
    sides: list[Mapping[str, NotificationLoad]] = [
        {load.reader: load for load in past_.attention} for past_ in (left, right)
    ]
    none = NotificationLoad("", 0, 0.0, 0)
    readers = sorted({*sides[0], *sides[1]}, key=lambda r: (-max(side.get(r, none).told for side in sides), r))
    loads = ((reader, [side.get(reader, none) for side in sides]) for reader in readers)
    return [(reader, *(load.told for load in both), *(f"{load.a_week:.2f}" for load in both)) for reader, both in loads]


def _judged(found: Scores, side: ComparedRules, *, alone: bool) -> Iterator[str | Table]:
    """Found, missed and false."""
    yield ""
    yield f"Known incidents{'' if alone else f', with {side.label}'}:"
    rows: list[tuple[Any, ...]] = []
    for score in found.scores:
        known, row = score.known, score.row
        name = known.name or " ".join((known.rule or known.metric or "", *(f"{k}={v}" for k, v in known.slice.items())))
        by, opened = (row.rule, _at(row.opened_at, as_csv=False)) if row else ("", "")
        rows.append((name, known.since, score.verdict, by, opened, score.delay.days if score.delay else ""))
    yield ("known", "since", "outcome", "by", "opened", "days after"), rows
    hits = [score for score in found.scores if score.verdict == "found"]
    missed = sum(score.verdict == "missed" for score in found.scores)
    late = sorted(score.delay.days for score in hits if score.delay is not None)
    middle = f", {late[len(late) // 2]} days after it began (median)" if late else ""
    rest = f"{missed} missed; {len(found.false)} incidents match no known one"
    yield f"{len(hits)} of {len(found.scores)} found{middle}; {rest}"
    if found.false:
        false = [(row.rule, row.slice, _at(row.opened_at, as_csv=False)) for row in found.false]
        yield ("not a known incident", "slice", "opened"), false


def _certainty(found: Past, alphas: Mapping[str, Calibration]) -> Iterator[str]:
    if found.bounded:
        names = _few(found.bounded)
        advice = "" if alphas else "; run `python -m triggers check`, which makes rules fire sooner"
        yield f"not calibrated yet (using the Bonferroni bound): {names}{advice}"
    if found.sure:
        yield f"calibrated by simulation: {_few(found.sure)}"


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
