"""`python -m queries`: load, drop, forget, status, sample, demo, backup, restore, metric."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from config.errors import EarshotError
from config.models import Catalog
from config.reading.loader import read_catalog
from config.settings import Settings, read_settings
from queries.loading.load import LoadRequest, load
from queries.loading.sources import open_source
from queries.operations.drop_source import drop
from queries.operations.erase import forget
from queries.operations.status import status_lines
from queries.operations.storage_errors import storage_errors_as_text
from queries.stores import Installation, open_installation, open_warehouse
from queries.warehouse import COLUMNS, Kind, LoadReport

SAMPLE_CONTACTS: Final = 200_000

Run = Callable[[Namespace], int]


def main(words: list[str]) -> int:
    """Run one command. Returns the exit status: 0 done, 1 refused, 130 interrupted; argparse leaves with 2."""
    os.umask(0o077)
    arguments = _parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except EarshotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the warehouse stays as it was", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stdout = None
        return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m queries", description="The warehouse: what comes in, and what is in it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _load_words(_command(commands, "load", "bring a source's files into the warehouse", _load))
    _command(commands, "drop", "take a source out of the warehouse", _drop).add_argument("source", metavar="SOURCE")
    _forget_words(_command(commands, "forget", "erase an account or a person for ever", _forget))
    _command(commands, "status", "generations, rows, freshness and quarantine", _status)
    _sample_words(_command(commands, "sample", "write the files of the sample company", _sample))
    _command(commands, "demo", "make and load the sample company once, then keep it", _demo)
    saved = _command(
        commands, "backup", "copy the warehouse and the state into a folder, while everything runs", _backup
    )
    saved.add_argument("--to", type=Path, metavar="DIR", required=True, help="a new folder")
    _restore_words(_command(commands, "restore", "put both back as a backup holds them", _restore))
    _metric_words(_command(commands, "metric", "one metric over time", _metric))
    return parser


def _command(commands: Any, name: str, what: str, run: Run) -> ArgumentParser:
    parser: ArgumentParser = commands.add_parser(name, help=what, description=what)
    parser.set_defaults(run=run)
    return parser


def _load_words(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a folder in config/sources, or the path of such a folder")
    parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="where the source's files are")
    parser.add_argument("--replace-sample", action="store_true", help="take the sample company out first")


def _restore_words(parser: ArgumentParser) -> None:
    parser.add_argument("--from", type=Path, metavar="DIR", required=True, dest="folder", help="the backup")
    newer = "a newer backup: what was erased by then is erased again"
    parser.add_argument("--erased-by", type=Path, metavar="DIR", help=newer)
    parser.add_argument("--replace", action="store_true", help="what is there may go")


def _forget_words(parser: ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--account", metavar="ID")
    who.add_argument("--person", metavar="ID")


def _sample_words(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the files go")
    parser.add_argument("--end", type=date.fromisoformat, metavar="DAY", help="the first day not covered (today)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--contacts", type=int, default=SAMPLE_CONTACTS, help="about how many (%(default)s)")
    parser.add_argument("--artefact", metavar="KIND", help="spoil the data in one way, such as copied-period")


def _metric_words(parser: ArgumentParser) -> None:
    from queries.operations.metric_command import add_arguments  # noqa: PLC0415 - statistics take a second to import

    add_arguments(parser)


def _metric(arguments: Namespace) -> int:
    from queries.operations.metric_command import show_metric  # noqa: PLC0415

    return show_metric(arguments, _now())


def _load(arguments: Namespace) -> int:
    settings, catalog = _configured()
    source, folder = open_source(arguments.source, settings.config)
    order = LoadRequest(source, folder, arguments.data, catalog, settings.zone, arguments.replace_sample)
    with storage_errors_as_text(settings.data), closing(open_warehouse(settings)) as warehouse:
        _make_folder(settings)
        _tell(load(warehouse, order, _now(), _say))
    return 0


def _drop(arguments: Namespace) -> int:
    settings, catalog = _configured()
    with storage_errors_as_text(settings.data), closing(open_warehouse(settings)) as warehouse:
        _make_folder(settings)
        _tell(drop(warehouse, arguments.source, catalog, _now(), _say))
    return 0


def _forget(arguments: Namespace) -> int:
    kind: Kind = "account" if arguments.account else "person"
    key = arguments.account or arguments.person
    with _opened() as installation:
        forget(installation.warehouse, installation.states, kind, key, installation.catalog, _now(), _say)
    return 0


def _status(_: Namespace) -> int:
    settings = read_settings()
    with storage_errors_as_text(settings.data), closing(open_warehouse(settings)) as warehouse:
        for line in status_lines(warehouse, _now()):
            _say(line)
    return 0


def _backup(arguments: Namespace) -> int:
    from queries.operations.backup import backup  # noqa: PLC0415 - few commands need it

    with storage_errors_as_text(arguments.to.parent):
        backup(read_settings(), arguments.to, _now(), _say)
    return 0


def _restore(arguments: Namespace) -> int:
    from queries.operations.backup import restore  # noqa: PLC0415

    settings, catalog = _configured()
    _make_folder(settings)
    how = {"newer": arguments.erased_by, "replace": arguments.replace}
    with storage_errors_as_text(settings.data):
        restore(settings, arguments.folder, catalog, _now(), _say, **how)
    return 0


def _sample(arguments: Namespace) -> int:
    from queries.sample import generate  # noqa: PLC0415 - numpy is not needed by the other commands
    from queries.sample.spoil import plant, spoilt  # noqa: PLC0415

    end, kind = arguments.end or _now().date(), arguments.artefact
    with storage_errors_as_text(arguments.out):
        try:
            note = f", with {kind} in {spoilt(kind)}" if kind else ""
            generate(arguments.out, end=end, seed=arguments.seed, contacts=arguments.contacts)
            if kind:
                plant(kind, arguments.out, end)
        except ValueError as error:
            raise EarshotError(str(error)) from error
    how = f"python -m queries load sample --data {arguments.out}"
    _say(f"the sample company up to {end}{note} is in {arguments.out}: {how}")
    return 0


def _demo(_: Namespace) -> int:
    from queries.operations.demo import demo  # noqa: PLC0415

    with _opened() as installation:
        demo(installation, _now(), _say)
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _configured() -> tuple[Settings, Catalog]:
    settings = read_settings()
    return settings, read_catalog(settings.config, COLUMNS)


@contextmanager
def _opened() -> Iterator[Installation]:
    settings = read_settings()
    with storage_errors_as_text(settings.data):
        _make_folder(settings)
        with open_installation(settings) as installation:
            yield installation


def _make_folder(settings: Settings) -> None:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)


def _tell(summary: LoadReport) -> None:
    for line in summary.lines():
        _say(line)
    _say(f"{'published' if summary.published else 'nothing to publish'} after {summary.seconds:.1f} s")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
