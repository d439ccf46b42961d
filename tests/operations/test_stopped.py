"""Erasures, backups and restores that are killed at any moment, or whose disk is full: nothing lost, no one back."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, insert, select

from config import EarshotError
from config.settings import Settings, read_settings
from queries.__main__ import main
from queries.engine import naive
from queries.operations.backup import check_files, read_manifest
from queries.operations.database_copy import copy_journal
from queries.state import closed_review
from queries.state import tables as state_tables
from queries.stores import HalfRestoredError, open_states, open_warehouse
from queries.warehouse import EmbeddedWarehouse, NoWarehouseError, tables
from tests.support import forks
from tests.support.installation import configure
from tests.support.loading import COMPANY, bring, contents, order

TOKEN: Final = "Zq9x"
ACCOUNT, PERSON, NAME = f"{TOKEN}1", f"{TOKEN}P1", f"{TOKEN} & Sons"
FILES: Final = {
    table: text.replace("A1,", f"{ACCOUNT},").replace("P1,", f"{PERSON},").replace("Acme", TOKEN)
    for table, text in COMPANY.items()
} | {
    "response": COMPANY["response"]
    .replace("R1,A1,P1", f"R1,{ACCOUNT},{PERSON}")
    .replace("late", f"mail {TOKEN}@x.example")
}
"""The company of which one account has ids, a name, a person and a comment that stand nowhere else."""

ROOT: Final = Path(__file__).parents[2]
NOW: Final = datetime(2026, 3, 12, 9, tzinfo=UTC)
KILLS: Final = 100
SEED: Final = 20_261_127
OURS: Final = """
    action.function action.id action.incident_id action.metric action.review action.touchpoint action.vertical
    baseline.rule_hash
    baseline.tally calibration.rule_hash channel_gate.channel closed_review.review closed_review.scope counter.name
    digest_part.digest_id
    digest_part.incident_id digest_part.kind digest_part.outbox_id erasure.body erasure.hash escalation.incident_id
    eval_slot.origin eval_slot.rule eval_slot.rule_hash guess.metric guess.review guess.scope heartbeat.name
    heartbeat.note inbound.id inbound.incident_id
    inbound.kind inbound.outcome inbound.state incident.class incident.id incident.ladder incident.open_key
    incident.origin incident.route incident.rule incident.rule_hash incident.state incident.touchpoint
    incident.vertical incident_event.incident_id incident_event.kind instance.health instance.incident_id
    instance.rule instance.state lease.holder lease.name letter.about letter.id letter.kind outbox.channel
    outbox.error outbox.id outbox.incident_id outbox.kind outbox.state outbox.target outbox.ts override.vertical
    picture.error picture.file picture.incident_id picture.state picture.target picture.upload_url
    rule_error.rule rule_version.hash rule_version.rule silence.id slack_root.channel slack_root.incident_id
    slack_root.target
    slack_root.ts vote.incident_id
"""
"""The columns of text that hold words and ids of the program's own making alone."""

