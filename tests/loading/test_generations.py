"""Readers keep the generation they began with, writers take turns, and what dies leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.schema import DropTable
from watchdog.observers import Observer

from queries.loading.publish import GenerationKey, record_generation
from queries.warehouse import (
    NOTHING_LOADED,
    EmbeddedWarehouse,
    NewGeneration,
    NoWarehouseError,
    Pin,
    SharedWarehouse,
    Warehouse,
    tables,
)
from queries.warehouse.generations import shared_warehouse
from queries.warehouse.generations.embedded_warehouse import KEPT
from tests.support.answering import answering
from tests.support.loading import COMPANY, bring, contents, order

AT: Final = datetime(2026, 1, 1)  # noqa: DTZ001 - as the warehouse stores it
ROOT: Final = Path(__file__).parents[2]


def add(draft: NewGeneration) -> None:
    """One account more, so that a generation holds as many accounts as its number says."""
    name = f"A{draft.number}"
    row = {"account_id": name, "source": "s", "name": name, "first_loaded_at": AT, "loaded_at": AT}
    draft.conn.execute(insert(tables.account).values(row))
    record_generation(draft.conn, draft.number, GenerationKey("UTC", "", ""), "s", "{}", AT)


def publish(warehouse: Warehouse) -> int:
    with warehouse.draft(lambda _: None) as draft:
        add(draft)
    return draft.number


def accounts(pin: Pin) -> int:
    return int(pin.conn.scalar(select(func.count()).select_from(tables.account)) or 0)


def seen(warehouse: Warehouse) -> tuple[int, int]:
    with warehouse.pin() as pin:
        return pin.generation.number, accounts(pin)


def numbers(folder: Path) -> set[int]:
    return {int(file.stem.removeprefix("generation-")) for file in folder.glob("generation-*.duckdb")}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedWarehouse]:
    with closing(EmbeddedWarehouse(tmp_path / "warehouse", "128MB")) as warehouse:
        yield warehouse


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """Each engine in turn."""
    if request.param == "duckdb":
        yield request.getfixturevalue("embedded")
        return
    with closing(SharedWarehouse(request.getfixturevalue("postgres_url"))) as shared:
        yield shared


def test_nothing_can_be_read_before_the_first_load(warehouse: Warehouse) -> None:
    with pytest.raises(NoWarehouseError) as error:
        seen(warehouse)
    assert str(error.value) == NOTHING_LOADED


def test_a_reader_keeps_what_it_began_with(warehouse: Warehouse) -> None:
    """However many generations come meanwhile; and who comes later gets the newest."""
    publish(warehouse)
    with warehouse.pin() as early:
        assert accounts(early) == 1
        for wanted in (2, 3, 4):
            assert publish(warehouse) == wanted
            assert (accounts(early), early.generation.number) == (1, 1)
            assert seen(warehouse) == (wanted, wanted)
    assert seen(warehouse) == (4, 4)


def test_readers_in_one_thread_and_in_many(warehouse: Warehouse) -> None:
    publish(warehouse)
    with ExitStack() as stack:
        pins = [stack.enter_context(warehouse.pin()) for _ in range(3)]
        publish(warehouse)
        assert [accounts(pin) for pin in pins] == [1, 1, 1]
    with ThreadPoolExecutor(6) as pool:
        looks = [pool.submit(seen, warehouse) for _ in range(30)]
        publish(warehouse)
        found = {look.result() for look in looks}
    assert found <= {(2, 2), (3, 3)}


def reopened(warehouse: Warehouse) -> Warehouse:
    """As another process opens it."""
    if isinstance(warehouse, EmbeddedWarehouse):
        return EmbeddedWarehouse(warehouse.folder, "128MB")
    assert isinstance(warehouse, SharedWarehouse)
    return SharedWarehouse(warehouse.engine.url.render_as_string(hide_password=False))


def test_each_new_generation_is_heard_of_and_nothing_else(warehouse: Warehouse) -> None:
    """Also by another process: a file event, or a notice of the database."""
    publish(warehouse)
    heard = threading.Semaphore(0)
    with closing(reopened(warehouse)) as other, other.listening(heard.release):
        while heard.acquire(timeout=1):  # what a listener hears as it begins
            pass
        for _ in range(5):
            publish(warehouse)
            assert heard.acquire(timeout=10)
        with warehouse.draft() as draft:
            draft.discard()
        assert not heard.acquire(timeout=1)
    publish(warehouse)
    assert not heard.acquire(timeout=1)


def test_the_first_load_is_heard_of(warehouse: Warehouse) -> None:
    heard = threading.Event()
    with closing(reopened(warehouse)) as other, other.listening(heard.set):
        publish(warehouse)
        assert heard.wait(10)


@pytest.mark.postgres
def test_whoever_listens_hears_again_after_the_database_dropped_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_warehouse, "AGAIN_S", 0.2)
    heard = threading.Semaphore(0)
    with closing(SharedWarehouse(postgres_url)) as warehouse, closing(reopened(warehouse)) as other:
        publish(warehouse)
        with other.listening(heard.release):
            assert heard.acquire(timeout=10)
            with warehouse.engine.begin() as conn:
                others = (
                    "select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen earshot_generation'"
                )
                assert conn.execute(text(others)).all()
            assert heard.acquire(timeout=10), "it has connected again, and says so in case it missed something"
            publish(warehouse)
            assert heard.acquire(timeout=10)


def test_a_system_that_tells_nothing_is_said_once(
    embedded: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever runs it looks now and then all the same."""

    def full(_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "start", full)
    with embedded.listening(lambda: None):
        assert publish(embedded) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"{embedded.folder}: the system tells of no new load (inotify watch limit reached)"
    ]


