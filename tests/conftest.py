"""What every test can ask for, what is done where a counterpart is missing, and that no test leaves this machine."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser

from tests.counterparts import browser as chromium
from tests.counterparts import postgres as postgresql
from tests.counterparts import proxy as proxies
from tests.counterparts import slack as emulator
from tests.counterparts.browser import PageAt
from tests.counterparts.postgres import NewDatabase, Postgres
from tests.counterparts.proxy import FaultProxy
from tests.counterparts.slack import Slack
from tests.states import NewState, opener

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
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by what they ask for. Browser tests run one at a time: the servers they visit need the other core."""
    for item in items:
        for fixture, marker in MARKED_BY_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))


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
