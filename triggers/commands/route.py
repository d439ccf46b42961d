"""`python -m triggers route`: whom an incident would be told to, and when, before it happens."""

from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from config.errors import EarshotError
from config.models import Catalog, Route, duration_text
from queries.operations.output import echo
from queries.stores import open_installation
from triggers.commands.arguments import AddCommand, on_the_wall, parse_instant
from triggers.incidents.business_hours import Timetable, timetable
from triggers.incidents.escalation import begins, named_people


def declare_route(command: AddCommand) -> None:
    """`route`, and what it takes."""
    parser = command("route", trace_route, "whom a rule's incidents would be told to, and when")
    parser.add_argument("rule", help="its name")
    parser.add_argument("--vertical", help="of the incident")
    parser.add_argument("--at", type=parse_instant, help="when it opens, such as 2026-11-21T09:00; now by default")


def trace_route(arguments: Namespace) -> None:
    """Whom a rule's incidents would be told to."""
    with open_installation() as site:
        if arguments.rule not in {rule.name for rule in site.catalog.rules}:
            raise EarshotError(f"no rule {arguments.rule!r}; config/triggers.toml has those there are")
        zone = site.zone()
        at = on_the_wall(arguments.at or datetime.now(UTC), zone)
        for line in route_steps(site.catalog, arguments.rule, arguments.vertical, zone, at):
            echo(line)


def route_steps(catalog: Catalog, rule: str, vertical: str | None, zone: ZoneInfo, at: datetime) -> Iterator[str]:
    """The route of a rule's incident that opens at an instant, step by step. Raises KeyError for an unknown rule."""
    found = catalog.rule(rule)
    route = catalog.route(found.route)
    table = timetable(catalog, route, zone)
    where = route.channel or "no channel: its messages stay pending"
    yield f"rule {rule}, severity {found.severity} -> route {route.name}, {where}"
    yield _hours(route, table, found.severity)
    if route.verticals is not None and vertical not in route.verticals:
        yield f"the channel may read of {', '.join(route.verticals)} only"
    when, before = begins(found.severity, table, at), timedelta(0)
    for step in route.ladder:
        when += step.after - before
        held = when if found.severity == 1 else table.next_opening(when)
        is_dropped = route.outside == "drop" and held != when
        shown = when if is_dropped else held
        yield f"{_clock(shown, table)}  {_whom(catalog, step.notify, vertical)}{_late(route, when, held)}"
        when, before = shown, step.after
    if route.ack_timeout:
        yield f"whoever takes it on has {duration_text(route.ack_timeout)}; then the ladder goes on"


def _hours(route: Route, table: Timetable, severity: int) -> str:
    if table.hours is None:
        return f"round the clock, {table.zone.key}"
    opens, closes = table.hours
    through = "; severity 1 goes through" if severity == 1 else f"; outside: {route.outside}"
    return f"business days {opens:%H:%M}-{closes:%H:%M}, {table.zone.key}{through}"


def _late(route: Route, when: datetime, held: datetime) -> str:
    if held == when:
        return ""
    return " (dropped: outside the hours)" if route.outside == "drop" else " (held until the hours begin)"


def _whom(catalog: Catalog, notify: str, vertical: str | None) -> str:
    if notify == "channel":
        return "the channel"
    people = named_people(notify, catalog.people, vertical)
    known = ", ".join(f"{person.label}{'' if person.slack else ' (no Slack member id)'}" for person in people)
    return known or (f"nobody: no general manager answers for {vertical or 'the whole company'}")


def _clock(at: datetime, table: Timetable) -> str:
    return f"{at.astimezone(table.zone):%a %Y-%m-%d %H:%M}"
