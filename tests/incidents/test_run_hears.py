"""`run` hears of a load when it is published: its message comes at once, each one, and once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from pydantic import SecretStr

from config.settings import Settings, SlackSettings
from queries.state import open_state
from tests.benchmarks.delivering import company
from tests.counterparts.proxy import Call, FaultProxy
from tests.counterparts.slack import TOKEN
from triggers.processes import run
from triggers.processes.run import Runner

pytestmark = pytest.mark.slack
DEADLINE_S = 1.0
"""From the end of a load to its message; not asserted of machines that do much else."""
CALM_S = 1.6
"""After so long without a call, what the last load brought has been told and shown."""


@pytest.fixture
def _signals() -> Iterator[None]:
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.usefixtures("_signals")
def test_a_load_is_told_at_once(slack_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, prove: bool) -> None:  # noqa: FBT001
    loads, waited, failed = 100 if prove else 4, list[float](), list[BaseException]()
    # So long between looks that whatever arrives was heard of.
    monkeypatch.setattr(run, "POLL_S", 300.0)
    with company(1, slack_proxy.base_url) as made:
        called = [time.monotonic()]

        def note(call: Call) -> None:
            called[0] = time.monotonic()
            made.note(call)

        slack_proxy.choose = note
        slack = SlackSettings(token=SecretStr(TOKEN), base_url=slack_proxy.base_url)
        settings = Settings(config=made.folder / "config", data=made.folder, slack=slack)
        states = open_state(made.folder)
        # Beyond its hourly budget a channel gets a digest.
        routes = tuple(route.model_copy(update={"hourly": 2 * loads}) for route in made.catalog.routes)
        catalog = made.catalog.model_copy(update={"routes": routes})
        runner = Runner(settings, catalog, made.warehouse, states, lambda: datetime.now(UTC))
        runner.once()

        def load() -> None:
            try:
                time.sleep(2)  # it listens by then
                for number in range(loads):
                    committed = made.load()
                    waited.append(made.wait(number + 1) - committed)
                    # The channel takes one call a second, and a changed message is a call too.
                    while time.monotonic() - called[0] < CALM_S:
                        time.sleep(0.05)
            except BaseException as error:  # noqa: BLE001 - told by the test, once the loop has ended
                failed.append(error)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        loading = threading.Thread(target=load)
        loading.start()
        runner.forever(timedelta(hours=1), lambda _: None)
        loading.join()
        states.dispose()
        assert not failed
        assert len(made.arrived) == loads, "none is lost, and none is told twice"
    if prove:
        print(*(f"{wait:.3f}" for wait in sorted(waited)))
        assert sorted(waited)[ceil(0.99 * loads) - 1] < DEADLINE_S, sorted(waited)[-3:]
