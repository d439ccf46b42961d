"""`python -m queries`: load and maintain the warehouse, and take figures and documents from it."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from config import EarshotError
from config.models import Catalog
from config.reading import read_catalog
from config.settings import Settings, read_settings
from queries.engine import day_of, disposing
from queries.loading.contract import mask
from queries.loading.limits import Limits
from queries.loading.load import LoadRequest, load
from queries.loading.quarantine import keep_refused, quarantined_rows, refused_rows
from queries.loading.sources import LoadRefusedError, find_source, open_source, sources
from queries.operations import (
    aligned,
    echo,
    end_process,
    forget,
    on_one_line,
    parse_day,
    run_command,
    storage_errors_as_text,
    whole,
)
from queries.operations.drop_source import drop
from queries.operations.status import status_lines
from queries.state import FILE as STATE_FILE
from queries.stores import Installation, open_installation, open_states, open_warehouse
from queries.warehouse import COLUMNS, EmbeddedWarehouse, Kind, LoadReport, NoWarehouseError

SAMPLE_CONTACTS: Final = 200_000


def main(words: list[str]) -> int:
    """Run one command. Returns its exit status, see `run_command`."""
    return run_command(parser(), words, "interrupted; the warehouse is unchanged")


def parser() -> ArgumentParser:
    """What may be typed."""
    whole_line = ArgumentParser(prog="python -m queries", description="Load, query and maintain the warehouse.")
    commands = whole_line.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Namespace], None], text: str) -> ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    _declare_contents(command)
    _declare_copies(command)
    return whole_line


def _declare_contents(command: Callable[..., ArgumentParser]) -> None:
    """What changes and shows the contents of the warehouse."""
    from queries.documents import report_command  # noqa: PLC0415 - statistics take a second
    from queries.operations.metric_command import add_arguments, show_metric  # noqa: PLC0415

    loading = command("load", _load, "load a source's files into the warehouse")
    loading.add_argument("source", metavar="SOURCE", help="a folder in config/sources, or the path of such a folder")
    loading.add_argument("--data", type=Path, metavar="DIR", required=True, help="the folder with the source's files")
    loading.add_argument("--replace-sample", action="store_true", help="remove the sample data first")
    removal = "load even if more rows would be removed than the source's max_removed allows"
    loading.add_argument("--allow-removal", action="store_true", help=removal)
    dropping = command("drop", _drop, "remove a source from the warehouse")
    dropping.add_argument("source", metavar="SOURCE", help="the source's name, as `status` lists it")
    erasing = command("forget", _forget, "erase an account or a person permanently")
    who = erasing.add_mutually_exclusive_group(required=True)
    who.add_argument("--account", metavar="ID", help="the account to erase, with its people")
    who.add_argument("--person", metavar="ID", help="the person to erase")
    about = "show each source's rows, the age of its data and what was rejected, and the versions of the warehouse"
    command("status", _status, about)
    rejected = command("quarantine", _quarantine, "list rejected rows with line, reason and value")
    rejected.add_argument("--source", metavar="SOURCE", help="only rows of this source")
    rejected.add_argument("--reason", metavar="TEXT", help="only reasons that contain this text")
    report_command.declare_report(
        command("report", _report, "write a review, its minutes or an account's sheet to a file")
    )
    add_arguments(command("metric", lambda arguments: show_metric(arguments, _now()), "show one metric over time"))


def _declare_copies(command: Callable[..., ArgumentParser]) -> None:
    """The sample company, and copies of both stores."""
    sample = command("sample", _sample, "generate the sample company's files")
    sample.add_argument("--out", type=Path, metavar="DIR", required=True, help="the folder to write to")
    sample.add_argument(
        "--end", type=parse_day, metavar="DAY", help="end of the data: this day itself is not included (default: today)"
    )
    seed = "seed of the random number generator (default: %(default)s)"
    sample.add_argument("--seed", type=whole(0, 2**32 - 1), metavar="NUMBER", default=1, help=seed)
    about, how_many = "approximate number of contacts (default: %(default)s)", whole(1, 100_000_000)
    sample.add_argument("--contacts", type=how_many, metavar="NUMBER", default=SAMPLE_CONTACTS, help=about)
    sample.add_argument("--fault", metavar="KIND", help="add one kind of data fault, such as copied-period")
    command("demo", _demo, "generate and load the sample company, unless that has already been done")
    about = "copy the warehouse and the state (incidents, messages) into a folder; nothing has to be stopped first"
    saved = command("backup", _backup, about)
    saved.add_argument("--to", type=Path, metavar="DIR", required=True, help="a folder that does not exist yet")
    restored = command("restore", _restore, "restore the warehouse and the state from a backup")
    restored.add_argument("--from", type=Path, metavar="DIR", required=True, dest="folder", help="the backup's folder")
    newer = "a newer backup: accounts and people erased according to it are erased here too"
    restored.add_argument("--erased-by", type=Path, metavar="DIR", help=newer)
    restored.add_argument("--replace", action="store_true", help="overwrite existing data")
    lost = "if the warehouse no longer knows which version of the data is current, return to the newest undamaged one"
    command("repair", _repair, lost)


def _load(arguments: Namespace) -> None:
    settings, catalog = _configured()
    source, folder = open_source(arguments.source, settings.config)
    limits = Limits(settings.warehouse.select_limit, settings.warehouse.memory_limit)
    how = {"replace_sample": arguments.replace_sample, "allow_removal": arguments.allow_removal}
    order = LoadRequest(source, folder, arguments.data, catalog, settings.zone, limits=limits, **how)
    with closing(open_warehouse(settings)) as warehouse:
        _make_folder(settings)
        try:
            report = load(warehouse, order, _now(), echo)
        except LoadRefusedError as error:
            if error.rows:
                keep_refused(settings.data, source.name, error.rows)
            raise
        keep_refused(settings.data, source.name, ())
        _tell(report)


def _report(arguments: Namespace) -> None:
    from queries.documents.report_command import write_report  # noqa: PLC0415 - few commands need it

    with open_installation() as opened:
        echo(write_report(arguments, opened, _now()))


def _drop(arguments: Namespace) -> None:
    settings, catalog = _configured()
    with closing(open_warehouse(settings)) as warehouse:
        _make_folder(settings)
        _tell(drop(warehouse, arguments.source, catalog, _now(), echo))


def _forget(arguments: Namespace) -> None:
    from queries.operations.restore import discard_unfinished  # noqa: PLC0415 - few commands need it

    kind: Kind = "person" if arguments.account is None else "account"
    key = arguments.person if arguments.account is None else arguments.account
    with _opened() as installation:
        discard_unfinished(installation.settings)
        forget(installation.warehouse, installation.states, kind, key, installation.catalog, _now(), echo)
        # Rows of refused loads may name it too, and serve only until the next load.
        for row in refused_rows(installation.settings.data):
            keep_refused(installation.settings.data, row.source, ())


def _status(_: Namespace) -> None:
    from queries.messages import astray_lease  # noqa: PLC0415 - a tenth of a second for every other command

    settings = read_settings()
    with closing(open_warehouse(settings)) as warehouse:
        for line in status_lines(warehouse, _now()):
            echo(line)
    if settings.state.url or (settings.data / STATE_FILE).exists():
        with disposing(open_states(settings)) as states, states.connect() as conn:
            if astray := astray_lease(conn, _now()):
                echo(astray)


def _quarantine(arguments: Namespace) -> None:
    settings = read_settings()
    with closing(open_warehouse(settings)) as warehouse:
        try:
            with warehouse.pin() as pin:
                kept, known = quarantined_rows(pin.conn), sources(pin.conn)
        except NoWarehouseError:
            kept, known = [], frozenset()
    refused = refused_rows(settings.data)
    if arguments.source not in {None, *known, *(row.source for row in refused)}:
        find_source(arguments.source, settings.config)  # one that is there and has loaded nothing has no rows
    for heading, rows in (("in quarantine", kept), ("of loads refused as a whole", refused)):
        shown = [("source", "table", "key", "line", "reason")]
        for row in rows:
            if arguments.source in {None, row.source} and (arguments.reason or "").lower() in row.reason.lower():
                line = json.loads(row.row).get("line", "")
                shown.append((row.source, row.table_name, row.key, line, mask(row.reason)))
        echo(f"rows {heading}: {len(shown) - 1:,}")
        for text in aligned([[on_one_line(cell, 160) for cell in row] for row in shown]) if shown[1:] else ():
            echo(text.rstrip())


def _backup(arguments: Namespace) -> None:
    from queries.operations.backup import backup  # noqa: PLC0415 - few commands need it

    with storage_errors_as_text(arguments.to.parent):
        backup(read_settings(), arguments.to, _now(), echo)


def _restore(arguments: Namespace) -> None:
    from queries.operations.restore import restore  # noqa: PLC0415

    settings, catalog = _configured()
    _make_folder(settings)
    how = {"newer": arguments.erased_by, "replace": arguments.replace}
    restore(settings, arguments.folder, catalog, _now(), echo, **how)


def _repair(_: Namespace) -> None:
    with closing(open_warehouse(read_settings())) as warehouse:
        if not isinstance(warehouse, EmbeddedWarehouse):
            raise EarshotError("the warehouse is a PostgreSQL database: it has no generation files to repair")
        echo(f"generation {warehouse.repair()} is now in use; `python -m queries status` shows its contents")


def _sample(arguments: Namespace) -> None:
    from queries.sample import generate  # noqa: PLC0415 - numpy is not needed by the other commands
    from queries.sample.spoil import plant, spoilt  # noqa: PLC0415

    end, kind = arguments.end or day_of(_now(), UTC), arguments.fault
    with storage_errors_as_text(arguments.out):
        try:
            note = f", with {kind} in {spoilt(kind)}" if kind else ""
            generate(arguments.out, end=end, seed=arguments.seed, contacts=arguments.contacts)
            if kind:
                plant(kind, arguments.out, end)
        except ValueError as error:
            raise EarshotError(str(error)) from error
    how = f"python -m queries load sample --data {arguments.out}"
    echo(f"the sample company up to {end}{note} is in {arguments.out}: {how}")


def _demo(_: Namespace) -> None:
    from queries.operations.demo import demo  # noqa: PLC0415

    with _opened() as installation:
        demo(installation, _now(), echo)


def _now() -> datetime:
    return datetime.now(UTC)


def _configured() -> tuple[Settings, Catalog]:
    settings = read_settings()
    return settings, read_catalog(settings.config, COLUMNS)


@contextmanager
def _opened() -> Iterator[Installation]:
    settings = read_settings()
    _make_folder(settings)
    with open_installation(settings) as installation:
        yield installation


def _make_folder(settings: Settings) -> None:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)


def _tell(summary: LoadReport) -> None:
    for line in summary.lines():
        echo(line)
    echo(f"{'published' if summary.published else 'nothing to publish'} after {summary.seconds:.1f} s")


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
