"""`python -m triggers outbox`, `restored`, `route` and `silence`: what is sent to whom and when, and what is not."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog, Route, duration_text
from queries.messages import (
    DueMessage,
    Matchers,
    QueuedMessage,
    Silence,
    active_silences,
    add_silence,
    end_silence,
    mark_restored,
    outbox,
    preview,
    refuse_unknown,
)
from queries.monitoring.conditions import condition_periods
from queries.operations import echo, on_the_wall, parse_instant, print_table
from queries.review import Timetable, local, timetable
from queries.stores import Installation, open_installation
from queries.warehouse import EVERYTHING, NoWarehouseError, Pin
from triggers.commands.arguments import AddCommand, add_author, parse_end
from triggers.incidents import begins, named_people
from triggers.lab import iso_instant
from triggers.messages import CardReader, Composer, DirectMessageWriter


def declare_outbox(command: AddCommand) -> None:
    """`outbox` and `restored`, and what they take."""
    listed = command("outbox", show_outbox, "list unsent messages and those that Slack rejected")
    listed.add_argument("--revive", action="store_true", help="send the rejected messages again; fix the cause first")
    listed.add_argument("--text", action="store_true", help="also print the text of unsent messages")
    restored = command("restored", note_restored, "tell Earshot that the state was restored without `queries restore`")
    restored.add_argument(
        "--since",
        type=parse_instant,
        metavar="TIME",
        help="time of the backup (default: time of its newest message)",
    )


def show_outbox(arguments: Namespace) -> None:
    """What is not sent; what Slack refused is tried again where that is asked."""
    with open_installation() as site:
        if arguments.revive:
            with site.states.begin() as conn:
                echo(f"{outbox.retry_dead(conn, datetime.now(UTC))} rejected messages will be resent")
        with site.reading() as conn:
            waiting, refused = outbox.unsent(conn), outbox.dead(conn)
            if arguments.text:
                with site.warehouse.pin() as pin:
                    for line in written_out(conn, site, pin, waiting, datetime.now(UTC)):
                        echo(line)
    names = ("state", "kind", "incident", "route", "queued", "attempts", "error")
    rows = [
        (m.state, m.kind, m.incident_id, m.target, iso_instant(m.created_at), m.attempts, m.error)
        for m in (*waiting, *refused)
    ]
    print_table(rows, names, "table")
    echo(f"{len(waiting)} pending, {len(refused)} rejected by Slack")
    if site.settings.slack.token is None:
        echo("no Slack token (EARSHOT_SLACK__TOKEN): nothing is sent")


def written_out(
    conn: Connection, site: Installation, pin: Pin, waiting: Iterable[QueuedMessage], now: datetime
) -> Iterator[str]:
    """Each message as its channel would show it now, in lines; of what has nothing to say any more nothing."""
    link = site.settings.dashboard.public_url
    letters = DirectMessageWriter(pin, site.catalog, site.settings.currency, link, now)
    composer = Composer(CardReader(pin, site.catalog, link, now, site.settings.currency), site.catalog, letters.words)
    channels = {route.name: route.channel or "" for route in site.catalog.routes}
    for message in waiting:
        words = composer.prepare(conn, DueMessage(message, channels.get(message.target, ""))).words
        if words is not None:
            yield f"--- {message.kind} to {message.target}, due {iso_instant(message.due_at)}"
            lines = (f"{fact.label}: {fact.text}" for fact in (*words.facts, *words.asks))
            others = (f"Also open at this account: {link.label}, {link.url}" for link in words.others)
            shown = (words.title, *words.sentences, *lines, *others)
            yield from filter(None, (*shown, words.news, words.footnote, words.note, ""))
            yield ""


def note_restored(arguments: Namespace) -> None:
    """The state was put back: what may have been sent since is looked for first."""
    now = datetime.now(UTC)
    with open_installation() as site, site.states.begin() as conn:
        since = on_the_wall(arguments.since, site.zone()) if arguments.since else None
        if since and since > now:
            raise EarshotError("--since must be in the past: the time of the backup")
        waiting = mark_restored(conn, now, since)
    echo(f"{waiting} messages will be looked up in Slack before sending, as will those queued during the next day")


def declare_route(command: AddCommand) -> None:
    """`route`, and what it takes."""
    parser = command("route", trace_route, "show who would be notified, and when, if this rule opened an incident")
    parser.add_argument("rule", metavar="RULE", help="the rule's name")
    parser.add_argument("--vertical", metavar="NAME", help="the incident's vertical")
    at = "when the incident opens, such as 2026-11-21T09:00 (reporting time zone; default: now)"
    parser.add_argument("--at", type=parse_instant, metavar="TIME", help=at)


def trace_route(arguments: Namespace) -> None:
    """Whom a rule's incidents would be told to."""
    with open_installation() as site:
        if arguments.rule not in {rule.name for rule in site.catalog.rules}:
            raise EarshotError(f"no rule {arguments.rule!r}; config/triggers.toml lists the rules")
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
        yield f"the channel may only see {', '.join(route.verticals)}"
    when, before = begins(found.severity, table, at), timedelta(0)
    for step in route.ladder:
        after = step.after[found.severity - 1]
        when = table.after(when, after, before)
        held = when if found.severity == 1 else table.next_opening(when)
        is_dropped = route.outside == "drop" and held != when
        shown = when if is_dropped else held
        late = ""
        if held != when:
            late = " (dropped: outside business hours)" if is_dropped else " (held until business hours)"
        clock = f"{shown.astimezone(table.zone):%a %Y-%m-%d %H:%M}"
        yield f"{clock}  {_whom(catalog, step.notify, vertical)}{late}"
        when, before = shown, after
    if route.ack_timeout:
        yield f"an acknowledgement lasts {duration_text(route.ack_timeout)}; then escalation resumes"


