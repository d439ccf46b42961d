"""`python -m queries`: load, drop, forget, status, sample, demo, metric."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from config.catalog import Catalog
from config.errors import EarshotError
from config.reading import read_catalog
from config.settings import Settings, read_settings
from queries import metric_command
from queries.demo import SAMPLE_CONTACTS, demo
from queries.drop import drop
from queries.faults import spoken
from queries.forget import forget
from queries.load import Order, load
from queries.relations import COLUMNS
from queries.sample import generate
from queries.source import open_source
from queries.status import status_lines
from queries.stores import open_states, open_warehouse
from queries.summary import Summary

say = partial(print, flush=True)


def main(words: list[str]) -> int:
    """Run one command. Returns the exit status: 0 done, 1 refused, 130 interrupted; argparse exits with 2."""
    os.umask(0o077)
    arguments = parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except EarshotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the warehouse stays as it was", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]
        return 1


def parser() -> ArgumentParser:
    """The words of every command."""
    found = ArgumentParser(prog="python -m queries", description="The warehouse: what comes in, and what is in it.")
    commands = found.add_subparsers(required=True, metavar="COMMAND")
    _load_words(_command(commands, "load", "bring a source's files into the warehouse", _load))
    _command(commands, "drop", "take a source out of the warehouse", _drop).add_argument("source", metavar="SOURCE")
    _forget_words(_command(commands, "forget", "erase an account or a person for ever", _forget))
    _command(commands, "status", "generations, rows, freshness and quarantine", _status)
    _sample_words(_command(commands, "sample", "write the files of the sample company", _sample))
    _command(commands, "demo", "make and load the sample company once, then keep it", _demo)
    metric_command.add_arguments(_command(commands, "metric", "one metric over time", metric_command.run))
    return found


def _command(commands: Any, name: str, what: str, run: Callable[[Namespace], int]) -> ArgumentParser:
    found: ArgumentParser = commands.add_parser(name, help=what, description=what)
    found.set_defaults(run=run)
    return found


def _load_words(words: ArgumentParser) -> None:
    words.add_argument("source", metavar="SOURCE", help="a folder in config/sources, or a path to such a folder")
    words.add_argument("--data", type=Path, metavar="DIR", required=True, help="where the source's files are")
    words.add_argument("--replace-sample", action="store_true", help="drop the sample company first")


def _forget_words(words: ArgumentParser) -> None:
    who = words.add_mutually_exclusive_group(required=True)
    who.add_argument("--account", metavar="ID", help="the account, with all its people")
    who.add_argument("--person", metavar="ID", help="one person; the account's facts stay, without them")


def _sample_words(words: ArgumentParser) -> None:
    words.add_argument("--out", type=Path, metavar="DIR", required=True, help="the folder to write to")
    words.add_argument("--end", type=_day, metavar="DAY", help="the first day not covered (default: today)")
    words.add_argument("--contacts", type=int, default=SAMPLE_CONTACTS, metavar="N", help="about how many contacts")
    words.add_argument("--seed", type=int, default=1, metavar="N", help="another seed is another company")


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _now() -> datetime:
    return datetime.now(tz=UTC)


def _configured() -> tuple[Settings, Catalog]:
    settings = read_settings()
    return settings, read_catalog(settings.config, COLUMNS)


def _load(arguments: Namespace) -> int:
    settings, catalog = _configured()
    source, folder = open_source(arguments.source, settings.config)
    order = Order(source, folder, arguments.data, catalog, settings.zone, arguments.replace_sample)
    with spoken(settings.data), closing(open_warehouse(settings)) as warehouse:
        _tell(load(warehouse, order, _now(), say))
    return 0


def _drop(arguments: Namespace) -> int:
    settings, catalog = _configured()
    with spoken(settings.data), closing(open_warehouse(settings)) as warehouse:
        _tell(drop(warehouse, arguments.source, catalog, _now(), say))
    return 0


def _forget(arguments: Namespace) -> int:
    settings, catalog = _configured()
    kind, key = ("account", arguments.account) if arguments.account else ("person", arguments.person)
    with spoken(settings.data), closing(open_warehouse(settings)) as warehouse:
        forget(warehouse, open_states(settings), kind, key, catalog, _now(), say)
    return 0


def _status(_: Namespace) -> int:
    settings = read_settings()
    with closing(open_warehouse(settings)) as warehouse:
        for line in status_lines(warehouse, _now()):
            say(line)
    return 0


def _sample(arguments: Namespace) -> int:
    with spoken(arguments.out):
        try:
            generate(
                arguments.out, end=arguments.end or _now().date(), seed=arguments.seed, contacts=arguments.contacts
            )
        except ValueError as error:
            raise EarshotError(str(error)) from error
    say(f"wrote the sample company to {arguments.out}")
    return 0


def _demo(_: Namespace) -> int:
    settings, catalog = _configured()
    with spoken(settings.data), closing(open_warehouse(settings)) as warehouse:
        demo(settings, catalog, warehouse, open_states(settings), _now(), say)
    return 0


def _tell(summary: Summary) -> None:
    for line in summary.lines():
        say(line)
    fate = "published" if summary.published else "nothing changed"
    say(f"{summary.source}: {fate} after {summary.seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