def test_the_next_load_brings_an_older_layout_up_to_date(warehouse: Warehouse, tmp_path: Path) -> None:
    """A table that is new, a column of rows that were brought and one of figures: as if all had been there before."""
    wanted = order(tmp_path / "crm", COMPANY)
    bring(warehouse, wanted)
    with warehouse.pin() as pin:
        declared = contents(pin.conn)
    with warehouse.draft() as draft:
        draft.conn.execute(DropTable(tables.condition))
        draft.conn.execute(DropTable(tables.warehouse.tables["roll_journey"]))
        for table, column in (("response", "score"), ("roll_response", "expectation"), ("journey_fact", "contacts")):
            draft.conn.execute(text(f"alter table {table} drop column {column}"))
        record_generation(draft.conn, draft.number, GenerationKey("UTC", "", ""), "crm", "{}", AT)
    with closing(reopened(warehouse)) as later:
        bring(later, wanted)
        with later.pin() as pin:
            assert contents(pin.conn) == declared


def test_a_layout_that_changed_is_computed_anew_where_no_row_did(warehouse: Warehouse, tmp_path: Path) -> None:
    """The files are those of last time, and only figures are new."""
    wanted = order(tmp_path / "crm", COMPANY)
    bring(warehouse, wanted)
    with warehouse.pin() as pin:
        declared = contents(pin.conn)
        basis = GenerationKey(pin.generation.zone, pin.generation.calendar_hash, pin.generation.metrics_hash)
    with warehouse.draft() as draft:
        for table in ("roll_contact", "account_month", "account_answer"):
            draft.conn.execute(DropTable(tables.warehouse.tables[table]))
        record_generation(draft.conn, draft.number, basis, "crm", "{}", AT)
    with closing(reopened(warehouse)) as later:
        assert bring(later, wanted).published
        with later.pin() as pin:
            assert contents(pin.conn) == declared
        assert not bring(later, wanted).published


def test_a_draft_is_not_seen_and_may_be_discarded(warehouse: Warehouse) -> None:
    publish(warehouse)
    with warehouse.draft() as draft:
        add(draft)
        assert seen(warehouse) == (1, 1)
        draft.discard()
    assert seen(warehouse) == (1, 1)
    assert publish(warehouse) == 2


def test_a_draft_that_fails_is_not_published(warehouse: Warehouse) -> None:
    publish(warehouse)
    with pytest.raises(RuntimeError, match="half-way"):
        _fail(warehouse)
    assert seen(warehouse) == (1, 1)
    assert publish(warehouse) == 2
    assert seen(warehouse) == (2, 2)


def _fail(warehouse: Warehouse) -> None:
    with warehouse.draft() as draft:
        add(draft)
        raise RuntimeError("half-way")


def test_a_first_draft_that_fails_leaves_nothing_to_read(warehouse: Warehouse) -> None:
    with pytest.raises(RuntimeError, match="half-way"):
        _fail(warehouse)
    with pytest.raises(NoWarehouseError):
        seen(warehouse)


def test_a_second_writer_on_postgresql_waits_and_says_for_whom(postgres_url: str) -> None:
    """On DuckDB: test_load."""
    said, waits = list[str](), threading.Event()

    def say(what: str) -> None:
        said.append(what)
        waits.set()

    with closing(SharedWarehouse(postgres_url)) as first, closing(SharedWarehouse(postgres_url)) as second:
        publish(first)
        with first.draft() as draft:
            process = draft.conn.scalar(text("select pg_backend_pid()"))
            writer = threading.Thread(target=_publish_saying, args=(second, say))
            writer.start()
            assert waits.wait(20)
            writer.join(0.2)
            assert writer.is_alive()
            add(draft)
        writer.join(20)
        assert said[0].startswith(f"another load is running (database process {process} of earshot at 127.0.0.1 since ")
        assert said[0].endswith("); waiting for it")
        assert seen(first) == (3, 3)


