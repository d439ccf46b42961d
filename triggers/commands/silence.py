"""`python -m triggers silence`: what a silence would mute, and its beginning and end."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.errors import EarshotError
from config.models import Catalog
from queries.messages.silences import (
    Matchers,
    Silence,
    active_silences,
    add_silence,
    end_silence,
    preview,
    refuse_unknown,
)
from queries.operations.output import echo
from queries.scope import EVERYTHING
from queries.stores import Installation, open_installation
from queries.warehouse import NoWarehouseError, Pin, condition_periods
from triggers.commands.arguments import AddCommand, add_author, parse_end
from triggers.incidents.business_hours import local

BEFORE = timedelta(days=90)


def declare_silence(command: AddCommand) -> None:
    """`silence`, and what it takes."""
    parser = command("silence", silence, "mute deliveries for a time: preview, add, list or end")
    add_author(parser)
    parts = parser.add_subparsers(required=True, dest="part", help="what to do, see below")

    def part(name: str, text: str) -> ArgumentParser:
        return parts.add_parser(name, help=text, description=text)

    matching = [part("preview", "what a silence would mute"), part("add", "begin a silence now")]
    for made in matching:
        for name in ("rule", "route", "account"):
            made.add_argument(f"--{name}", help=f"only incidents of this {name}")
        for name in ("vertical", "touchpoint"):
            made.add_argument(f"--{name}", action="append", default=[], help=f"only of this {name}; may be given again")
        made.add_argument("--condition", help="what a condition of the warehouse concerns, until it is over")
    matching[1].add_argument("--until", help="when it ends, such as 2026-12-24T18:00 or 3d")
    matching[1].add_argument("--reason", required=True, help="why nobody has to hear of it")
    part("list", "silences that are not over")
    part("end", "end a silence now").add_argument("silence", help="the beginning of its id")


def silence(arguments: Namespace) -> None:
    """Mute deliveries: preview, add, list or end."""
    now = datetime.now(UTC)
    with open_installation() as site, site.states.begin() as conn:
        for line in _silence_lines(arguments, site, conn, now):
            echo(line)


def _silence_lines(arguments: Namespace, site: Installation, conn: Connection, now: datetime) -> Iterator[str]:
    if arguments.part == "list":
        yield from list_silences(conn, now, site.zone())
    elif arguments.part == "end":
        if arguments.silence:
            yield f"ended: {_line(end_silence(conn, arguments.silence, now), site.zone())}"
    else:
        end = parse_end(getattr(arguments, "until", None), now, site.zone())
        with _pinned(site) as pin:
            request = silence_request(arguments, site.catalog, pin, end)
        if arguments.part == "add":
            yield from start_silence(conn, request, arguments.reason, arguments.by, now, site.zone())
        else:
            yield from preview_silence(conn, request.matchers, now)


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
            raise EarshotError(f"no {kind} {name!r}; `python -m triggers check` reads those there are")
    matchers = Matchers(words.rule, words.route, tuple(words.vertical), tuple(words.touchpoint), words.account)
    refuse_unknown(pin.conn if pin else None, matchers)
    request = SilenceRequest(matchers, until)
    return _under(request, words.condition, pin) if words.condition else request


def _under(found: SilenceRequest, condition: str, pin: Pin | None) -> SilenceRequest:
    """The same for what a condition concerns, until the day after its last."""
    if pin is None:
        raise EarshotError("nothing is loaded, so there is no condition; load first")
    zone = ZoneInfo(pin.generation.zone)
    span = next((one for one in reversed(condition_periods(pin.conn, zone)) if one.name == condition), None)
    if span is None:
        raise EarshotError(f"no condition {condition!r}; write its name as the source has it")
    verticals = found.matchers.verticals or tuple(sorted(span.verticals))
    touchpoints = found.matchers.touchpoints or tuple(sorted(span.touchpoints))
    over = local(zone, span.until + timedelta(days=1), datetime.min.time()) if span.until else None
    return SilenceRequest(replace(found.matchers, verticals=verticals, touchpoints=touchpoints), found.until or over)


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
        raise EarshotError("a silence needs an end; give --until, such as --until 3d")
    yield from preview_silence(conn, wanted.matchers, now)
    made = add_silence(conn, wanted.matchers, reason, author, now, wanted.until)
    until = made.ends_at.astimezone(zone)
    yield f"silence {made.id[:8]} until {until:%Y-%m-%d %H:%M %Z}; incidents open and are recorded all the same"


def list_silences(conn: Connection, now: datetime, zone: ZoneInfo) -> Iterator[str]:
    """The silences that are not over, their ends as the clock on the wall shows them."""
    silences = active_silences(conn, now)
    yield from (_line(each, zone) for each in silences)
    if not silences:
        yield "no silences"


def _line(made: Silence, zone: ZoneInfo) -> str:
    until = made.ends_at.astimezone(zone)
    return f"{made.id[:8]}  {made.matchers}  until {until:%Y-%m-%d %H:%M %Z}  by {made.author}: {made.reason}"
