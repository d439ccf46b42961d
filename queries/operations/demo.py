"""The sample company in the data folder: made once, loaded once, and kept."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from queries.loading.load import LoadRequest, load
from queries.loading.sources import open_source, sources
from queries.sample import generate, planted_actions
from queries.state import NewAction, finish_action, record_action
from queries.stores import Installation
from queries.warehouse import NoWarehouseError, sample_sources

SAMPLE_CONTACTS: Final = 200_000
_WHAT: Final = "Went through the {journey_type} procedure of {vertical} step by step and changed it"

Say = Callable[[str], None]


def demo(installation: Installation, now: datetime, say: Say) -> None:
    """Make the sample company, load it, and record what its managers did. A warehouse with real data stays as it is."""
    settings, warehouse = installation.settings, installation.warehouse
    try:
        with warehouse.pin() as pin:
            real = sorted(sources(pin.conn) - sample_sources(pin.conn))
    except NoWarehouseError:
        real = []
    if real:
        say(f"the warehouse holds {', '.join(real)}: the sample company is not loaded")
        return
    files = settings.data / "sample"
    end = _made(files, now.astimezone(UTC).date(), say)
    source, folder = open_source("sample", settings.config)
    summary = load(warehouse, LoadRequest(source, folder, files, installation.catalog, settings.zone), now, say)
    with installation.writing() as conn:
        for planted in planted_actions(end):
            action = NewAction(
                what=_WHAT.format(journey_type=planted.journey_type, vertical=planted.vertical),
                owner=planted.owner,
                started_on=planted.start,
                due_on=planted.due,
                vertical=planted.vertical,
                touchpoint=planted.journey_type,
                metric=planted.metric,
                function=planted.function,
            )
            made = record_action(conn, action, planted.owner, datetime.combine(planted.start, time(9), UTC))
            finish_action(conn, made.id, datetime.combine(planted.done, time(9), UTC))
    say(f"the sample company up to {end}: {summary.total('read'):,} rows read, {summary.total('added'):,} added")


def _made(files: Path, today: date, say: Say) -> date:
    """The day the files reach to. They are made when they are not there; the note is written when all are whole."""
    note = files / "end.txt"
    if note.exists():
        return date.fromisoformat(note.read_text(encoding="ascii").strip())
    say(f"generating the sample company in {files}: {SAMPLE_CONTACTS:,} contacts")
    generate(files, end=today, contacts=SAMPLE_CONTACTS)
    note.write_text(today.isoformat(), encoding="ascii")
    return today
