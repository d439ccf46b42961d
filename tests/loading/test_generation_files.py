"""What the pointer does not name is never removed on doubt, and nothing takes its place that is not whole."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from config import EarshotError
from queries.__main__ import main
from queries.engine import embedded as engine_of
from queries.engine import reading
from queries.warehouse import (
    EmbeddedWarehouse,
    NoWarehouseError,
    SharedWarehouse,
    Warehouse,
    tables,
)
from queries.warehouse.generations import embedded_warehouse
from queries.warehouse.generations.generation_files import BrokenWarehouseError, GenerationFiles
from tests.loading.test_generations import AT, accounts, add, numbers, publish, seen


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where three generations were published; two are there."""
    folder = tmp_path_factory.mktemp("published") / "warehouse"
    with closing(EmbeddedWarehouse(folder, "128MB")) as warehouse:
        for _ in range(3):
            publish(warehouse)
    return folder


@pytest.fixture
def embedded(published: Path, tmp_path: Path) -> Iterator[EmbeddedWarehouse]:
    with closing(EmbeddedWarehouse(shutil.copytree(published, tmp_path / "warehouse"), "128MB")) as warehouse:
        yield warehouse


def erase(warehouse: Warehouse, key: str = "x") -> None:
    with warehouse.draft() as draft:
        draft.conn.execute(insert(tables.erased).values(hash=key, at=AT))
        add(draft)
        draft.erase()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.duckdb")}


WRONG = ["", "0", "-3", "x", "3 2", "3.0", "\uff13", "9" * 30, "nothing"]


@pytest.mark.parametrize("said", [None, *WRONG], ids=str)
def test_a_pointer_that_is_lost_or_wrong_stops_everybody_and_removes_nothing(
    embedded: EmbeddedWarehouse, said: str | None
) -> None:
    pointer, before = embedded.folder / "current", content(embedded.folder)
    if said is None:
        pointer.unlink()
    else:
        pointer.write_text(said, encoding="utf-8")
    way = "nothing was removed; the newest intact generation is 3; run `python -m queries repair` to use it"
    for use in (seen, publish, erase):
        with pytest.raises(BrokenWarehouseError, match=str(pointer)) as error:
            use(embedded)
        assert str(error.value).endswith(way)
    assert content(embedded.folder) == before
    assert embedded.repair() == 3
    assert seen(embedded) == (3, 3)
    assert publish(embedded) == 4
    assert numbers(embedded.folder) == {3, 4}