CALL: Final = f"Call {NAME} ({ACCOUNT}) and {PERSON} at once"
FORGET: Final = ("forget", "--account", ACCOUNT)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that knows the customer, in both stores."""
    data = tmp_path_factory.mktemp("company") / "data"
    fill(data)
    return data


def variables(data: Path) -> dict[str, str]:
    """Those of an installation. Its stores are in PostgreSQL where a file beside it says so."""
    made = {"EARSHOT_DATA": str(data), "EARSHOT_CONFIG": str(data / "config")}
    if not (data / "config").exists():
        configure(data)
    address = data.parent / "url"
    url = address.read_text() if address.exists() else None
    return made | ({"EARSHOT_STATE__URL": url, "EARSHOT_WAREHOUSE__URL": url} if url else {})


def settings_of(data: Path) -> Settings:
    return read_settings(variables(data), None)


def fill(data: Path) -> None:
    settings = settings_of(data)
    with closing(open_warehouse(settings)) as warehouse:
        bring(warehouse, order(data.parent / "crm", FILES))
    states = open_states(settings)
    write_all(states)
    states.dispose()


def write_all(states: Engine) -> None:
    """Whatever people and rules can say of the customer, in every place where they can."""
    at, day = naive(NOW), NOW.date()
    told = {"author": "ana", "at": at}
    who = {"recorded_at": at, "started_on": day, "author": "ana"}
    case: dict[str, Any] = {
        "id": "i1",
        "rule": "detractor",
        "rule_hash": "h",
        "slice": f"response=crm/R-{ACCOUNT}",
        "class": "customer",
    }
    case |= {"severity": 1, "route": "delivery", "ladder": "[]", "vertical": "Retail", "account_id": ACCOUNT}
    case |= {
        "state": "open",
        "episode": 1,
        "opened_at": at,
        "slot": day,
        "next_step": 1,
        "origin": "live",
        "version": 3,
    }
    entry: dict[str, Any] = {
        "incident_id": "i1",
        "at": at,
        "kind": "opened",
        "reason": "closed automatically after 30 days",
    }
    sample = {"account_id": ACCOUNT, "slice": case["slice"], "key": f"revenue=crm/{ACCOUNT}/2026-01-01"}
    sliced = f"vertical=Retail|account_id={ACCOUNT}"
    press: dict[str, Any] = {
        "kind": "form",
        "user": "U1",
        "choice": "30",
        "fields": {"note": f"ask {PERSON} of {NAME.lower()}"},
    }
    rows: dict[Any, list[dict[str, Any]]] = {
        state_tables.incident: [case],
        state_tables.incident_event: [
            {**entry, "seq": 1, "author": None, "sample": json.dumps(sample, sort_keys=True)},
            {**entry, "seq": 2, "author": "ana", "kind": "closed", "reason": f"{NAME}'s plant is well", "sample": None},
            {
                **entry,
                "seq": 3,
                "author": "ana",
                "kind": "decided",
                "reason": f"in the review: “{CALL}”",
                "sample": None,
            },
        ],
        state_tables.instance: [
            {"rule": "r", "slice": sliced, "state": "firing", "health": "ok", "body": "{}", "incident_id": "i1"}
        ],
        state_tables.baseline: [
            {"rule_hash": "h", "slice": sliced, "since": day, "until": day, "tally": "[]", "frozen_at": at}
        ],
        state_tables.rule_version: [
            {"hash": "h", "rule": "r", "body": json.dumps({"where": {"account_id": [ACCOUNT]}}), "stored_at": at}
        ],
        state_tables.action: [
            {"id": "a", "what": f"{NAME.upper()}; {ACCOUNT}s; {TOKEN} &\nSons-team", "owner": f"{NAME} desk", **who},
            {"id": "b", "what": f"https://crm/{ACCOUNT}?x, 30 days", "owner": "kam", **who, "author": PERSON},
            {"id": "c", "month": day, "review": "*", "issue": f"r|{sliced}", "seq": 1, "owner": PERSON.lower(), **who}
            | {"what": CALL},
        ],
        state_tables.override: [{"month": day, "vertical": "*", "reason": f"{NAME} asked for it", **told}],
        closed_review: [
            {"month": day, "review": "*", "scope": "[]", "closed_at": at, "author": "ana", "generation": 1}
            | {"present": f"Ana, and {PERSON} of {NAME}", "document": json.dumps(document_of(sliced))}
        ],
        state_tables.silence: [
            {"id": "s", "matchers": json.dumps({"account": ACCOUNT}), "reason": f"{NAME} is moving", "author": "ana"}
            | {"starts_at": at, "ends_at": at}
        ],
        state_tables.inbound: [
            {"id": "p", "kind": "form", "body": json.dumps(press), "state": "new", "attempts": 0, "received_at": at}
        ],
    }
    with states.begin() as conn:
        for table, values in rows.items():
            for value in values:
                conn.execute(insert(table), value)


def document_of(slice_: str) -> dict[str, Any]:
    """A closed review that says the customer wherever people can type it."""
    made = {"what": CALL, "owner": f"{NAME} desk", "author": PERSON, "issue": f"r|{slice_}", "started_on": "2026-03-01"}
    status = {"action": made, "effect": "improved (+30 points)", "reasons": [f"overlaps with {CALL}"]}
    issue = {"id": f"r|{slice_}", "what": "No answer for 30 days", "figure": "30%", "n": 30, "figure_of": "Kept"}
    issue |= {"decision": made, "undertakings": [status]}
    override = {"author": "ana", "reason": f"{NAME} asked for it", "at": "2026-03-02T09:00:00"}
    improved = ["Promises kept in Retail is 30%", f"{CALL} (Retail): improved (+30 points)"]
    return {"currency": "EUR", "review": {"issues": [issue], "overrides": [override], "improved": improved}}


def run(data: Path, *words: str) -> int:
    """One command, in this process."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables(data).items():
            environment.setenv(name, value)
        # A command that cannot print any more gives the stream up; the next one, in the same process, has its own.
        environment.setattr(sys, "stdout", sys.stdout)
        return main(list(words))


