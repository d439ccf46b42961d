"""`python -m triggers`, as an analyst and an operator use it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import pytest

from queries.engine import disposing
from queries.messages import lease_holder
from queries.state import open_state, read_incidents
from queries.warehouse import EVERYTHING
from tests.counterparts.slack import CHANNELS, Slack
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.installation import DEFECTS, GUARD, RULE, Terminal, configure, installed, share

ROOT: Final = Path(__file__).resolve().parents[2]
FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
OPENS: Final = date(2025, 12, 22)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    company = [w for name in ("Retail", "=cmd|' /C calc'!A0") for w in weeks(FIRST, STORY, vertical=name)]
    with warehouse(folder, catalog(rule()), rows_of(company)):
        pass
    return folder


@pytest.fixture
def triggers(
    tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    with installed(tmp_path, built, monkeypatch):
        yield Terminal(capsys)


def run(triggers: Terminal, day: date) -> str:
    return triggers("run", "--once", "--now", noon(day).isoformat())


def test_check_says_what_is_watched_and_what_is_missing(triggers: Terminal) -> None:
    printed = triggers("check")
    assert printed.startswith("1 rules, 1 enabled; no mistakes in ")
    assert "defects: window to " in printed
    assert "route delivery has no channel: its messages stay pending" in printed
    assert "no Slack token" in printed


@pytest.mark.parametrize(
    ("metric", "where", "is_inert"),
    [
        ("promise-kept", "", False),  # what the shipped goals are about
        ("promise-kept", 'where = { journey_type = "repair" }', True),  # a goal for all of it is none for a part
        ("many-defects", "", True),
    ],
)
def test_check_says_that_a_rule_without_a_goal_never_fires(
    triggers: Terminal, tmp_path: Path, metric: str, where: str, *, is_inert: bool
) -> None:
    kind = DEFECTS.replace('"threshold"', '"goal"').replace("limit = 0.25", where).replace("0.20", "0.0")
    (tmp_path / "config" / "triggers.toml").write_text(GUARD + kind.replace("defect-rate", metric), encoding="utf-8")
    said = f"defects: no goal, so it never fires; add one for {metric} with the same where to config/goals.toml"
    assert (said in triggers("check", "--quick")) == is_inert


def test_check_names_the_line_of_a_mistake(triggers: Terminal, tmp_path: Path) -> None:
    (tmp_path / "config" / "triggers.toml").write_text(RULE.replace("0.20", "0.30"), encoding="utf-8")
    printed = triggers("check", status=1)
    assert "triggers.toml:16: rule defects: recover 0.3 is on the bad side of limit 0.25" in printed


def test_a_run_without_a_token_keeps_its_messages(triggers: Terminal) -> None:
    run(triggers, OPENS - timedelta(weeks=1))
    assert "2 opened" in run(triggers, OPENS)
    assert "0 slots evaluated: 0 opened" in run(triggers, OPENS)
    printed = triggers("outbox")
    assert "2 pending, 0 rejected by Slack" in printed
    assert "no Slack token (EARSHOT_SLACK__TOKEN): nothing is sent" in printed


def test_incidents_in_every_form(triggers: Terminal) -> None:
    run(triggers, OPENS - timedelta(weeks=1))
    run(triggers, OPENS)
    rows = list(csv.DictReader(triggers("incidents", "--format", "csv").splitlines()))
    assert [(row["rule"], row["state"], row["n"]) for row in rows] == [("defects", "open", "200")] * 2
    assert {row["slice"] for row in rows} == {"vertical=Retail", "vertical==cmd\\|' /C calc'!A0"}
    assert json.loads(triggers("incidents", "--format", "json"))[0]["value"] == 0.4
    assert "defects" in triggers("incidents")
    assert triggers("incidents", "--format", "csv", "--state", "resolved").count("\n") == 1


def test_taking_on_and_closing(triggers: Terminal) -> None:
    run(triggers, OPENS - timedelta(weeks=1))
    run(triggers, OPENS)
    id_ = json.loads(triggers("incidents", "--format", "json"))[0]["id"]
    assert "acknowledged by ana" in triggers("ack", id_, "--by", "ana")
    assert "acknowledged by ana" in triggers("ack", id_, "--by", "ben")
    assert "closed" in triggers("resolve", id_, "--by", "ana", "--note", "spare part replaced")
    assert "was closed on" in triggers("resolve", id_, status=1)
    assert "spare part replaced" in triggers("explain", id_)
    assert "no incident nonsense" in triggers("ack", "nonsense", status=1)


def test_a_backtest_prints_what_can_be_compared(triggers: Terminal) -> None:
    words = ("backtest", "--since", "2025-12-01", "--until", "2026-03-01")
    rows = list(csv.reader(triggers(*words, "--format", "csv").splitlines()))
    assert rows[0] == ["rule", "slice", "class", "opened_at", "resolved_at", "value", "n"]
    assert len(rows) == 3
    assert "2 incidents; corrections" in triggers(*words, "--rule", "defects")
    assert "no rule named 'nonsense'; the rules are defects" in triggers(*words, "--rule", "nonsense", status=1)
    assert "--until is the day after" in triggers(
        "backtest", "--since", "2026-01-01", "--until", "2026-01-01", status=1
    )


def test_now_needs_once(triggers: Terminal) -> None:
    assert "--now needs --once" in triggers("run", "--now", "2026-01-01", status=1)


def test_nothing_is_loaded_yet(triggers: Terminal, tmp_path: Path) -> None:
    rmtree(tmp_path / "warehouse")
    assert "nothing is loaded yet" in triggers("check")
    assert "nothing is loaded yet" in triggers("run", "--once", status=1)


def start(environ: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "triggers", "run", "--interval", "1"]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_two_watchers_at_once_and_a_quiet_end(tmp_path: Path, built: Path, slack: Slack) -> None:
    """Started twice, what has always been so is told once, in one message; SIGTERM ends both cleanly."""
    rules = RULE.replace("limit = 0.25", "limit = 0.01").replace("recover = 0.20", "recover = 0.005")
    more = {"EARSHOT_SLACK__TOKEN": slack.token, "EARSHOT_SLACK__BASE_URL": slack.base_url}
    environ = configure(tmp_path, CHANNELS["service-quality"], rules) | more
    share(built / "warehouse", tmp_path / "warehouse")
    watchers = [start(environ) for _ in range(2)]
    try:
        _wait_for(lambda: slack.history("service-quality"))
        first = _holder(tmp_path)
        _wait_for(lambda: _holder(tmp_path) != first)
        for watcher in watchers:
            watcher.send_signal(signal.SIGTERM)
        ended = [watcher.communicate(timeout=60) for watcher in watchers]
    finally:
        for watcher in watchers:
            watcher.kill()
    assert [watcher.returncode for watcher in watchers] == [0, 0]
    assert all(out.rstrip().endswith("ended") for out, _ in ended)
    assert "Traceback" not in "".join(err for _, err in ended)
    states = open_state(tmp_path)
    with states.connect() as conn:
        assert (
            len([i for i in read_incidents(conn, EVERYTHING) if i.class_ == "customer"]) == 2
        )  # the guard names faults too
    states.dispose()
    (told,) = slack.history("service-quality")
    assert told["text"].startswith("2 breaches from before")


def _holder(data: Path) -> str:
    """Who ticked last. Whoever has ticked has set out to hear of its end, too."""
    with disposing(open_state(data)) as states, states.connect() as conn:
        lease = lease_holder(conn, "tick")
    assert lease is not None
    return lease.holder


def _wait_for(is_so: Any, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.3)
