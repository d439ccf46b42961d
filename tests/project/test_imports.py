"""Who may import whom, and who may ask for the time."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("config", "queries", "triggers", "dashboard")
OURS: Final = {
    "config": (),
    "queries": ("config",),
    "triggers": ("config", "queries"),
    "dashboard": ("config", "queries"),
}
PURE: Final = (
    *(
        "triggers.rules.state_machine",
        "triggers.incidents.escalation",
        "triggers.messages.card",
        "triggers.lab.backtest",
        "triggers.incidents.ledger",
    ),
    *(
        "triggers.lab.what_if",
        "triggers.lab.parameter_sweep",
        "triggers.lab.typical_range",
        "triggers.lab.setting",
        "triggers.lab.false_alarms",
        "triggers.lab.scores",
        "triggers.lab.rule_toml",
    ),
    *("triggers.incidents.notification_load", "triggers.rules.subject", "triggers.messages.wording"),
)
ONLY_IN: Final = {
    "slack_sdk": ("triggers/slack.py", "triggers/listen.py"),
    **dict.fromkeys(("streamlit", "altair", "pandas"), ("dashboard/",)),
    **dict.fromkeys(("duckdb", "psycopg", "sqlite3"), ("queries/",)),
    "duckdb_engine": (),
}
SQL_FREE: Final = ("dashboard/", "triggers/")  # they may name a connection, and nothing else of SQLAlchemy
CONNECTION: Final = {"sqlalchemy.Connection", "sqlalchemy.Engine"}
SHELL: Final = ("__main__", "commands", "app", "run", "listen", "audit", "slack", "worker")  # may read the clock
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
BY_THE_REAL_CLOCK: Final = {
    "conftest.py": "tests are given `now` and `today`, and live on other days where they are marked `dated`",
    "clocks.py": "what a test starts begins at the test's own time",
    "faults/ground.py": "couriers that are killed work by the clock of the Slack emulator",
    "faults/worker.py": "couriers that are killed work by the clock of the Slack emulator",
    "faults/naive.py": "couriers that are killed work by the clock of the Slack emulator",
    "faults/matrix.py": "couriers that are killed work by the clock of the Slack emulator",
    "benchmarks/delivering.py": "delays are measured on the clock of the Slack emulator",
}
VAGUE: Final = {"utils", "util", "helpers", "common", "manager", "service", "base", "misc"}
FILES: Final = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names: `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def faults(path: Path) -> Iterator[str]:
    where = path.relative_to(ROOT).as_posix()
    package = where.split("/")[0]
    for name in imported(ast.parse(path.read_text("utf-8"))):
        top = name.split(".")[0]
        pure = package == "dashboard" and name.startswith(PURE)
        if top in PACKAGES and top not in (package, *OURS[package]) and not pure:
            yield f"{where} imports {name}"
        if top in ONLY_IN and not where.startswith(ONLY_IN[top]):
            yield f"{where} imports {name}, which belongs to {ONLY_IN[top] or 'nobody'}"
        if top == "sqlalchemy" and where.startswith(SQL_FREE) and name not in CONNECTION:
            yield f"{where} imports {name}: SQL belongs to queries/"


def clock_reads(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            call = f"{node.func.value.id}.{node.func.attr}"
            if call in ("datetime.now", "datetime.utcnow", "date.today", "time.time"):
                yield f"line {node.lineno}: {call}()"


def test_tests_are_given_their_today() -> None:
    """And none of those that may ask the clock themselves is on the list for nothing."""
    asking = {path.relative_to(ROOT / "tests").as_posix() for path in TESTS if asks(path.read_text("utf-8"))}
    assert asking == BY_THE_REAL_CLOCK.keys()


def asks(text: str) -> bool:
    return any(name in _CLOCKS for name in mentioned(ast.parse(text)))


_CLOCKS: Final = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns")


def mentioned(tree: ast.AST) -> Iterator[str]:
    """`a.b` wherever it is read, called or not, from imported modules too: `dt.datetime.now` is datetime.now."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of = node.value
            name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
            yield f"{name}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("text", "is_asking"),
    [
        ("datetime.now(UTC)", True),
        ("partial(datetime.now, UTC)", True),
        ("dt.date.today()", True),
        ("from time import time", True),
        ("time.monotonic()", False),
        ("from time import perf_counter, sleep", False),
        ("now()", False),
    ],
)
def test_asking_is_seen(text: str, is_asking: bool) -> None:  # noqa: FBT001
    assert asks(text) == is_asking


def test_imports_go_one_way() -> None:
    assert [fault for path in FILES for fault in faults(path)] == []


@pytest.mark.parametrize("path", [p for p in FILES if p.stem not in SHELL], ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_shell_reads_the_clock(path: Path) -> None:
    assert list(clock_reads(ast.parse(path.read_text("utf-8")))) == []


def test_every_file_is_named_for_what_it_holds() -> None:
    assert [path for path in FILES if path.stem in VAGUE] == []


def test_no_dashboard_file_hides_a_package() -> None:
    """Streamlit puts the script's folder first on sys.path."""
    assert [path for path in (ROOT / "dashboard").glob("*") if path.stem in PACKAGES] == []


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("import a.b", ["a.b"]),
        ("from a import b, c", ["a.b", "a.c"]),
        ("from . import b", ["..b"]),
        ("def f():\n    from a import b", ["a.b"]),
    ],
)
def test_imports_are_seen(line: str, names: list[str]) -> None:
    assert list(imported(ast.parse(line))) == names
