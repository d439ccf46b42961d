"""What can be checked of containers and units without an engine: files exist, and commands are known."""

import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Final

import pytest

from config.settings import VARIABLES
from queries.__main__ import parser as queries_parser
from triggers.__main__ import parser as triggers_parser

ROOT: Final = Path(__file__).parents[2]
UNITS: Final = sorted((ROOT / "docs" / "how-to" / "systemd").glob("*.service"))
COMPOSE: Final = (ROOT / "compose.yaml").read_text("utf-8")
PARSERS: Final[dict[str, ArgumentParser]] = {"triggers": triggers_parser(), "queries": queries_parser()}


def known(words: list[str]) -> bool:
    """Whether `python -m PACKAGE ...` is a command of ours, as its parser understands it."""
    package, rest = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    if package == "dashboard":
        return not rest
    PARSERS[package].parse_args(rest)
    return True


def commands() -> Iterator[tuple[str, list[str]]]:
    for unit in UNITS:
        parser = ConfigParser(strict=True, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(unit, "utf-8")
        yield unit.name, shlex.split(parser["Service"]["ExecStart"])
    for line in re.findall(r"^ +command: \[(.*)\]$", COMPOSE, re.MULTILINE):
        yield "compose.yaml", re.findall(r'"([^"]*)"', line)
    (line,) = re.findall(r"^CMD \[(.*)\]$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    yield "Dockerfile", re.findall(r'"([^"]*)"', line)


@pytest.mark.parametrize(
    ("where", "words"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_one_of_ours(where: str, words: list[str]) -> None:
    assert Path(words[0]).name == "python"
    assert known(words)


def test_what_the_image_copies_is_there() -> None:
    """And with the four packages all that is installed."""
    lines = re.findall(r"^COPY (.*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"config/", "queries/", "triggers/", "dashboard/", "pyproject.toml", "constraints.txt"} <= copied


def test_every_variable_is_a_setting() -> None:
    text = COMPOSE + (ROOT / "Dockerfile").read_text("utf-8")
    assert set(re.findall(r"EARSHOT_[A-Z_]*[A-Z]", text)) <= VARIABLES


def test_the_services_of_compose_are_the_processes_and_each_volume_is_declared() -> None:
    """No YAML reader is among our packages: the file keeps to one key a line, two spaces a level."""
    top = re.split(r"^(?=\S)", COMPOSE, flags=re.MULTILINE)
    parts = {part.partition(":")[0]: part for part in top if part and not part.startswith("#")}
    services = re.findall(r"^  (\w+):$", parts["services"], re.MULTILINE)
    assert services == ["postgres", "run", "listen", "audit", "dashboard"]
    assert parts["services"].count("<<: *earshot") == len(services) - 1
    mounted = set(re.findall(r"^ +- (\w+):/", COMPOSE, re.MULTILINE))
    assert mounted == set(re.findall(r"^  (\w+):$", parts["volumes"], re.MULTILINE))
    assert all((len(line) - len(line.lstrip())) % 2 == 0 and "\t" not in line for line in COMPOSE.splitlines())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_ends_its_process_gently_and_may_write_only_its_data(unit: Path) -> None:
    text = unit.read_text("utf-8")
    assert "ReadWritePaths=/opt/earshot/data" in text
    assert "ProtectSystem=strict" in text
    assert "KillSignal" not in text  # SIGTERM is what every process understands


BUSY: Final = """
import threading, time
import duckdb
from queries.operations import end_process

def query():
    with duckdb.connect() as conn:
        begun.set()
        while True:
            conn.execute("select sum(range) from range(10000000)").fetchall()

begun = threading.Event()
threading.Thread(target=query, daemon=True).start()
begun.wait()
time.sleep(0.2)
print("said")
end_process({status})
"""


@pytest.mark.parametrize("status", [0, 1])
def test_a_process_ends_with_its_status_while_a_thread_is_in_the_database(status: int) -> None:
    """By `sys.exit` alone it aborts: a message's picture that is still being drawn was enough."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY.format(status=status)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "said\n", "")