def traces(*folders: Path) -> set[str]:
    """The files below that hold the customer's token, in whatever case."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file.name for file in files if TOKEN.lower().encode() in file.read_bytes().lower()}


def known(data: Path) -> set[str]:
    """In which tables a reader finds the customer; empty where nothing can be read."""
    found = set[str]()
    try:
        with closing(open_warehouse(settings_of(data))) as warehouse, warehouse.pin() as pin:
            found |= {name for name, rows in contents(pin.conn).items() if TOKEN.lower() in str(rows).lower()}
            assert pin.conn.execute(select(tables.account.c.account_id)).all(), "a generation without its rows"
    except (NoWarehouseError, HalfRestoredError):
        pass
    return found


# What an erasure leaves


@pytest.fixture
def site(company: Path, tmp_path: Path) -> Path:
    """A copy of the installation, to be spoilt."""
    shutil.copytree(company, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def left_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, with what a load that was killed had copied of its input."""
    folder = tmp_path / "tmp"
    (folder / "earshot-left").mkdir(parents=True)
    (folder / "earshot-left" / "held").touch()
    (folder / "earshot-left" / "account-0.csv").write_text(FILES["account"], encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_no_file_holds_anything_of_it(site: Path, left_copy: Path, tmp_path: Path) -> None:
    """Neither a store nor its log, nor the writer's lock, nor a backup made afterwards, nor the temporary folder."""
    assert {"generation-1.duckdb", "state.db", "account-0.csv"} <= traces(site, left_copy)
    assert run(site, *FORGET) == 0
    assert traces(site, left_copy) == set()
    assert known(site) == set()
    assert run(site, "backup", "--to", str(tmp_path / "saved")) == 0
    assert traces(tmp_path / "saved") == set()
    with closing(sqlite3.connect(site / "state.db")) as conn:
        assert conn.execute("select count(*) from erasure").fetchone() == (0,)


@pytest.mark.parametrize("word", ["--account", "--person"])
@pytest.mark.parametrize("key", ["", " ", "\t\n"])
def test_a_blank_key_is_refused_and_nothing_changes(
    site: Path, capsys: pytest.CaptureFixture[str], word: str, key: str
) -> None:
    before = dump_of(site)
    assert run(site, "forget", word, key) == 1
    assert "an erasure needs a key" in capsys.readouterr().err
    assert dump_of(site) == before


def test_a_key_is_erased_however_it_is_typed(site: Path) -> None:
    """Loads leave out the white space around a key and what cannot be seen in it; so does an erasure."""
    assert run(site, *FORGET[:-1], f"\u00a0{FORGET[-1]}\u200b ") == 0
    assert known(site) == set()
    assert traces(site) == set()


@pytest.mark.parametrize("word", ["--account", "--person"])
def test_a_number_is_erased_where_it_is_a_key_and_nowhere_else(site: Path, word: str) -> None:
    """The account 30 and the person 30 are two; neither is in the program's sentences, in figures or in choices."""
    with closing(sqlite3.connect(site / "state.db")) as conn:
        sample = json.dumps({"account_id": "30", "person_id": "30", "n": 30, "days": "30"})
        conn.execute("update incident_event set sample = ? where seq = 1", [sample])
        conn.execute("update action set what = '30 asked on 1.30 for 300 of 30,5'")
        conn.commit()
    assert run(site, "forget", word, "30") == 0
    with closing(sqlite3.connect(site / "state.db")) as conn:
        rows = conn.execute("select reason, sample from incident_event where seq = 1").fetchone()
        said, press = conn.execute("select what, body from action, inbound").fetchone()
    sample = json.loads(rows[1])
    assert rows[0] == "closed automatically after 30 days"
    assert {name: value for name, value in sample.items() if value in ("30", 30)} == (
        {"person_id": "30", "n": 30, "days": "30"}
        if word == "--account"
        else {"account_id": "30", "n": 30, "days": "30"}
    )
    assert said.split(" ", 1)[0].startswith("erased-")
    assert said.split(" ", 1)[1] == "asked on 1.30 for 300 of 30,5"
    assert json.loads(press)["choice"] == "30"


@pytest.mark.parametrize("key", [ACCOUNT, "30"])
def test_a_closed_review_loses_names_and_texts_and_keeps_its_figures(site: Path, key: str) -> None:
    """Also where the account is called as a figure is. The page says that something was erased, and when."""
    with closing(sqlite3.connect(site / "state.db")) as conn:
        conn.execute("update closed_review set document = replace(document, 'Call', 'Call 30 and')")
        conn.commit()
    assert run(site, "forget", "--account", key) == 0
    with closing(sqlite3.connect(site / "state.db")) as conn:
        text, present, erased = conn.execute("select document, present, erased_at from closed_review").fetchone()
    review = json.loads(text)["review"]
    (issue,) = review["issues"]
    assert (issue["what"], issue["figure"], issue["n"]) == ("No answer for 30 days", "30%", 30)
    assert review["improved"][0] == "Promises kept in Retail is 30%"
    (status,) = issue["undertakings"]
    what = issue["decision"]["what"]
    assert "erased-" in what
    assert key not in what
    assert status["reasons"] == [f"overlaps with {what}"]
    assert (status["effect"], review["improved"][1]) == (
        "improved (+30 points)",
        f"{what} (Retail): improved (+30 points)",
    )
    assert (TOKEN in text, TOKEN in present) == (key == "30",) * 2
    assert erased is not None


def test_every_text_of_the_state_is_known_to_hold_customers_or_not() -> None:
    """A new column of text is either marked, so that an erasure looks at it, or named here."""
    texts = {
        f"{table.name}.{column.name}"
        for table in state_tables.state.sorted_tables
        for column in table.c
        if column.type.python_type is str and "holds" not in column.info
    }
    assert texts == set(OURS.split())


def dump_of(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / "state.db")) as conn:
        return list(conn.iterdump())