def _publish_saying(warehouse: Warehouse, say: Any) -> None:
    with warehouse.draft(say) as draft:
        add(draft)


def test_a_pin_on_postgresql_writes_nothing(postgres_url: str) -> None:
    with closing(SharedWarehouse(postgres_url)) as warehouse:
        publish(warehouse)
        with warehouse.pin() as pin, pytest.raises(Exception, match="read-only transaction"):
            pin.conn.execute(insert(tables.erased).values(hash="x", at=AT))


def test_old_generations_go_unless_they_are_read(embedded: EmbeddedWarehouse) -> None:
    publish(embedded)
    with embedded.pin() as early:
        for _ in range(4):
            publish(embedded)
        assert numbers(embedded.folder) == {1, 4, 5}
        assert accounts(early) == 1
    publish(embedded)
    assert numbers(embedded.folder) == {5, 6}
    assert len(numbers(embedded.folder)) == KEPT


def test_engines_of_old_generations_are_let_go(embedded: EmbeddedWarehouse) -> None:
    """An engine that stays open costs a hundred megabytes."""
    publish(embedded)
    with embedded.pin(), embedded.pin():
        publish(embedded)
        seen(embedded)
        assert set(embedded._engines) == {1, 2}
    assert set(embedded._engines) == {2}
    publish(embedded)
    seen(embedded)
    assert set(embedded._engines) == {3}
    assert not any("generation-1" in name for name in _open_files())
    embedded.close()
    assert not any(str(embedded.folder) in name for name in _open_files())


