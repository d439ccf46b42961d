"""`python -m triggers tune`: the settings of a rule that keep an attention budget, and the curve behind them."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Metric, WatchRule
from config.reading import read_drafts, read_known_incidents
from queries.operations import add_until, echo, parse_day, print_table
from queries.state import calibrations, precisions
from queries.stores import open_installation
from queries.warehouse import COLUMNS, Pin
from triggers.commands.arguments import AddCommand, rule_file
from triggers.commands.backtest import Table
from triggers.lab import (
    Budget,
    FalseAlarmRate,
    ParameterSweep,
    Proposal,
    Trial,
    TrialOutcome,
    days_open,
    false_alarm_rate,
    is_in_normal,
    own_metric,
    propose,
    recovery_words,
    rows,
    rule_named,
    scored,
    setting,
    sweep_setting,
    toml_lines,
    trial,
    typical_range,
)

YEARS: Final = timedelta(days=730)
"""How much of the past is asked about where nothing else is said."""

_BUDGET: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)(?:\s+per\s+person)?\s+(?:per|a)\s+week\s*")


def budget(text: str) -> Budget:
    """A budget on the command line, such as `2 per person per week`."""
    found = _BUDGET.fullmatch(text)
    if not found or not float(found[1]):
        message = f"{text!r} is not a valid budget; write one such as '2 per person per week'"
        raise ArgumentTypeError(message)
    return Budget(float(found[1]))


def declare_tune(command: AddCommand) -> None:
    """`tune`, and what it takes."""
    parser = command("tune", tune_rule, "find the setting that keeps a rule within a number of notifications")
    parser.add_argument("rule", metavar="RULE", help="the rule's name")
    most = "most notifications allowed, such as '2 per person per week'"
    parser.add_argument("--budget", type=budget, metavar="TEXT", required=True, help=most)
    parser.add_argument("--draft", type=rule_file, metavar="FILE", help="use the draft rule in this file")
    parser.add_argument(
        "--known",
        type=rule_file,
        metavar="FILE",
        help="a file of known incidents, in [[known]] tables; the chosen setting must catch them all",
    )
    parser.add_argument("--since", type=parse_day, metavar="DAY", help="first day (default: two years before --until)")
    add_until(parser, "today")


def tune_rule(arguments: Namespace) -> None:
    """The settings of a rule that keep a budget."""
    with open_installation() as site, site.warehouse.pin() as pin, site.reading() as conn:
        for part in tuned(arguments, site.catalog, pin, conn, datetime.now(UTC)):
            if isinstance(part, str):
                echo(part)
            else:
                print_table(part[1], part[0], "table")


def tuned(asked: Namespace, catalog: Catalog, pin: Pin, state: Connection, now: datetime) -> Iterator[str | Table]:
    """What is printed, line by line and table by table.

    Raises:
        EarshotError: no such rule, or one that has nothing to tune.
        ConfigError: the mistakes in a draft.
    """
    until = asked.until or now.astimezone(ZoneInfo(pin.generation.zone)).date()
    since = asked.since or until - YEARS
    if until <= since:
        raise EarshotError("--until is the day after the last one; it must come after --since")
    known = read_drafts(asked.draft, catalog, COLUMNS).catalog if asked.draft else catalog
    alphas = {hash_: found.alpha for hash_, found in calibrations(state).items()}
    of = trial(pin, known, rule_named(known, asked.rule), since, until, alphas)
    found, metric = sweep_setting(pin.conn, of), own_metric(of)
    follows = "; recover keeps its distance" if found.on.field == "limit" else ""
    how = "calibrated by simulation" if of.subject.alpha is not None else "not calibrated (Bonferroni bound)"
    yield f"{of.rule.name} from {since} to {until}, {found.on.field} varied{follows}; {how}"
    if metric and (lay := typical_range(of)):
        yield lay.words(metric)
    happened = read_known_incidents(asked.known, known) if asked.known else ()

    def finds(outcome: TrialOutcome) -> int:
        scores = scored(happened, rows(outcome), known, of.moment.zone).scores
        return sum(score.verdict == "found" for score in scores)

    proposal = propose(found, asked.budget, finds if happened else None)
    yield _table(found, metric, proposal.found[0] if proposal.found else None, of.moment.now)
    yield from _proposal(of, found, proposal, now)
    yield recovery_words(of)
    if votes := precisions(state).get(of.rule.name):
        share = f"{votes.value:.0%} of {votes.n} rated incidents"
        yield f"votes: {share} were useful (95% CI {votes.low:.0%} to {votes.high:.0%})"
    else:
        yield "votes: none of its incidents has been rated yet"


def _table(found: ParameterSweep, metric: Metric | None, proposed: float | None, until: datetime) -> Table:
    names = (found.on.field, "incidents", "days open", "per week", "busiest week", "")
    rows = []
    for value, outcome in found.lax_first():
        marks = [word for word, marked in (("current", found.on.value), ("proposed", proposed)) if marked == value]
        mark = f"<- {' and '.join(marks)}" if marks else ""
        told = (f"{outcome.a_week:.2f}", outcome.busiest)
        rows.append((setting(found.on, metric, value), len(outcome.found), days_open(outcome, until), *told, mark))
    return names, rows


def _proposal(of: Trial, found: ParameterSweep, proposal: Proposal, now: datetime) -> Iterator[str]:
    yield ""
    value, outcome = proposal.found or (found.on.value, found.present)
    shown = setting(found.on, own_metric(of), value)
    if proposal.found is None:
        yield proposal.why
    elif value == found.on.value:
        yield f"{found.on.field} {shown}, the current value: {proposal.why}"
    else:
        yield f"{found.on.field} {shown}: {proposal.why}"
        yield from (f"    {line}" for line in toml_lines(outcome.rule))
    if is_in_normal(of, found.on, value):
        yield f"{shown} is within the normal range, so figures beyond it are not unusual"
    yield _noise_line(false_alarm_rate(of, outcome.rule, now), outcome.rule)
    yield "this rule only; `python -m triggers backtest` shows the load of all rules on each reader"


def _noise_line(found: FalseAlarmRate, rule: WatchRule) -> str:
    if found.a_year is None or found.low is None or found.high is None:
        return f"if nothing changes: at most {found.declared:g} false alarms a year, as declared ({found.why})"
    ends = f"{found.low:.2g} to {found.high:.2g}"
    return (
        f"if nothing changes: {found.a_year:.2g} false alarms a year ({ends}); {rule.false_alarms_per_year:g} declared"
    )