# Killed


def work(data: Path, words: tuple[str, ...], begun: Any) -> None:
    """In a process of its own; what it says stands beside the installation."""
    forks.set_variables({})
    said = os.open(_said(data), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    begun.set()
    sys.exit(run(data, *words))


def _said(data: Path) -> Path:
    return data.with_name(f"{data.name}.said")


def killed(data: Path, words: tuple[str, ...], after: float | None) -> float | None:
    """Run a command and kill it so many seconds after it began (None: never). How long it ran, if to its end."""
    begun = forks.FORKS.Event()
    process = forks.start(work, data, words, begun)
    begun.wait(60)
    began = time.monotonic()
    process.join(after if after is not None else 120)
    took = time.monotonic() - began
    is_over = process.exitcode is not None
    process.kill()
    process.join()
    assert not is_over or process.exitcode == 0, _said(data).read_text(encoding="utf-8")
    process.close()
    return took if is_over else None


def moments(base: Path, place: Path, words: tuple[str, ...], *, prove: bool) -> Iterator[tuple[Path, bool]]:
    """Copies of an installation, each with the command killed in it at some moment, and whether it had not ended."""
    draws, inside = random.Random(SEED), 0
    shutil.copytree(base, place)
    whole = killed(place, words, None)
    assert whole is not None
    wanted = KILLS if prove else KILLS // 20
    while inside < wanted:
        shutil.rmtree(place)
        shutil.copytree(base, place)
        is_inside = killed(place, words, draws.uniform(0, whole)) is None
        inside += is_inside
        yield place, is_inside
    shutil.rmtree(place)


@pytest.mark.slow(minutes=5)
def test_a_killed_erasure_is_finished_by_the_next_one(site: Path, tmp_path: Path, *, prove: bool) -> None:
    """Once it is published nobody reads the customer any more; the next run leaves nothing of it in any file."""
    seen = Counter[str]()
    for data, is_inside in moments(site, tmp_path / "killed", FORGET, prove=prove):
        at = known(data)
        noted = dump_of(data)
        seen[f"{'inside' if is_inside else 'ended'}, {'still there' if at else 'gone from the warehouse'}"] += 1
        # What is begun is noted, as long as anything is left of it.
        left = [line for line in noted if TOKEN.lower() in line.lower() and "erasure" not in line]
        assert at or not left or any('INSERT INTO "erasure"' in line for line in noted)
        assert run(data, *FORGET) == 0
        assert traces(data) == set()
        assert known(data) == set()
    print(dict(seen))


def test_whatever_runs_next_finishes_an_erasure(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between the two stores, when the warehouse no longer knows the name; then another one is erased."""
    with monkeypatch.context() as dying:
        dying.setattr("queries.operations.erase.redact", _die)
        with pytest.raises(Killed):
            run(site, *FORGET)
    assert known(site) == set()
    assert NAME in "".join(dump_of(site))
    assert run(site, "forget", "--person", "P3") == 0
    assert traces(site) == set()


class Killed(BaseException):
    """Nothing catches it."""


def _die(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.slow
def test_a_killed_backup_is_none_and_the_next_is_whole(site: Path, tmp_path: Path, *, prove: bool) -> None:
    words = ("backup", "--to", str(tmp_path / "saved"))
    shutil.rmtree(tmp_path / "saved", ignore_errors=True)
    before = known(site)
    for data, is_inside in moments(site, tmp_path / "killed", words, prove=prove):
        assert known(data) == before
        if (tmp_path / "saved").exists():
            check_files(tmp_path / "saved", read_manifest(tmp_path / "saved"))
        else:
            assert is_inside
            assert run(data, *words) == 0
            check_files(tmp_path / "saved", read_manifest(tmp_path / "saved"))
        shutil.rmtree(tmp_path / "saved")


@pytest.fixture
def forgotten(site: Path, tmp_path: Path) -> Path:
    """The installation after a backup was made and the customer erased."""
    assert run(site, "backup", "--to", str(tmp_path / "backup")) == 0
    assert traces(tmp_path / "backup")
    assert run(site, *FORGET) == 0
    return site


@pytest.mark.slow
def test_a_killed_restore_brings_nobody_back(forgotten: Path, tmp_path: Path, *, prove: bool) -> None:
    """At no moment, and not by a later load either; running it again finishes it."""
    words, seen = ("restore", "--from", str(tmp_path / "backup"), "--replace"), Counter[str]()
    for data, is_inside in moments(forgotten, tmp_path / "killed", words, prove=prove):
        assert known(data) == set()
        unfinished = (data / "restoring").exists()
        switching = (data / "restoring" / "switching").exists()
        seen["ended" if not is_inside else "switching" if switching else "beside" if unfinished else "elsewhere"] += 1
        if not switching:
            assert TOKEN.lower() not in "".join(dump_of(data)).lower()
        assert run(data, *words) == 0
        assert not (data / "restoring").exists()
        assert known(data) == set()
        assert traces(data) == set()
        with closing(open_warehouse(settings_of(data))) as warehouse:
            bring(warehouse, order(tmp_path / "again", FILES))
        assert known(data) == set()
    print(dict(seen))


@pytest.mark.parametrize(
    "step", ["queries.operations.restore.fsync", "shutil.rmtree", "pathlib.Path.rename", "pathlib.Path.replace"]
)
def test_a_restore_stopped_while_it_switches_is_finished_before_anything_opens(
    forgotten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    words = ("restore", "--from", str(tmp_path / "backup"))
    with monkeypatch.context() as dying:
        dying.setattr("queries.operations.restore._switch", _die)
        with pytest.raises(Killed):
            run(forgotten, *words, "--replace")
    capsys.readouterr()
    assert run(forgotten, "status") == 1
    assert "a restore was interrupted; finish it" in capsys.readouterr().err
    with monkeypatch.context() as dying:
        dying.setattr(step, _die)
        with pytest.raises(Killed):
            run(forgotten, *words)
    assert run(forgotten, *words) == 0
    assert (known(forgotten), traces(forgotten)) == (set(), set())
    assert run(forgotten, "status") == 0


def test_an_erasure_removes_what_a_stopped_restore_had_made_ready(
    forgotten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr("queries.operations.restore.mark_restored", _die)
        with pytest.raises(Killed):
            run(forgotten, "restore", "--from", str(tmp_path / "backup"), "--replace")
    assert traces(forgotten)
    assert run(forgotten, "forget", "--account", "A10") == 0
    assert traces(forgotten) == set()


def test_a_backup_begins_again_where_somebody_is_erased_while_it_is_made(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the copy of the state, which still knows the customer, and that of the warehouse."""
    copies = list[Path]()

    def copy(source: Path, to: Path) -> None:
        copy_journal(source, to)
        copies.append(to)
        if len(copies) == 1:
            assert run(site, *FORGET) == 0

    monkeypatch.setattr("queries.operations.backup.copy_journal", copy)
    assert run(site, "backup", "--to", str(tmp_path / "saved")) == 0
    assert len(copies) == 2
    assert traces(tmp_path / "saved") == set()


# On a full disk


FULL: Final = """
import subprocess, sys
from pathlib import Path
from tests.operations import test_stopped as t
base, disk, room, words = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
def mount(*options): subprocess.run(["mount", *options, str(disk)], check=True)
mount("-t", "tmpfs", "-o", f"size={t.size(base) + room}", "tmpfs")
subprocess.run(["cp", "-a", str(base), str(disk / "data")], check=True)
t.check_full(disk, words, lambda: mount("-o", "remount,size=1g"))
"""


def size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def check_full(disk: Path, words: list[str], make_room: Callable[[], None]) -> None:
    """Run a command where there is little room: it is done, or refused with all as it was; with room it is done."""
    data, saved = disk / "data", disk / "saved"
    before = known(data)
    is_done = run(data, *words) == 0
    print("done" if is_done else "refused", flush=True)
    if words[0] == "forget":
        assert known(data) in ([set()] if is_done else [set(), before])
    else:
        assert known(data) == before
        assert words[0] == "restore" or saved.exists() == is_done
    make_room()
    if words[0] == "backup":
        assert is_done or run(data, *words) == 0
        check_files(saved, read_manifest(saved))
    else:
        assert run(data, *words) == 0
        assert (known(data), traces(data)) == (set(), set())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a disk of its own, and so root")
@pytest.mark.parametrize("command", ["forget", "backup", "restore"])
@pytest.mark.slow
def test_on_a_full_disk_a_command_is_done_or_changes_nothing(
    forgotten: Path, company: Path, tmp_path: Path, *, command: str, prove: bool
) -> None:
    """With room for half the generation up to three times as much."""
    base = forgotten if command == "restore" else company
    disk = tmp_path / "disk"
    disk.mkdir()
    words = {
        "forget": FORGET,
        "backup": ("backup", "--to", str(disk / "saved")),
        "restore": ("restore", "--from", str(tmp_path / "backup"), "--replace"),
    }[command]
    generation = max(file.stat().st_size for file in base.rglob("generation-*.duckdb"))
    rooms = range(generation // 2, 3 * generation, 2_000_000 if prove else 2 * generation)
    seen = Counter[str]()
    for room in rooms:
        inner = [sys.executable, "-c", FULL, str(base), str(disk), str(room), *words]
        done = subprocess.run(["unshare", "-m", *inner], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (room, done.stdout, done.stderr)
        seen[next(line for line in done.stdout.splitlines() if line in ("done", "refused"))] += 1
    print(command, generation, dict(seen))


# Links


@pytest.mark.parametrize(
    "name", ["warehouse", "warehouse/lock", "warehouse/current", "state.db", "restoring", "sample"]
)
@pytest.mark.parametrize("words", [FORGET, ("status",)], ids=["forget", "status"])
def test_a_link_does_not_lead_what_is_stored_elsewhere(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: tuple[str, ...]
) -> None:
    elsewhere, file = tmp_path / "elsewhere", site / name
    if file.exists():
        file.rename(elsewhere)
    else:
        elsewhere.mkdir()
    file.symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in [elsewhere, *elsewhere.rglob("*")] if path.is_file()}
    assert run(site, *words) == 1
    assert f"{file} is a link to {elsewhere}, outside {site}; put the file itself there" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_the_data_folder_itself_may_be_a_link(site: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(site)
    (site / "warehouse").rename(site / "moved")
    (site / "warehouse").symlink_to(site / "moved")
    assert run(tmp_path / "link", *FORGET) == 0
    assert traces(site) == set()


def test_an_input_is_not_read_through_a_link_out_of_its_folder(tmp_path: Path) -> None:
    wanted, secret = order(tmp_path / "crm", FILES), tmp_path / "secret.csv"
    (wanted.data / "account.csv").rename(secret)
    (wanted.data / "account.csv").symlink_to(secret)
    with closing(EmbeddedWarehouse(tmp_path / "warehouse")) as warehouse:
        with pytest.raises(EarshotError, match=f"account.csv is a link to {secret}, outside {wanted.data}"):
            bring(warehouse, wanted)
        secret.rename(wanted.data / "today.csv")
        (wanted.data / "account.csv").unlink()
        (wanted.data / "account.csv").symlink_to("today.csv")
        assert bring(warehouse, wanted).published


# In PostgreSQL


@pytest.fixture
def shared_site(postgres_url: str, tmp_path: Path) -> Path:
    """The same installation with both stores in one database."""
    (tmp_path / "url").write_text(postgres_url)
    (tmp_path / "data").mkdir()
    fill(tmp_path / "data")
    return tmp_path / "data"


def dumped(url: str) -> str:
    command = ["pg_dump", f"--dbname={url.replace('+psycopg', '')}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.lower()


def test_no_file_of_the_database_holds_anything_of_it_and_no_table_of_others_is_touched(
    shared_site: Path, postgres_url: str
) -> None:
    files = "select pg_relation_filepath(oid) from pg_class where relkind in ('r', 't', 'i') and relnamespace in "
    files += "('public'::regnamespace, 'pg_toast'::regnamespace)"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("create table theirs as select generate_series(1, 9) as n")
        before = conn.execute("select pg_relation_filenode('theirs')").fetchone()
        assert TOKEN.lower() in dumped(postgres_url)
        assert run(shared_site, *FORGET) == 0
        conn.execute("checkpoint")
        assert TOKEN.lower() not in dumped(postgres_url)
        row = conn.execute("show data_directory").fetchone()
        assert row is not None
        paths = [Path(row[0]) / str(path) for (path,) in conn.execute(files.encode()).fetchall() if path]
        assert [path for path in paths if TOKEN.lower().encode() in path.read_bytes().lower()] == []
        assert len(paths) > 20
        assert conn.execute("select pg_relation_filenode('theirs')").fetchone() == before


def test_a_killed_restore_into_a_database_brings_nobody_back(shared_site: Path, tmp_path: Path, *, prove: bool) -> None:
    """The backup's tables are erased from aside, and never seen in the place of those that are served."""
    backup, url = tmp_path / "backup", (tmp_path / "url").read_text()
    assert run(shared_site, "backup", "--to", str(backup)) == 0
    assert run(shared_site, *FORGET) == 0
    words, draws = ("restore", "--from", str(backup), "--replace"), random.Random(SEED)
    whole = killed(shared_site, words, None)
    assert whole is not None
    inside = 0
    while inside < (KILLS if prove else 2):
        inside += killed(shared_site, words, draws.uniform(0, whole)) is None
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
            await_nobody(conn)
            served = conn.execute("select count(*) from public.account where name ilike %s", [f"%{TOKEN}%"]).fetchone()
            said = conn.execute("select count(*) from public.action where what ilike %s", [f"%{TOKEN}%"]).fetchone()
        assert (served, said) == ((0,), (0,))
    assert run(shared_site, *words) == 0
    assert TOKEN.lower() not in dumped(url)
    assert known(shared_site) == set()


def await_nobody(conn: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """The server ends what a killed client had begun when it notices that the client is gone."""
    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    for _ in range(600):
        if conn.execute(f"{others} and backend_type = 'client backend'".encode()).fetchone() == (0,):
            return
        time.sleep(0.1)
    raise AssertionError
