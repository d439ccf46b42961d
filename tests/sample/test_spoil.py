"""Artefacts planted in the sample's files, through a real load: each is named, and without them nothing is.

Nothing but the change in who is invited, which the sample always has and which is a real one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from config.reading import read_catalog
from queries.engine import disposing
from queries.loading.load import LoadRequest, load
from queries.loading.sources import open_source
from queries.monitoring.row_profiles import PROFILED, Profile, read_profile
from queries.sample import generate
from queries.sample.spoil import SPOILS, plant, spoilt
from queries.state import Incident, passing_state, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING, EmbeddedWarehouse, Pin
from tests.sample.test_sample import PLANTED
from triggers.data_faults.detect import detect
from triggers.data_faults.detectors.history import DataFault
from triggers.data_faults.explanation import Breach, explanations
from triggers.data_faults.scan import NAME
from triggers.incidents.tick import tick

ROOT: Final = Path(__file__).resolve().parents[2]
END: Final = date(2026, 11, 21)
CONTACTS: Final = 200_000
SETTLE: Final = timedelta(days=14)
WINDOW: Final = timedelta(days=28)
UNTIL: Final = END - SETTLE
SOME: Final = [pytest.param(kind, marks=() if i % 8 == 1 else pytest.mark.proof) for i, kind in enumerate(SPOILS)]
"""The others with --prove: what tells each of them is tested on counts, too."""
INVITED: Final = PLANTED["invitations"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    generate(folder, end=END, contacts=CONTACTS)
    return folder


@contextmanager
def loaded(files: Path, folder: Path) -> Iterator[Pin]:
    """The files as `python -m queries load sample` brings them in; nothing may be refused."""
    source, where = open_source("sample", ROOT / "config")
    catalog = read_catalog(ROOT / "config", COLUMNS)
    made = EmbeddedWarehouse(folder / "warehouse")
    try:
        summary = load(made, LoadRequest(source, where, files, catalog, "UTC"), instant(END), lambda _: None)
        assert summary.total("quarantined") == 0
        with made.pin() as pin:
            yield pin
    finally:
        made.close()


def instant(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def found(profile: Profile, until: date) -> tuple[DataFault, ...]:
    return detect(profile, until - WINDOW, until)


def is_invitations(artefact: DataFault) -> bool:
    return (artefact.kind, artefact.vertical) == ("sampling-change", INVITED["vertical"])


def opened(pin: Pin) -> tuple[Incident, ...]:
    """What one run of the default rules opens."""
    with disposing(passing_state()) as states:
        tick(states, pin, read_catalog(ROOT / "config", COLUMNS), instant(END))
        with states.connect() as conn:
            return read_incidents(conn, EVERYTHING)


def escalated(those: tuple[Incident, ...]) -> set[tuple[str, str]]:
    """The customer incidents on rates, by rule and slice: what a specialist would be told."""
    rates = (i for i in those if i.class_ == "customer" and i.value is not None)
    return {(i.rule, i.slice) for i in rates}


@pytest.mark.slow(minutes=2)
@pytest.mark.parametrize("kind", SOME)
def test_planted_artefact_is_named(tmp_path: Path, clean: Path, undisturbed: tuple[Incident, ...], kind: str) -> None:
    files = tmp_path / "files"
    shutil.copytree(clean, files)
    plant(kind, files, END)
    with loaded(files, tmp_path) as pin:
        profile = read_profile(pin.conn, spoilt(kind), instant(END))
        told = opened(pin)
    (fault, *_) = [i for i in told if i.rule == NAME and i.slice.startswith(f"{kind}|{spoilt(kind)}|")]
    assert (fault.class_, fault.route) == ("data", "analysts")
    assert escalated(told) <= escalated(undisturbed)
    for until in (END, UNTIL, UNTIL - timedelta(days=UNTIL.weekday())):
        others = [one for one in found(profile, until) if not is_invitations(one)]
        assert {one.kind for one in others} == {kind}
        assert all(one.table == spoilt(kind) for one in others)


@pytest.fixture(scope="module")
def twin(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pin]:
    with loaded(clean, tmp_path_factory.mktemp("warehouse")) as pin:
        yield pin


@pytest.fixture(scope="module")
def undisturbed(twin: Pin) -> tuple[Incident, ...]:
    """What the rules open where nothing is spoilt."""
    return opened(twin)


@pytest.fixture(scope="module")
def profiles(twin: Pin) -> dict[str, Profile]:
    return {table: read_profile(twin.conn, table, instant(END)) for table in PROFILED}


@pytest.mark.slow
@pytest.mark.parametrize("table", PROFILED)
def test_clean_twin_is_quiet_in_every_week(profiles: dict[str, Profile], table: str) -> None:
    """The planted stories change figures, not who is counted: two years of weeks, up to the last day."""
    for weeks in range(95):
        until = END - timedelta(weeks=weeks)
        assert [one for one in found(profiles[table], until) if not is_invitations(one)] == []


@pytest.mark.slow
def test_who_is_invited_is_named_and_explains_its_vertical_alone(profiles: dict[str, Profile]) -> None:
    (one,) = found(profiles["response"], UNTIL)
    since = date(END.year, END.month + INVITED["since"], 1)
    assert is_invitations(one)
    assert abs((one.since - since).days) <= 7
    assert "role" in one.reason
    assert tuple(explanations((one,), _breach(INVITED["vertical"]))) == (one,)
    assert tuple(explanations((one,), _breach(PLANTED["null"]["vertical"]))) == ()
    before = found(profiles["response"], since)
    assert before == ()


def _breach(vertical: str) -> Breach:
    return Breach("response", frozenset(), {"vertical": (vertical,)}, UNTIL - WINDOW, UNTIL)


@pytest.mark.slow
@pytest.mark.parametrize("table", PROFILED)
def test_what_was_known_then_is_what_is_known_now(twin: Pin, profiles: dict[str, Profile], table: str) -> None:
    """A profile read as of a day finds what the finished history finds up to that day."""
    for weeks in (0, 7, 15, 40):
        until = UNTIL - timedelta(weeks=weeks)
        then = read_profile(twin.conn, table, instant(until))
        assert found(then, until) == found(profiles[table], until)


def test_plant_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no fault named 'noise'; choose one of publication-lag, "):
        plant("noise", tmp_path, END)


@pytest.mark.parametrize("kind", SPOILS)
def test_only_one_table_is_spoilt(tmp_path: Path, kind: str) -> None:
    generate(tmp_path, end=END, contacts=20_000)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    plant(kind, tmp_path, END)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name for name in after if before[name] != after[name]} == {f"{spoilt(kind)}.parquet"}
    assert set(before) == set(after)


def command(*words: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARSHOT_")}
    line = [sys.executable, "-m", "queries", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_command_plants(tmp_path: Path) -> None:
    words = ("sample", "--out", tmp_path / "a", "--end", END, "--contacts", 20_000)
    done = command(*words, "--fault", "duplicated-rows")
    assert done.returncode == 0, done.stderr
    assert "with duplicated-rows in contact" in done.stdout
    generate(tmp_path / "b", end=END, contacts=20_000)
    plant("duplicated-rows", tmp_path / "b", END)
    for name in ("contact", "journey"):
        file = f"{name}.parquet"
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_command_names_the_kinds(tmp_path: Path) -> None:
    done = command("sample", "--out", tmp_path, "--contacts", 20_000, "--fault", "noise")
    assert done.returncode == 1
    assert "no fault named 'noise'" in done.stderr
    assert list(tmp_path.iterdir()) == []