def test_who_still_reads_a_generation_finds_it_whole_when_the_pointer_is_lost(published: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(published, tmp_path / "warehouse")
    with closing(EmbeddedWarehouse(folder, reading_limit="100MB")) as warehouse, warehouse.pin() as early:
        (folder / "current").unlink()
        with pytest.raises(BrokenWarehouseError, match="generation is 3; "):
            seen(warehouse)
        assert accounts(early) == 3


def test_a_pointer_that_was_set_back_stops_the_writers(embedded: EmbeddedWarehouse) -> None:
    (embedded.folder / "current").write_text("2", encoding="ascii")
    assert seen(embedded) == (2, 2)
    with pytest.raises(BrokenWarehouseError, match="names generation 2, but 3 exists"):
        publish(embedded)
    assert numbers(embedded.folder) == {2, 3}


def test_a_generation_that_is_missing_is_said_and_not_looked_for_without_end(embedded: EmbeddedWarehouse) -> None:
    (embedded.folder / "generation-3.duckdb").unlink()
    began, worked = time.monotonic(), time.process_time()
    with pytest.raises(BrokenWarehouseError, match=r"generation-3\.duckdb is missing; .* generation is 2; "):
        seen(embedded)
    assert time.monotonic() - began < 10
    assert time.process_time() - worked < 3
    with pytest.raises(BrokenWarehouseError, match="is missing"):
        publish(embedded)
    assert numbers(embedded.folder) == {2}
    assert embedded.repair() == 2
    assert (publish(embedded), numbers(embedded.folder)) == (3, {2, 3})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def overwrite(file: Path) -> None:
    file.write_bytes(b"x" * 4096)


def leave_a_log(file: Path) -> None:
    file.with_name(f"{file.name}.wal").write_bytes(b"half")


@pytest.mark.parametrize("damage", [cut, overwrite, leave_a_log])
def test_a_repair_passes_over_what_is_damaged_and_keeps_it(
    embedded: EmbeddedWarehouse, damage: Callable[[Path], None]
) -> None:
    damage(embedded.folder / "generation-3.duckdb")
    embedded.close()
    assert embedded.repair() == 2
    assert (seen(embedded), publish(embedded)) == ((2, 2), 3)
    assert (embedded.folder / "damaged-3.duckdb").exists()
    erase(embedded)
    assert not list(embedded.folder.glob("damaged-*")), "it may hold what was erased"
    assert numbers(embedded.folder) == {4}


def test_a_damaged_generation_is_named_by_who_reads_it(embedded: EmbeddedWarehouse) -> None:
    overwrite(embedded.folder / "generation-3.duckdb")
    with pytest.raises(BrokenWarehouseError, match=r"generation-3\.duckdb cannot be opened .* generation is 2; "):
        seen(embedded)


def test_there_is_no_way_but_a_backup_where_nothing_is_whole(embedded: EmbeddedWarehouse) -> None:
    for number in (2, 3):
        overwrite(embedded.folder / f"generation-{number}.duckdb")
    for use in (seen, EmbeddedWarehouse.repair):
        with pytest.raises(BrokenWarehouseError, match="no generation is intact: restore a backup"):
            use(embedded)
    assert numbers(embedded.folder) == {2, 3}


def test_what_was_erased_stays_out_though_every_generation_is_lost(embedded: EmbeddedWarehouse) -> None:
    erase(embedded)
    erase(embedded, "y")
    for file in (*embedded.folder.glob("generation-*"), embedded.folder / "current"):
        file.unlink()
    embedded.close()
    with pytest.raises(NoWarehouseError):
        seen(embedded)
    with embedded.draft() as draft:
        add(draft)
        assert draft.number == 1
    with embedded.pin() as pin:
        assert {row.hash: row.at for row in pin.conn.execute(select(tables.erased))} == {"x": AT, "y": AT}


@pytest.mark.parametrize("said", ["", "{", "[]", '{"x": 1}', '{"x": "never"}', "\xff"], ids=repr)
def test_damaged_tombstones_are_said_and_made_anew_from_the_generation(embedded: EmbeddedWarehouse, said: str) -> None:
    erase(embedded)
    kept = embedded.folder / "erased.json"
    kept.write_text(said, encoding="utf-8")
    with pytest.raises(BrokenWarehouseError, match=r"erased\.json is damaged; remove it"):
        publish(embedded)
    kept.unlink()
    assert publish(embedded) == 5
    assert embedded.files.tombstones() == {"x": AT.isoformat()}


def test_what_a_restored_generation_knows_to_be_erased_is_kept_beside_it(
    embedded: EmbeddedWarehouse, tmp_path: Path
) -> None:
    erase(embedded)
    with closing(EmbeddedWarehouse(tmp_path / "restored")) as restored:
        restored.adopt(embedded.files.file(4), 4)
        assert restored.files.tombstones() == {"x": AT.isoformat()}


def lost_rows(file: Path) -> None:
    engine = engine_of(file, read_only=False)
    with engine.connect() as conn:
        conn.execute(text("delete from account"))
        conn.commit()
    engine.dispose()


def lost_table(file: Path) -> None:
    engine = engine_of(file, read_only=False)
    with engine.connect() as conn:
        conn.execute(text("drop table account"))
        conn.commit()
    engine.dispose()


PUBLISHERS: Final[dict[str, Callable[[EmbeddedWarehouse], object]]] = {
    "load": publish,
    "forget": erase,
    "restore": lambda warehouse: warehouse.adopt(warehouse.folder / "generation-2.duckdb", 2),
}


@pytest.mark.parametrize("publisher", PUBLISHERS)
@pytest.mark.parametrize("damage", [cut, overwrite, leave_a_log, lost_rows, lost_table])
def test_what_is_not_whole_is_not_published(
    embedded: EmbeddedWarehouse, publisher: str, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the new file, and whatever happened to it on the way: what is there stays."""
    before, publish_whole = content(embedded.folder), GenerationFiles.publish

    def publish_damaged(files: object, draft: Path, *arguments: object, **named: object) -> None:
        damage(draft)
        publish_whole(files, draft, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(GenerationFiles, "publish", publish_damaged)
    with pytest.raises(BrokenWarehouseError):
        PUBLISHERS[publisher](embedded)
    assert {name: held for name, held in content(embedded.folder).items() if "draft" not in name} == before
    assert seen(embedded) == (3, 3)
    monkeypatch.undo()
    assert publish(embedded) == 4
    assert set(content(embedded.folder)) == {"generation-3.duckdb", "generation-4.duckdb"}


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
def test_a_reader_that_comes_while_everything_older_goes_takes_the_new_one(
    engine: str, request: pytest.FixtureRequest
) -> None:
    """As `forget` does it; each reader opens the warehouse anew, as another process would."""
    stop, found = threading.Event(), set[tuple[int, int]]()

    def opened() -> Warehouse:
        if engine == "postgresql":
            return SharedWarehouse(url)
        return EmbeddedWarehouse(folder, "128MB")

    def look() -> None:
        while not stop.is_set():
            with closing(opened()) as own:
                found.add(seen(own))

    if engine == "postgresql":
        url = request.getfixturevalue("postgres_url")
        with closing(opened()) as first:
            publish(first)
    else:
        folder = request.getfixturevalue("embedded").folder
    with closing(opened()) as warehouse, ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        for number in range(10):
            erase(warehouse, str(number))
        stop.set()
        for each in looks:
            each.result()
    assert all(generation == there for generation, there in found)
    assert len(found) > 2


def test_a_reader_whose_file_goes_as_it_opens_it_takes_the_new_one(
    embedded: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[int]()

    def late(engine: Engine) -> AbstractContextManager[Connection]:
        calls.append(1)
        if len(calls) == 1:
            with closing(EmbeddedWarehouse(embedded.folder, "128MB")) as other:
                erase(other)
        return reading(engine)

    monkeypatch.setattr(embedded_warehouse, "reading", late)
    assert seen(embedded) == (4, 4)
    assert len(calls) == 2


def test_the_command_that_repairs(
    embedded: EmbeddedWarehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(embedded.folder.parent))
    (embedded.folder / "current").unlink()
    assert main(["status"]) == 1
    assert "run `python -m queries repair` to use it" in capsys.readouterr().err
    assert main(["repair"]) == 0
    assert "generation 3 is now in use" in capsys.readouterr().out
    assert main(["status"]) == 0


def test_there_is_nothing_to_repair_before_the_first_load(tmp_path: Path) -> None:
    with (
        closing(EmbeddedWarehouse(tmp_path / "warehouse")) as warehouse,
        pytest.raises(EarshotError, match="nothing is"),
    ):
        warehouse.repair()
