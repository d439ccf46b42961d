"""Who may import whom, and who may ask for the time."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("config", "queries", "triggers", "dashboard")
ARROWS: Final = (
    *("dashboard.__main__", "dashboard.server", "dashboard.app", "dashboard.views", "dashboard.navigation"),
    *(
        "dashboard.accounts",
        "dashboard.incident",
        "dashboard.review",
        "dashboard.lab",
        "dashboard.page_session",
        "dashboard.customers",
        "dashboard.cache",
    ),
    *(
        "dashboard.markup",
        "dashboard.charts",
        "dashboard.memory",
        "dashboard.guard",
        "dashboard.stores",
        "dashboard.viewer",
        "dashboard",
    ),
    *("triggers.__main__", "triggers.commands", "triggers.processes", "triggers.lab"),
    *("triggers.rule_tests", "triggers.slack", "triggers.messages", "triggers.incidents", "triggers.data_faults"),
    *("triggers.evaluation", "triggers.evaluation.kinds", "triggers.rules", "triggers.data_faults.detectors"),
    *(
        "triggers.logs",
        "queries.__main__",
        "queries.operations",
        "queries.documents",
        "queries.review",
        "queries.loading.formats",
    ),
    *(
        "queries.loading",
        "queries.sample",
        "queries.accounts",
        "queries.monitoring",
        "queries.metrics",
        "queries.messages",
    ),
    *("queries.stores", "queries.state", "queries.state.migrations", "queries.warehouse"),
    *("queries.statistics", "queries.engine"),
    *("config.settings", "config.reading", "config.models", "config"),
)
"""Every room, and every module that stands beside the rooms: each may import only what comes after it."""
TO_TRIGGERS: Final = ("incidents", "messages", "lab", "rules", "evaluation.kinds")
"""The rooms of triggers that pages may use."""
SET_FIRST: Final = ("config",)  # it says how many threads numpy may use, before numpy is imported
LOADED_BY_ALEMBIC: Final = "queries/state/migrations/env.py"
ONLY_IN: Final = {
    "slack_sdk": ("triggers/slack/",),
    **dict.fromkeys(("streamlit", "pandas"), ("dashboard/",)),
    "altair": ("dashboard/", "triggers/messages/picture.py"),
    **dict.fromkeys(("duckdb", "psycopg", "sqlite3"), ("queries/",)),
    "duckdb_engine": (),
}
SQL_FREE: Final = ("dashboard/", "triggers/")  # they may name a connection, and nothing else of SQLAlchemy
CONNECTION: Final = {"sqlalchemy.Connection", "sqlalchemy.Engine"}
SHELL: Final = (  # may read the clock
    *("**/__main__.py", "triggers/commands/*.py", "triggers/processes/run.py", "triggers/processes/audit.py"),
    *("triggers/slack/client.py", "triggers/slack/socket_mode.py", "dashboard/app.py", "dashboard/page_session.py"),
    "dashboard/stores.py",  # the health check, as of now
)
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
BY_THE_REAL_CLOCK: Final = {
    "conftest.py": "tests are given `now` and `today`, and live on other days where they are marked `dated`",
    "support/clocks.py": "what a test starts begins at the test's own time",
    "slack/faults/ground.py": "workers that are killed work by the clock of the Slack emulator",
    "slack/faults/worker.py": "workers that are killed work by the clock of the Slack emulator",
    "slack/faults/naive.py": "workers that are killed work by the clock of the Slack emulator",
    "slack/faults/matrix.py": "workers that are killed work by the clock of the Slack emulator",
    "incidents/test_run_hears.py": "from a load's end to its message is measured as it passes",
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


def room(module: str) -> str | None:
    """The longest place of ARROWS that a dotted name lies in."""
    return max((place for place in ARROWS if f"{module}.".startswith(f"{place}.")), key=len, default=None)


def faults(path: Path) -> Iterator[str]:
    where = path.relative_to(ROOT).as_posix()
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name in imported(ast.parse(path.read_text("utf-8"))):
        top = name.split(".")[0]
        if top in PACKAGES and where != LOADED_BY_ALEMBIC and name not in SET_FIRST:
            other = room(name)
            if own is None or other is None or (own != other and ARROWS.index(own) > ARROWS.index(other)):
                yield f"{where} imports {name}"
            allowed = name.startswith(tuple(f"triggers.{place}" for place in TO_TRIGGERS))
            if where.startswith("dashboard/") and top == "triggers" and not allowed:
                yield f"{where} imports {name}, which is not for pages"
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


def may_read_the_clock(path: Path) -> bool:
    return any(path.relative_to(ROOT).match(pattern) for pattern in SHELL)


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


@pytest.mark.parametrize(
    "path", [p for p in FILES if not may_read_the_clock(p)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_only_the_shell_reads_the_clock(path: Path) -> None:
    assert list(clock_reads(ast.parse(path.read_text("utf-8")))) == []


def test_every_file_is_named_for_what_it_holds() -> None:
    assert [path for path in FILES if path.stem in VAGUE] == []


def test_no_dashboard_file_hides_a_package() -> None:
    """Streamlit puts the script's folder first on sys.path."""
    hidden = {*PACKAGES, *sys.stdlib_module_names} - {"__main__"}
    assert [path for path in (ROOT / "dashboard").glob("*") if path.stem in hidden] == []


def test_a_command_starts_without_what_few_commands_need() -> None:
    """Each takes a second or so: whoever needs it imports it then."""
    code = "import sys, queries.__main__, triggers.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"alembic", "altair", "vl_convert", "pandas", "scipy.stats", "statsmodels"}.isdisjoint(done.stdout.split())


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
