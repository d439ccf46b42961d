"""Rules that change while they are watched: read whole, swapped at once, and who wrote them."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select

from config.reading import files_of_drafts, read_catalog
from config.settings import Settings, read_settings
from queries.state import open_state, read_incidents, tables
from queries.warehouse import COLUMNS, EVERYTHING
from tests.support.company import catalog, noon, publish, rows_of, rule, warehouse, weeks
from tests.support.installation import RULE, configure
from triggers.__main__ import main
from triggers.incidents.tick import tick
from triggers.rules import LiveRules, Rules, author
from triggers.rules.live_rules import files_fingerprint

ROOT: Final = Path(__file__).resolve().parents[2]
FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 30
git: Final = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(configure(tmp_path), dotenv=None)


@dataclass(slots=True)
class Desk:
    """Somebody who edits a config folder that a rulebook follows."""

    settings: Settings
    book: LiveRules

    def save(self, text: str, name: str = "triggers.toml") -> None:
        (self.settings.config / name).write_text(text, encoding="utf-8")

    def look(self) -> Rules:
        """Twice, since a file is read once it stopped changing."""
        self.book.current()
        return self.book.current()


@pytest.fixture
def desk(settings: Settings) -> Desk:
    found = Rules(read_catalog(settings.config, COLUMNS), "Ana")
    environ = {"EARSHOT_CONFIG": str(settings.config), "EARSHOT_DATA": str(settings.data)}
    return Desk(settings, LiveRules(settings, found, COLUMNS, lambda: read_settings(environ, dotenv=None)))


def limit(rules: Rules) -> float:
    return float(rules.catalog.rules[0].model_dump()["limit"])


def test_the_same_rules_stay_the_same_object(desk: Desk) -> None:
    assert desk.look() is desk.look()
    os.utime(desk.settings.config / "triggers.toml")
    desk.save(RULE)
    assert desk.look() is desk.book.current()


def test_changed_rules_are_used_once_the_file_rests(desk: Desk) -> None:
    before = desk.look()
    desk.save(RULE.replace("limit = 0.25", "limit = 0.30"))
    assert desk.book.current() is before
    assert limit(desk.book.current()) == 0.30


def test_half_a_file_is_not_read(desk: Desk) -> None:
    """The first of two rules alone would be valid, and would end the incidents of the second."""
    two = RULE + RULE[RULE.index("[[rule]]") :].replace('"defects"', '"more"')
    desk.save(two)
    assert len(desk.look().catalog.rules) == 2
    desk.save(RULE)
    assert len(desk.book.current().catalog.rules) == 2
    desk.save(two.replace("limit = 0.25", "limit = 0.30"))
    assert {len(desk.book.current().catalog.rules) for _ in range(3)} == {2}
    assert limit(desk.book.current()) == 0.30


def test_a_bad_file_keeps_the_old_rules_and_says_so_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    before = desk.look()
    desk.save(RULE.replace("recover = 0.20", "recover = 0.40"))
    with caplog.at_level(logging.INFO, logger="triggers"):
        refused = desk.look()
        assert desk.look() is refused
    line = RULE.splitlines().index("recover = 0.20") + 1
    said = f"triggers.toml:{line}: rule defects: recover 0.4 is on the bad side of limit 0.25"
    assert refused.catalog is before.catalog
    assert (refused.author, limit(refused)) == ("Ana", 0.25)
    assert said in refused.refused
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert said in caplog.text


def test_a_mended_file_is_used(desk: Desk) -> None:
    desk.save("[[rule")
    assert "not TOML" in desk.look().refused
    desk.save(RULE.replace("limit = 0.25", "limit = 0.30"))
    assert (desk.look().refused, limit(desk.look())) == ("", 0.30)


def test_what_is_wrong_between_files_is_seen(desk: Desk) -> None:
    """The rule's file is as it was; the route that it names went away."""
    routes = (desk.settings.config / "routing.toml").read_text("utf-8")
    desk.save(routes.replace('name = "delivery"', 'name = "deliveries"'), "routing.toml")
    assert "unknown route 'delivery'; did you mean 'deliveries'?" in desk.look().refused


def test_a_strange_or_missing_file_is_a_mistake_too(desk: Desk) -> None:
    desk.save("", "trigers.toml")
    assert "nothing reads this file; did you mean 'triggers.toml'?" in desk.look().refused
    (desk.settings.config / "trigers.toml").unlink()
    assert desk.look().refused == ""
    (desk.settings.config / "goals.toml").unlink()
    assert "the file is missing" in desk.look().refused


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("draft.toml", RULE[RULE.index("[[rule]]") :]),
        ("known.toml", "[[known]]\n"),
        ("tuning-2026.toml", ""),
        ("half-done.toml", "[[rule"),  # it is being written
    ],
)
def test_a_draft_in_the_folder_stops_nothing(desk: Desk, name: str, text: str) -> None:
    desk.save(text, name)
    assert desk.look().refused == ""
    assert files_of_drafts(desk.settings.config) == (desk.settings.config / name,)


