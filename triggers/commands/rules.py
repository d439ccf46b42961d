"""`python -m triggers check`, `test` and `rules`: whether rules are right, how sure each must be, and its version."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.models import Catalog, Rule, WatchRule
from config.reading import files_of_drafts, read_catalog, read_drafts
from config.settings import read_settings
from queries.metrics import Ask, measure
from queries.operations import echo, print_table
from queries.state import Calibration, calibrations, open_incidents, rule_errors, rule_version, store_calibration
from queries.stores import Installation, open_installation
from queries.warehouse import COLUMNS, EVERYTHING, NoWarehouseError, Pin, settle
from triggers.commands.arguments import AddCommand, rule_file
from triggers.commands.doubts import doubts
from triggers.evaluation import contained, design_effects_at, reader, reason
from triggers.evaluation.kinds import kind_of
from triggers.lab import Replayed, iso_instant
from triggers.lab.calibrate import calibrate
from triggers.rule_tests.runner import suite
from triggers.rules import Moment, PreviousState, Subject, read_previous_state, subject_of, tasks, version_of

LASTS: Final = timedelta(days=28)
"""How long a calibration is good for: the numbers of cases change with the months."""


def declare_check(command: AddCommand) -> None:
    """`check`, and what it takes."""
    parser = command("check", check, "check the configuration and calibrate each rule")
    parser.add_argument("--quick", action="store_true", help="skip the calibration, which is slow")
    parser.add_argument("--again", action="store_true", help="recalibrate even if it was done recently")


def check(arguments: Namespace) -> None:
    """Check the configuration and calibrate each rule."""
    with open_installation() as site:
        rules = site.catalog.rules
        enabled = sum(rule.enabled for rule in rules)
        echo(f"{len(rules)} rules, {enabled} enabled; no mistakes in {site.settings.config}")
        for file in files_of_drafts(site.settings.config):
            echo(f"{file.name} is not in use: only a command that names it reads it (--draft, --known, test)")
        with site.reading() as conn:
            errors = rule_errors(conn)
        for error in errors:
            echo(f"{error.where}: could not be evaluated since {error.since:%Y-%m-%d %H:%M} UTC: {error.reason}")
        try:
            with site.warehouse.pin() as pin:
                now, generation = datetime.now(UTC), pin.generation
                moment = Moment(now, generation.number, now, ZoneInfo(generation.zone), settle(pin.conn))
                for line in (*watched(pin.conn, site.catalog, moment), *doubts(pin.conn, site.catalog, now)):
                    echo(line)
                if not arguments.quick:
                    _calibrate(site, pin, moment, again=arguments.again)
        except NoWarehouseError:
            echo("nothing is loaded yet, so no slot is due")
        for route in site.catalog.routes:
            if route.channel is None and any(rule.route == route.name and rule.enabled for rule in rules):
                echo(f"route {route.name} has no channel: its messages stay pending")
        if site.settings.slack.token is None:
            echo("no Slack token (EARSHOT_SLACK__TOKEN): messages stay pending")


@dataclass(frozen=True, slots=True)
class Checked:
    """A rule, and what its null replay found; `why` says why there is none."""

    rule: str
    replayed: Replayed | None
    why: str = ""

    @property
    def lines(self) -> Iterator[str]:
        """What to tell the analyst."""
        yield f"{self.rule}: {self.replayed or self.why}"
        if self.replayed and self.replayed.warning:
            yield f"{self.rule}: {self.replayed.warning}"


def watched(conn: Connection, catalog: Catalog, moment: Moment) -> Iterator[str]:
    """When each enabled rule that looks at slots is due next, and what keeps it from ever firing."""
    for rule in catalog.rules:
        if isinstance(rule, WatchRule) and rule.enabled:
            of = subject_of(version_of(catalog, rule), catalog, moment)
            slot = of.cadence.newest(moment.now)
            following = of.cadence.as_of(slot + of.cadence.every).astimezone(moment.zone)
            yield f"{rule.name}: window to {slot - timedelta(days=1)}, next due {following:%Y-%m-%d %H:%M}"
            yield from (f"{rule.name}: {why}" for why in _inert(conn, of, moment))


def _inert(conn: Connection, of: Subject, moment: Moment) -> Iterator[str]:
    """Why a rule can say nothing, whatever happens."""
    rule = of.rule
    for metric in of.metrics:
        if not any(point.n for point in measure(conn, metric, Ask(grain="all"), EVERYTHING, moment.now)):
            yield f"no data: nothing loaded counts for {metric.name}, a metric over {metric.table}"
    if rule.has_goals and not of.version.goals:
        name = of.metrics[0].name
        yield f"no goal, so it never fires; add one for {name} with the same where to config/goals.toml"


def calibrated(
    conn: Connection, catalog: Catalog, memory: PreviousState, moment: Moment, known: Mapping[str, Calibration]
) -> Iterator[Checked]:
    """Calibrate every enabled rule that looks at slots, one after the other, where that was not done of late.

    Args:
        conn: the warehouse.
        catalog: its rules as they are now.
        memory: the state; the baselines that charts froze are taken from it.
        moment: now, and the generation.
        known: the calibrations stored before, by the version's name.
    """
    current = [task for task in tasks(catalog, memory, moment) if task.is_current]
    for task in current:
        if why := kind_of(task.subject.rule).uncalibrated:
            yield Checked(task.subject.rule.name, None, f"not calibrated: {why}")
    due = []
    for task in current:
        before = known.get(task.subject.hash)
        if before and moment.now - before.calibrated_at < LASTS:
            yield Checked(
                task.subject.rule.name, None, f"alpha {before.alpha:.2g}, calibrated on {before.calibrated_at:%Y-%m-%d}"
            )
        elif not kind_of(task.subject.rule).uncalibrated:
            due.append(task)
    of_all_time = [replace(task, first_run=True, slots=(), again=None) for task in due]
    source = reader(conn, moment, design_effects_at(conn, moment))
    shared = source.shared(of_all_time)
    for task in of_all_time:
        failures, found = dict[str, Exception](), None
        with contained(failures, "", conn):
            found = calibrate(task.subject, source.basis(task, shared), moment.now)
        why = "not calibrated: no slot has enough rows yet"
        if failures:
            why = f"could not be evaluated: {reason(failures[''])}"
        yield Checked(task.subject.rule.name, found, why)


def _calibrate(site: Installation, pin: Pin, moment: Moment, *, again: bool) -> None:
    """Find how sure each rule must be, say it as it is found, and store it for the rule's version."""
    with site.reading() as conn:
        memory, known = read_previous_state(conn), {} if again else calibrations(conn)
    for found in calibrated(pin.conn, site.catalog, memory, moment, known):
        for line in found.lines:
            echo(line)
        if found.replayed:
            with site.states.begin() as conn:
                store_calibration(conn, found.replayed.calibration)


HEAD: Final = ("rule", "kind", "on", "version", "author", "since", "open", "older")


def declare_rules(command: AddCommand) -> None:
    """`test` and `rules`, and what they take."""
    tests = command("test", test_rules, "run rule tests: each gives some counts and the incidents they should open")
    tests.add_argument("file", nargs="+", type=Path, metavar="FILE", help="a test file or a folder of test files")
    tests.add_argument("--draft", type=rule_file, metavar="FILE", help="test the draft rules in this file")
    command("rules", list_rules, "list the rules with their versions, authors and open incidents")


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
    echo("since: first evaluation of this version; older: incidents still open under an older version")


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
    statuses = []
    for rule in catalog.rules:
        hash_, opened_under = version_of(catalog, rule).hash, hashes.get(rule.name, [])
        stored = rule_version(conn, hash_)
        author, since = (stored.author, stored.stored_at) if stored else (None, None)
        older = sum(under != hash_ for under in opened_under)
        statuses.append(RuleStatus(rule, hash_, author, since, len(opened_under), older))
    return tuple(statuses)