def _open_files() -> list[str]:
    return [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


def test_erasing_leaves_no_older_generation(embedded: EmbeddedWarehouse) -> None:
    """What was deleted is not in the file any more, and a reader of before loses its file, not its reading."""
    with embedded.draft() as draft:
        add(draft)
        secret = "x" * 40 + "secret"
        draft.conn.execute(insert(tables.account).values(account_id="S", source="s", name=secret))
    publish(embedded)
    with embedded.pin() as early:
        with embedded.draft() as draft:
            draft.conn.execute(tables.account.delete().where(tables.account.c.account_id == "S"))
            add(draft)
            draft.erase()
        assert numbers(embedded.folder) == {3}
        assert accounts(early) == 3
    assert seen(embedded) == (3, 3)
    assert b"secret" not in b"".join(file.read_bytes() for file in embedded.folder.iterdir())


def test_erasing_on_postgresql_leaves_no_dead_row(postgres_url: str) -> None:
    with closing(SharedWarehouse(postgres_url)) as warehouse:
        publish(warehouse)
        with warehouse.draft() as draft:
            draft.conn.execute(tables.account.delete())
            add(draft)
            draft.erase()
        with warehouse.pin() as pin:
            size = text("select pg_relation_size('account'), (select count(*) from account)")
            assert tuple(pin.conn.execute(size).one()) == (8192, 1)


def test_the_next_writer_sweeps_what_a_killed_one_left(embedded: EmbeddedWarehouse) -> None:
    publish(embedded)
    left = ("draft-2.duckdb", "draft-2.duckdb.wal", "draft-2.stage.duckdb", "draft-9.anew.duckdb", "current.new")
    for name in (*left, "generation-2.duckdb"):
        (embedded.folder / name).write_bytes(b"half")
    (embedded.folder / "current.new").write_text("2", encoding="ascii")
    for place in (f"spill-{_dead()}-generation-1", f"spill-{os.getpid()}-draft-2", f"spill-{os.getpid()}-generation-1"):
        (embedded.folder / place).mkdir()
    assert seen(embedded) == (1, 1)
    assert publish(embedded) == 2
    assert seen(embedded) == (2, 2)
    names = {path.name for path in embedded.folder.iterdir()}
    assert names & {*left} == set()
    assert {name for name in names if name.startswith("spill")} == {f"spill-{os.getpid()}-generation-1"}


def _dead() -> int:
    """The number of a process that has ended."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(done.stdout)


DIES: Final = """
import os, sys
from pathlib import Path
import duckdb_sqlalchemy
from queries.warehouse.generations import embedded_warehouse, generation_files
from sqlalchemy import insert
from queries.warehouse import tables
from tests.loading.test_generations import AT, add

erasing = sys.argv[2:] == ["erasing"]

def dying(folder, fatal):
    calls = 0
    def count(function):
        def counted(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == fatal:
                os.kill(os.getpid(), 9)
            return function(*arguments, **named)
        return counted
    with embedded_warehouse.EmbeddedWarehouse(folder, "128MB").draft() as draft:
        add(draft)
        if erasing:
            draft.conn.execute(insert(tables.erased).values(hash=f"{draft.number}", at=AT))
            draft.erase()
        for module, name in ((embedded_warehouse, "_checkpoint"), (generation_files, "_fsync")):
            setattr(module, name, count(getattr(module, name)))
        for name in ("rename", "write_text", *(["unlink"] if erasing else [])):
            setattr(Path, name, count(getattr(Path, name)))
    os._exit(calls)

for line in sys.stdin:
    child = os.fork()
    if not child:
        dying(Path(sys.argv[1]), int(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_at_any_step_of_publishing(embedded: EmbeddedWarehouse) -> None:
    """Before each of its calls to the disk in turn: the pointer's rename is the one that counts."""
    publish(embedded)
    steps, fates = 8, []
    with answering(DIES, str(embedded.folder)) as ask:
        for fatal in range(1, steps + 1):
            before = embedded.files.current()
            assert ask(str(fatal)) == "-9"
            fates.append(embedded.files.current() - before)
            assert seen(embedded) == (embedded.files.current(), embedded.files.current())
        assert fates == [0, 0, 0, 0, 0, 0, 0, 1]
        assert ask("0") == str(steps)
    assert seen(embedded) == (3, 3)
    assert numbers(embedded.folder) == {2, 3}


def test_killed_at_any_step_of_erasing(embedded: EmbeddedWarehouse, *, prove: bool) -> None:
    """Once the pointer has moved, the next writer leaves no older generation, even if it publishes nothing."""
    publish(embedded)
    fates = []
    with answering(DIES, str(embedded.folder), "erasing") as ask:
        for fatal in count(1, 1 if prove else 4):
            before = embedded.files.current()
            if ask(str(fatal)) != "-9":
                break
            moved = embedded.files.current() > before
            with embedded.draft() as draft:
                assert set(draft.conn.scalars(select(tables.erased.c.hash))) >= set(embedded.files.tombstones())
                draft.discard()
            assert numbers(embedded.folder) == ({before + 1} if moved else numbers(embedded.folder) | {before})
            assert seen(embedded) == (before + moved, before + moved)
            fates.append(moved)
    assert fates == sorted(fates)
    assert set(fates) == {False, True}


READS: Final = """
import os, sys
from pathlib import Path
from queries.warehouse.generations.embedded_warehouse import EmbeddedWarehouse
from queries.warehouse.generations import SharedWarehouse
from tests.loading.test_generations import accounts

place = sys.argv[1]
warehouse = SharedWarehouse(place) if "://" in place else EmbeddedWarehouse(Path(place), "128MB")
for line in sys.stdin:
    with warehouse.pin() as pin:
        print(os.getpid(), pin.generation.number, accounts(pin), flush=True)
        sys.stdin.readline()
        print(os.getpid(), pin.generation.number, accounts(pin), flush=True)
warehouse.close()
"""


def _found(answer: str) -> tuple[int, int]:
    _, generation, there = map(int, answer.split())
    return generation, there


def test_readers_and_the_writer_in_processes_of_their_own(warehouse: Warehouse, request: pytest.FixtureRequest) -> None:
    """A reader's first and second answer come from one pin."""
    publish(warehouse)
    folder = warehouse.folder if isinstance(warehouse, EmbeddedWarehouse) else None
    place = str(folder or request.getfixturevalue("postgres_url"))
    with answering(READS, place) as one, answering(READS, place) as two:
        assert _found(one("pin")) == (1, 1)
        for _ in range(3):
            publish(warehouse)
        assert _found(two("pin")) == (4, 4)
        publish(warehouse)
        assert [_found(ask("look")) for ask in (one, two)] == [(1, 1), (4, 4)]
        assert [_found(ask("pin")) for ask in (one, two)] == [(5, 5), (5, 5)]
        if folder:
            publish(warehouse)
            publish(warehouse)
            assert numbers(folder) == {5, 6, 7}, "the readers of 1 and 4 have gone on to 5"
        assert [_found(ask("look")) for ask in (one, two)] == [(5, 5), (5, 5)]


def test_a_reader_that_is_killed_keeps_no_generation(embedded: EmbeddedWarehouse) -> None:
    publish(embedded)
    with pytest.raises(AssertionError), answering(READS, str(embedded.folder)) as ask:
        os.kill(int(ask("pin").split()[0]), signal.SIGKILL)
    for _ in range(2):
        publish(embedded)
    assert numbers(embedded.folder) == {2, 3}


def test_readers_never_see_a_generation_go(embedded: EmbeddedWarehouse) -> None:
    """Reading as fast as can be while generations come and go: each look is whole."""
    publish(embedded)
    stop, found = threading.Event(), set[tuple[int, int]]()

    def look() -> None:
        with closing(EmbeddedWarehouse(embedded.folder, "128MB")) as own:
            while not stop.is_set():
                found.add(seen(own))

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        for _ in range(12):
            publish(embedded)
        stop.set()
        for each in looks:
            each.result()
    assert all(generation == there for generation, there in found)
    assert len(found) > 3