def _hours(route: Route, table: Timetable, severity: int) -> str:
    if table.hours is None:
        return f"round the clock, {table.zone.key}"
    opens, closes = table.hours
    through = "; severity 1 is always sent" if severity == 1 else f"; outside: {route.outside}"
    return f"business days {opens:%H:%M}-{closes:%H:%M}, {table.zone.key}{through}"


def _whom(catalog: Catalog, notify: str, vertical: str | None) -> str:
    if notify == "channel":
        return "the channel"
    people = named_people(notify, catalog.people, vertical)
    known = ", ".join(f"{person.label}{'' if person.slack else ' (no Slack member id)'}" for person in people)
    return known or (f"nobody: no general manager answers for {vertical or 'the whole company'}")


BEFORE = timedelta(days=90)


def declare_silence(command: AddCommand) -> None:
    """`silence`, and what it takes."""
    muted = (
        "mute all incidents that match, for a time: preview, add, list or end (a snooze, in Slack, is for one incident)"
    )
    parser = command("silence", silence, muted)
    add_author(parser)
    parts = parser.add_subparsers(required=True, dest="part", help="what to do; each has its own --help")

    def part(name: str, text: str) -> ArgumentParser:
        return parts.add_parser(name, help=text, description=text)

    matching = [part("preview", "show what a silence would mute"), part("add", "start a silence now")]
    for made in matching:
        for name, which in (("rule", "of this rule"), ("route", "sent by this route"), ("account", "of this account")):
            made.add_argument(f"--{name}", metavar="NAME", help=f"only incidents {which}")
        for name, which in (("vertical", "in this vertical"), ("touchpoint", "at this touchpoint")):
            several = f"only incidents {which}; may be repeated"
            made.add_argument(f"--{name}", metavar="NAME", action="append", default=[], help=several)
        concerned = "only incidents in the verticals and at the touchpoints of this condition, until the condition ends"
        made.add_argument("--condition", metavar="NAME", help=concerned)
    end = "when the silence ends, such as 2026-12-24T18:00 (reporting time zone), or after how long, such as 3d"
    needed = f"{end}; needed unless --condition names one that ends"
    matching[1].add_argument("--until", metavar="TIME", help=needed)
    matching[1].add_argument("--reason", metavar="TEXT", required=True, help="why nobody needs to be notified")
    part("list", "list current silences")
    enough = "enough of the first characters of the silence's id to be unique"
    part("end", "end a silence now").add_argument("silence", metavar="ID", help=enough)


