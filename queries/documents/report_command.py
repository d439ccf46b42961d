"""`python -m queries report`: a review, its minutes or an account's sheet, as PDF, slides or workbook."""

import os
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config.reading import suggest
from queries.accounts import read_story, sheet_of
from queries.documents import (
    FORMS,
    DocumentError,
    FreshReadings,
    Look,
    Paper,
    minutes_paper,
    read_review,
    rendered,
    review_paper,
    review_words,
    sheet_paper,
)
from queries.engine import day_of, day_start
from queries.review import PageBudget, ReviewContext, read_months, read_period, read_verticals
from queries.review.stored_document import read_document
from queries.state import COMPANY, read_actions, read_closed_review, read_incidents
from queries.stores import Installation
from queries.warehouse import EVERYTHING, Pin

KINDS: Final = ("review", "minutes", "account")
EVERY: Final = 1_000_000
"""More than any review holds."""


def declare_report(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("kind", choices=KINDS, help="what the document is about")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the file to write")
    parser.add_argument("--format", choices=[*FORMS], help="the file's form (default: by its name's ending)")
    parser.add_argument("--month", metavar="MONTH", help="such as 2026-10 (default: the newest full month)")
    parser.add_argument("--vertical", metavar="NAME", help="the review of one vertical (default: of all)")
    parser.add_argument("--account", metavar="ID", help="the account of the sheet")
    parser.add_argument("--page", choices=("a4", "us-letter"), help="the paper of a PDF (default: documents.page)")
    templates = "slides to model a PPTX on (default: documents.template)"
    parser.add_argument("--template", type=Path, metavar="FILE", help=templates)


def write_report(arguments: Namespace, opened: Installation, now: datetime) -> str:
    """Write the document; returns what was written, in a sentence. `now` is aware UTC.

    Raises:
        DocumentError: there is no such month, vertical or account, or the file cannot be written.
    """
    form = arguments.format or arguments.out.suffix.removeprefix(".").casefold()
    if form not in FORMS:
        raise DocumentError(f"{arguments.out.name!r} does not end in {', '.join(FORMS)}; add --format")
    with opened.pinned() as pin, opened.reading() as state:
        paper = _paper(arguments, opened, (pin, state), now)
    usual = opened.settings.documents
    look = Look(arguments.page or usual.page, arguments.template or usual.template)
    made = rendered(paper, form, look)
    part = arguments.out.with_name(f"{arguments.out.name}.part")
    try:
        part.write_bytes(made)
        os.replace(part, arguments.out)  # noqa: PTH105 - nobody opens half a document
    except OSError as error:
        raise DocumentError(f"{arguments.out} cannot be written ({error.strerror})") from error
    return f"{paper.title}: {arguments.out} ({len(made) / 1000:.0f} kB)"


def _paper(arguments: Namespace, opened: Installation, read: tuple[Pin, Connection], now: datetime) -> Paper:
    if arguments.kind == "account":
        return _sheet(arguments.account, opened, read, now)
    (pin, state), catalog, zone = read, opened.catalog, ZoneInfo(read[0].generation.zone)
    context = _context(arguments, opened, pin, now)
    month = context.period.first
    closed = read_closed_review(state, month, context.vertical or COMPANY)
    currency = context.currency
    if closed is None:
        made = read_review(FreshReadings(pin, context, day_of(now, zone)), state, _budget(catalog.review.max_issues),
                           day_of(now, zone))  # fmt: skip
    else:
        kept = read_document(closed.document)
        made, currency = kept.review, kept.currency
    said = review_words.closed_words(closed, catalog.people, zone) if closed else ()
    return minutes_paper(made, said) if arguments.kind == "minutes" else review_paper(made, currency, said)


def _budget(issues: int) -> PageBudget:
    return PageBudget(issues, EVERY, EVERY)


def _context(arguments: Namespace, opened: Installation, pin: Pin, now: datetime) -> ReviewContext:
    """Which review is asked for."""
    zone, conn = ZoneInfo(pin.generation.zone), pin.conn
    as_of = day_start(day_of(now, zone), zone)
    scope = replace(EVERYTHING, privacy=opened.catalog.privacy)
    months = read_months(conn, scope, as_of)
    named = {f"{month:%Y-%m}": month for month in months.all}
    usual = None if months.usual is None else f"{months.usual:%Y-%m}"
    asked = arguments.month or usual
    if asked not in named:
        raise DocumentError(f"there is no month {asked}; {_nearest(str(asked), [*named])}")
    vertical, known = arguments.vertical, read_verticals(conn, scope)
    if vertical is not None and vertical not in known:
        raise DocumentError(f"there is no vertical {vertical!r}; {suggest(vertical, [*known])}")
    if vertical is not None:
        scope = replace(scope, verticals=frozenset({vertical}))
    month = named[asked]
    period = read_period(conn, month, min(months.first_full or month, month))
    return ReviewContext(opened.catalog, period, scope, as_of, opened.settings.currency, zone, vertical)


def _nearest(asked: str, months: list[str]) -> str:
    return suggest(asked, months) if months else "nothing is loaded that has a month"


def _sheet(account: str | None, opened: Installation, read: tuple[Pin, Connection], now: datetime) -> Paper:
    (pin, state), catalog, zone = read, opened.catalog, ZoneInfo(read[0].generation.zone)
    if account is None:
        raise DocumentError("which account? add --account ID")
    today = day_of(now, zone)
    scope, as_of = replace(EVERYTHING, privacy=catalog.privacy), day_start(today, zone)
    currency = opened.settings.currency
    story = read_story(pin.conn, account, scope, as_of, currency, has_rows=True, has_verbatims=True)
    if story is None:
        raise DocumentError(f"there is no account {account!r}")
    own = {one.id for one in read_incidents(state, scope) if one.account_id == account}
    actions = [action for action in read_actions(state, scope) if action.incident_id in own]
    sheet = sheet_of(story, actions, as_of)
    return sheet_paper(sheet, story.name, today, zone, catalog.people)