@pytest.mark.parametrize("name", ["trigger.toml", "Triggers2.toml", "calender.toml", "setings.toml"])
def test_what_is_nearly_the_name_of_a_file_is_mistyped(desk: Desk, name: str) -> None:
    desk.save(RULE, name)
    assert f"{name}:1: nothing reads this file" in desk.look().refused


def test_what_no_command_reads_is_a_mistake(desk: Desk) -> None:
    desk.save("[[route]]\n", "teams.toml")
    assert "teams.toml:1: nothing reads this file" in desk.look().refused


def test_changed_settings_wait_for_the_next_start(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    text = (desk.settings.config / "settings.toml").read_text("utf-8")
    desk.save('currency = "CHF"\n' + text.replace("currency", "# currency"), "settings.toml")
    desk.look()
    assert desk.look().refused == ""
    assert caplog.text.count("takes effect when this process is started again") == 1


def test_the_fingerprint_is_of_what_files_hold(settings: Settings) -> None:
    before = files_fingerprint(settings.config)
    os.utime(settings.config / "goals.toml", (1, 1))
    assert files_fingerprint(settings.config) == before
    (settings.config / "goals.toml").unlink()
    assert files_fingerprint(settings.config) != before


def test_an_open_incident_stays_with_its_version_through_a_change(desk: Desk, tmp_path: Path) -> None:
    """Opened at 25%, it is still open at 20% of defects under the rule that it began with; the new one has no say."""
    desk.save(RULE.replace("false_alarms_per_year = 6", 'gate = "none"\nfalse_alarms_per_year = 6'))
    old = desk.look().catalog
    desk.save(
        RULE.replace("false_alarms_per_year = 6", 'gate = "none"\nfalse_alarms_per_year = 6')
        .replace("limit = 0.25", "limit = 0.50")
        .replace("recover = 0.20", "recover = 0.45")
    )
    new, states = desk.look().catalog, open_state(tmp_path)
    story = (4,) * 10 + (20,) * 8 + (11,) * 4 + (4,) * 8
    when = [noon(FIRST + timedelta(weeks=i)) for i in range(18, 34)]
    with warehouse(tmp_path, old, rows_of(weeks(FIRST, story))) as made, made.pin() as pin:
        tick(states, pin, old, when[0], author="Ana")
        for now in when[1:]:
            tick(states, pin, new, now, author="Ben")
    with states.connect() as conn:
        (incident,) = (found for found in read_incidents(conn, EVERYTHING) if found.rule == "defects")
        stored = conn.execute(select(tables.rule_version).where(tables.rule_version.c.rule == "defects"))
        authors = {row.hash: row.author for row in stored}
    states.dispose()
    assert authors[incident.rule_hash] == "Ana"
    assert set(authors.values()) == {"Ana", "Ben"}
    assert incident.resolved_at is not None
    assert incident.resolved_at.date() > FIRST + timedelta(weeks=24)  # at 22% the new version would have let it go


# Who wrote them.


def run_git(folder: Path, *words: str) -> None:
    command = ["git", "-C", str(folder), "-c", "user.name=Ana Lyst", "-c", "user.email=ana@example.com", *words]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder in a repository of its own; the machine's own git settings do not count."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    folder = tmp_path / "repository" / "config"
    folder.mkdir(parents=True)
    (folder / "triggers.toml").write_text("# rules\n", encoding="utf-8")
    run_git(folder.parent, "init", "--quiet")
    run_git(folder.parent, "add", ".")
    run_git(folder.parent, "commit", "--quiet", "--message", "Rules")
    return folder


@git
def test_committed_rules_are_by_who_committed_them(kept: Path) -> None:
    assert author(kept) == "Ana Lyst"
    (kept.parent / "other").write_text("x", encoding="utf-8")
    assert author(kept) == "Ana Lyst"


@git
def test_changed_rules_are_by_who_is_here(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept / "triggers.toml").write_text("# other rules\n", encoding="utf-8")
    monkeypatch.setenv("LOGNAME", "ben")
    assert author(kept) == "ben"
    run_git(kept.parent, "config", "user.name", "Ben Builder")
    assert author(kept) == "Ben Builder"


@git
def test_rules_that_were_never_committed_are_by_who_is_here(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_git(kept.parent, "rm", "--quiet", "--cached", "config/triggers.toml")
    monkeypatch.setenv("LOGNAME", "ben")
    assert author(kept) == "ben"


def test_nobody_is_known_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert author(tmp_path) is None
    assert author(tmp_path / "not there") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert author(tmp_path) is None


def test_the_rules_are_listed_with_version_author_and_open_incidents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in configure(tmp_path).items():
        monkeypatch.setenv(name, value)
    config = read_catalog(tmp_path / "config", COLUMNS)
    assert main(["rules"]) == 0
    assert "not evaluated" in capsys.readouterr().out
    with warehouse(tmp_path, config, rows_of(weeks(FIRST, STORY))) as made, made.pin() as pin:
        states = open_state(tmp_path)
        tick(states, pin, config, noon(date(2026, 2, 2)), author="Ana")
        states.dispose()
    assert main(["rules"]) == 0
    head, row = capsys.readouterr().out.splitlines()[:2]
    assert head.split() == ["rule", "kind", "on", "version", "author", "since", "open", "older"]
    found = row.split()
    assert (found[:3], found[4:]) == (
        ["defects", "threshold", "yes"],
        ["Ana", "2026-02-02T12:00:00+00:00", "1", "0"],
    )
    text = (tmp_path / "config" / "triggers.toml").read_text("utf-8")
    (tmp_path / "config" / "triggers.toml").write_text(text.replace("limit = 0.25", "limit = 0.30"), encoding="utf-8")
    assert main(["rules"]) == 0
    changed = capsys.readouterr().out.splitlines()[1].split()
    assert changed[3] != found[3]
    assert changed[-2:] == ["1", "1"]


# A real process.


@contextmanager
def running(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "triggers", "run", "--interval", "1"]
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Watched:
    """A process that watches, and what it leaves in its state and its log."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8")

    def evaluated(self) -> tuple[int, float]:
        """The newest generation that was evaluated, and the limit of the rule by which it was."""
        slot, version = tables.eval_slot, tables.rule_version
        query = select(slot.c.generation, version.c.body).join_from(slot, version, slot.c.rule_hash == version.c.hash)
        query = query.where(slot.c.rule == "defects").order_by(slot.c.generation.desc(), slot.c.slot.desc()).limit(1)
        found = self._first(query)
        return (found[0], json.loads(found[1])["rule"]["limit"]) if found else (0, 0.0)

    def note(self) -> str:
        found = self._first(select(tables.heartbeat.c.note).where(tables.heartbeat.c.name == "triggers"))
        return found[0] if found else ""

    def _first(self, query: Any) -> Any:
        states = open_state(self.folder)
        try:
            with states.connect() as conn:
                return conn.execute(query).first()
        finally:
            states.dispose()

    def save(self, text: str) -> None:
        """As an editor does: another file, moved into place."""
        other = self.folder / "config" / "triggers.toml.new"
        other.write_text(text, encoding="utf-8")
        other.replace(self.folder / "config" / "triggers.toml")

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + 120
        while not is_so():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.3)


@pytest.mark.slow
def test_a_running_process_takes_new_rules_and_keeps_the_old_ones_while_they_are_bad(tmp_path: Path) -> None:
    """Each new generation is evaluated anew, by the rules that are in use then."""
    environ, config, rows = configure(tmp_path), catalog(rule()), rows_of(weeks(FIRST, STORY))
    open_state(tmp_path).dispose()
    with warehouse(tmp_path, config, rows) as made, running(environ, tmp_path / "log") as process:
        here = Watched(tmp_path, process)
        here.wait_for(lambda: here.evaluated() == (1, 0.25))
        here.save(RULE.replace("limit = 0.25", "limit = 0.31"))
        here.wait_for(lambda: here.log.count("the configuration changed: 1 rules are in use") == 1)
        publish(made, config, rows)
        here.wait_for(lambda: here.evaluated() == (2, 0.31))
        here.save(RULE.replace("recover = 0.20", "recover = 0.90"))
        here.wait_for(lambda: "recover 0.9 is on the bad side of limit 0.25" in here.note())
        publish(made, config, rows)
        here.wait_for(lambda: here.evaluated() == (3, 0.31))
        here.save(RULE.replace("limit = 0.25", "limit = 0.37"))
        here.wait_for(lambda: here.note() == "3")
        publish(made, config, rows)
        here.wait_for(lambda: here.evaluated() == (4, 0.37))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert here.log.rstrip().endswith("ended")
    assert here.log.count("the rules from before stay in use") == 1
    assert re.search(r"/config/triggers\.toml:\d+: rule defects: recover 0.9 is on the bad side", here.log)
    assert "Traceback" not in here.log
