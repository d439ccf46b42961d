"""One door: what a store, the machine or a slip of the pen does is one line, and a mistake of the program is traced."""

import getpass
import io
import json
import logging
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError

from config import ConfigError
from config.settings import read_settings
from queries.engine import disposing
from queries.messages import lease_holder
from queries.messages.leases import ASTRAY
from queries.operations import run_command, storage_error
from queries.operations.output import as_json, printable
from queries.state import lease, open_state
from tests.support.company import CONFIG
from triggers.__main__ import parser
from triggers.logs import KeyValue
from triggers.processes.lease import acquire

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
LOST = psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/data/x"), "/data/x: the disk is full"),
        (MemoryError(), "place: the memory limit is too small"),
        (OperationalError("", {}, LOST), "place: the database does not answer; start it"),
        (DatabaseError("", {}, Exception("file is not a database")), "place: the store is damaged; keep a copy"),
        (duckdb.SerializationException("failed to deserialize"), "place: the store is damaged"),
        (
            caused(ValueError("?"), duckdb.IOException("Could not set lock on file")),
            "place: another process has",
        ),
        (ProgrammingError("", {}, Exception("syntax error")), None),
        (KeyError("a mistake of ours"), None),
    ],
)
def test_what_a_store_refuses_is_told_from_mistakes(error: Exception, said: str | None) -> None:
    told = storage_error(error, "place")
    assert (told is None) == (said is None)
    assert str(told).startswith(said or "None")


def ending(raised: BaseException) -> Callable[[Any], int]:
    def run(_: Any) -> int:
        raise raised

    return run


def test_a_command_ends_with_a_line_or_with_the_trace_of_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path))
    words = ArgumentParser()
    words.set_defaults(run=ending(OperationalError("", {}, LOST)))
    assert run_command(words, []) == 1
    assert capsys.readouterr().err.count("\n") == 1
    words.set_defaults(run=ending(KeyError("a mistake of ours")))
    with pytest.raises(KeyError):
        run_command(words, [])
    words.set_defaults(run=ending(KeyboardInterrupt()))
    assert run_command(words, [], "stopped \x1b[2J") == 130
    assert capsys.readouterr().err == "stopped \\x1b[2J\n"
    assert not (tmp_path / "state.db").exists()


def test_any_error_over_a_damaged_state_is_told_as_its_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path))
    with disposing(open_state(tmp_path)) as states, states.begin() as conn:
        conn.exec_driver_sql("insert into heartbeat (name, at, note) values ('triggers', '2026-1!-01', '')")
    words = ArgumentParser()
    words.set_defaults(run=ending(ValueError("Couldn't parse datetime string")))
    assert run_command(words, []) == 1
    assert capsys.readouterr().err.startswith(f"the state in {tmp_path}: the store is damaged")


def test_commands_start_under_a_number_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert parser().parse_args(["ack", "x"]).by.startswith("user ")


@pytest.mark.parametrize(
    "name", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u202egnp.exe", "\x9b2J", "\u2066a\u2069", "\r over", "\x00"]
)
def test_escape_sequences_are_spelt_out_wherever_they_are_shown(name: str) -> None:
    assert printable(f"é {name}\n").replace("\n", "").isprintable()
    assert printable("é „Zürich“ 日本\n") == "é „Zürich“ 日本\n"
    text = as_json([{"name": name}])
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == [{"name": name}]
    record = logging.LogRecord("triggers", logging.INFO, "", 0, "sent to %s", (name,), None)
    assert KeyValue("run").format(record).isprintable()


@pytest.mark.parametrize("password", ["se@cret", "se/cret", "12/cret", "se#cret", "se?cret", "a@b@c"])
def test_a_password_that_would_be_taken_for_a_host_is_refused_and_not_shown(password: str) -> None:
    environ = {"EARSHOT_CONFIG": str(CONFIG), "EARSHOT_STATE__URL": f"postgresql://earshot:{password}@db.example/x"}
    with pytest.raises(ConfigError, match="%40 for @") as refused:
        read_settings(environ, None)
    assert "cret" not in str(refused.value)
    assert "a@b" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://u:p%40%2F@h:5432/x", "postgresql:///x?host=/run/postgresql"])
def test_an_address_that_says_what_it_means(url: str) -> None:
    settings = read_settings({"EARSHOT_CONFIG": str(CONFIG), "EARSHOT_STATE__URL": url}, None)
    assert settings.state.url is not None


@pytest.fixture
def states(tmp_path: Path) -> Iterator[Engine]:
    with disposing(open_state(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("ahead", "is_taken"), [(timedelta(minutes=1), False), (ASTRAY, False), (timedelta(days=36_500), True)]
)
def test_a_lease_of_another_host_that_ends_too_far_ahead_is_taken_over_and_told(
    states: Engine, caplog: pytest.LogCaptureFixture, ahead: timedelta, *, is_taken: bool
) -> None:
    with states.begin() as conn:
        until = (NOW + ahead).replace(tzinfo=None)
        conn.execute(insert(lease).values(name="tick", holder="elsewhere 1 2", fence=7, until=until))
        seen = lease_holder(conn, "tick")
    assert seen is not None
    assert ("correct that machine's clock" in seen.astray(NOW)) == is_taken
    assert (acquire(states, NOW) is not None) == is_taken
    assert ("elsewhere claims the tick until 2126" in caplog.text) == is_taken


class FullDisk(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_behind_standard_output_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "stdout", FullDisk())
    words = ArgumentParser()
    words.set_defaults(run=lambda _: print("x"))
    assert run_command(words, []) == 1
    assert "the disk is full" in capsys.readouterr().err
