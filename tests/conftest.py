"""What every test can ask for, what is done where a counterpart is missing, and that no test leaves this machine."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import time_machine
from playwright.sync_api import Browser

from tests.counterparts import browser as chromium
from tests.counterparts import postgres as postgresql
from tests.counterparts import proxy as proxies
from tests.counterparts import slack as emulator
from tests.counterparts.browser import PageAt
from tests.counterparts.postgres import NewDatabase, Postgres
from tests.counterparts.proxy import FaultProxy
from tests.counterparts.slack import Slack
from tests.support import (
    clocks,
    compiled,  # noqa: F401 - from here on engines share what they compile
)
from tests.support.clocks import Now
from tests.support.states import NewState, opener

SHARED: Final = Path(__file__).parents[2] / "shared" / "data"
NO_SKIP: Final = os.environ.get("CI") == "true"
LOOPBACK: Final = ("127.", "::1", "localhost", "0.0.0.0")
MARKED_BY_FIXTURE: Final = {"page_at": "browser", "postgres": "postgres", "slack": "slack", "shared_data": "shared"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run the whole matrices in place of seeded parts")


def pytest_configure() -> None:
    """The developer's own settings and proxies are not part of any test."""
    for name in list(os.environ):
        if name.startswith("EARSHOT_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            del os.environ[name]
    sys.addaudithook(_stay_on_this_machine)


def _stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not isinstance(arguments[1], tuple):
        return
    if not str(arguments[1][0]).startswith(LOOPBACK):
        message = f"a test tried to reach {arguments[1]}"
        raise RuntimeError(message)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests by what they ask for, and begins with the long ones: no worker is left with one at the end.

    What is marked `proof` is one of several alike: the others run always, all of them with --prove.
    """
    if not config.getoption("--prove"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("proof")])
        items[:] = [item for item in items if not item.get_closest_marker("proof")]
    for item in items:
        for fixture, marker in MARKED_BY_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
    items.sort(key=_minutes, reverse=True)


def _minutes(item: pytest.Item) -> int:
    """How long the file takes that a test is in, as its marker `slow` says; a worker takes whole files."""
    mark = item.get_closest_marker("slow")
    return int(mark.kwargs.get("minutes", 1)) if mark else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    return _no_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    return _no_skip((yield))


def _no_skip(report: Any) -> Any:
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"no skip is allowed in CI: {report.longrepr}"
    return report


def _need(missing: str | None) -> None:
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def prove(request: pytest.FixtureRequest) -> bool:
    """Whether the whole matrices are asked for (`make prove`)."""
    return bool(request.config.getoption("--prove"))


# The clock.

ASK_THE_CLOCK: Final = {"today", "now"}
DEALT: Final = pytest.StashKey[Counter[str]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `dated` runs once on each of its days; a test that asks for today must be."""
    mark = metafunc.definition.get_closest_marker("dated")
    if mark is not None:
        days = _days(metafunc, **mark.kwargs)
        metafunc.parametrize("clock", days.values(), ids=days, indirect=True)
    elif asked := (ASK_THE_CLOCK & set(metafunc.fixturenames)) - set(_given(metafunc)):
        message = f"{metafunc.definition.nodeid} asks for {', '.join(sorted(asked))} and is not marked `dated`"
        raise pytest.UsageError(message)


def _given(metafunc: pytest.Metafunc) -> Iterator[str]:
    """The arguments that a test's own cases are written for: they are no fixtures."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0]
        yield from ([name.strip() for name in names.split(",")] if isinstance(names, str) else names)


def _days(
    metafunc: pytest.Metafunc, only_today: str = "", if_proving: str = "", in_turn: str = ""
) -> Mapping[str, str | None]:
    """A test's days by their names. Each argument is a reason for fewer than all: see pyproject.toml."""
    is_proving = bool(metafunc.config.getoption("--prove"))
    if only_today or (if_proving and not is_proving):
        return {clocks.TODAY: None}
    if is_proving:
        return {clocks.TODAY: None, **clocks.WHOLE}
    days: dict[str, str | None] = {clocks.TODAY: None, **clocks.ORDINARY}
    if not in_turn:
        return days
    dealt, module = metafunc.config.stash.setdefault(DEALT, Counter()), str(metafunc.module.__name__)
    dealt[module] += 1
    return dict([[*days.items()][(dealt[module] - 1) % len(days)]])


@pytest.fixture(scope="module", autouse=True)
def clock(request: pytest.FixtureRequest) -> Iterator[None]:
    """What time it is: the real one, except on the days of a test marked `dated`. Time goes by on all of them."""
    then = getattr(request, "param", None)
    if then is None:
        yield
        return
    with time_machine.travel(datetime.fromisoformat(then), tick=True):
        yield


@pytest.fixture(scope="module")
def now(clock: None) -> Now:
    """A function that says what time it is, aware UTC."""
    return partial(datetime.now, UTC)


@pytest.fixture(scope="module")
def today(now: Now) -> date:
    """The day in UTC. What is laid by it holds on any day."""
    return now().date()


# The counterparts.


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data beside the checkout."""
    _need(None if SHARED.is_dir() else f"no {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def slack_process() -> Iterator[Slack]:
    _need(emulator.missing())
    with emulator.running() as slack:
        yield slack


@pytest.fixture
def slack(slack_process: Slack) -> Slack:
    """An empty Slack workspace."""
    slack_process.reset()
    return slack_process


@pytest.fixture
def slack_proxy(slack: Slack) -> Iterator[FaultProxy]:
    """The workspace of `slack` behind a proxy that keeps Slack's limits and fails on command."""
    with proxies.before(slack.base_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL cluster, one per worker."""
    _need(postgresql.missing())
    with postgresql.running() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def new_database(postgres: Postgres) -> NewDatabase:
    """A function that makes one more empty database: `with new_database() as url`."""
    return postgres.database


@pytest.fixture
def new_state() -> Iterator[NewState]:
    """A function that opens a state, in memory or in a folder; what it opened is closed after the test."""
    with opener() as new:
        yield new


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    _need(chromium.missing())
    with chromium.running() as running:
        yield running


@pytest.fixture
def page_at(browser: Browser, tmp_path: Path) -> Iterator[PageAt]:
    """A function `(width, height, scheme) -> Tab`, a fresh page in Chromium."""
    with chromium.pages(browser, tmp_path) as opener:
        yield opener