def silence(arguments: Namespace) -> None:
    """Mute deliveries: preview, add, list or end."""
    now = datetime.now(UTC)
    with open_installation() as site, site.states.begin() as conn:
        if arguments.part == "list":
            lines = list_silences(conn, now, site.zone())
        elif arguments.part == "end":
            ended = (end_silence(conn, arguments.silence, now),) if arguments.silence else ()
            lines = (f"ended: {_line(each, site.zone())}" for each in ended)
        else:
            end = parse_end(getattr(arguments, "until", None), now, site.zone())
            with _pinned(site) as pin:
                request = silence_request(arguments, site.catalog, pin, end)
            lines = preview_silence(conn, request.matchers, now)
            if arguments.part == "add":
                lines = start_silence(conn, request, arguments.reason, arguments.by, now, site.zone())
        for line in lines:
            echo(line)


@contextmanager
def _pinned(site: Installation) -> Iterator[Pin | None]:
    try:
        with site.warehouse.pin() as pin:
            yield pin
    except NoWarehouseError:
        yield None


@dataclass(frozen=True, slots=True)
class SilenceRequest:
    """What a silence is to mute, and until when; None where neither was said."""

    matchers: Matchers
    until: datetime | None


def silence_request(words: Namespace, catalog: Catalog, pin: Pin | None, until: datetime | None) -> SilenceRequest:
    """What the arguments mean.

    Raises:
        EarshotError: there is no such rule, route, condition, vertical, touchpoint or account.
    """
    for kind, items in (("rule", catalog.rules), ("route", catalog.routes)):
        name = getattr(words, kind)
        if name is not None and name not in {item.name for item in items}:
            raise EarshotError(f"no {kind} {name!r}; see config/")
    matchers = Matchers(words.rule, words.route, tuple(words.vertical), tuple(words.touchpoint), words.account)
    refuse_unknown(pin.conn if pin else None, matchers)
    request = SilenceRequest(matchers, until)
    return _under(request, words.condition, pin) if words.condition else request


def _under(request: SilenceRequest, condition: str, pin: Pin | None) -> SilenceRequest:
    """The same for what a condition concerns, until the day after its last."""
    if pin is None:
        raise EarshotError("no data is loaded, so there are no conditions; load first")
    zone = ZoneInfo(pin.generation.zone)
    span = next((period for period in reversed(condition_periods(pin.conn, zone)) if period.name == condition), None)
    if span is None:
        raise EarshotError(f"no condition {condition!r}; write the name as it is in the source")
    verticals = request.matchers.verticals or tuple(sorted(span.verticals))
    touchpoints = request.matchers.touchpoints or tuple(sorted(span.touchpoints))
    over = local(zone, span.until + timedelta(days=1), datetime.min.time()) if span.until else None
    matchers = replace(request.matchers, verticals=verticals, touchpoints=touchpoints)
    return SilenceRequest(matchers, request.until or over)


def preview_silence(conn: Connection, matchers: Matchers, now: datetime) -> Iterator[str]:
    """What a silence would mute, in lines."""
    found = preview(conn, matchers, EVERYTHING, now - BEFORE)
    opened = f"{found.earlier} opened in the last {BEFORE.days} days"
    yield f"{str(matchers) or 'everything'}: {len(found.open)} open incidents, {opened}"
    for one in found.open:
        yield f"  {one.id}  {one.rule}  {one.slice}  since {one.opened_at:%Y-%m-%d}, severity {one.severity}"


def start_silence(
    conn: Connection, wanted: SilenceRequest, reason: str, author: str, now: datetime, zone: ZoneInfo
) -> Iterator[str]:
    """Begin a silence, and say what it mutes."""
    if wanted.until is None:
        raise EarshotError("a silence needs an end; add --until, such as --until 3d")
    yield from preview_silence(conn, wanted.matchers, now)
    made = add_silence(conn, wanted.matchers, reason, author, now, wanted.until)
    until = made.ends_at.astimezone(zone)
    yield f"silence {made.id[:8]} until {until:%Y-%m-%d %H:%M %Z}; incidents are still recorded"


def list_silences(conn: Connection, now: datetime, zone: ZoneInfo) -> Iterator[str]:
    """The silences that are not over, their ends as the clock on the wall shows them."""
    silences = active_silences(conn, now)
    yield from (_line(each, zone) for each in silences)
    if not silences:
        yield "no silences"


def _line(made: Silence, zone: ZoneInfo) -> str:
    until = made.ends_at.astimezone(zone)
    return f"{made.id[:8]}  {made.matchers}  until {until:%Y-%m-%d %H:%M %Z}  by {made.author}: {made.reason}"
