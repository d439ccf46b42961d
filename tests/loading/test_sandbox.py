"""Source SQL reads its inputs and does nothing else; what is wrong with it is said in one line with its place."""

import fcntl
import os
import resource
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Final

import duckdb
import pytest

from config import EarshotError
from config.models import Source
from queries.loading import limits, sandbox
from queries.loading.limits import Limits
from queries.loading.sources import find_source, open_source, selects
from tests.support.offering import FAR_LATER, offered, write_source

PEOPLE = {"t.csv": "id,name,stamp\n1,Ana,2024-01-01\n2,Bo,x\n"}
GOOD = "select id as account_id, name from t"


def refused(folder: Path, sql: str, table: str = "account") -> str:
    with pytest.raises(EarshotError) as error:
        offered(folder, {table: sql}, PEOPLE)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.csv"
    file.write_text("id,name\n1,secret\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "sql",
    [
        "select id as account_id, name from '{secret}'",
        "select id as account_id, name from read_csv('{secret}')",
        "select '1' as account_id, content as name from read_text('{secret}')",
        "select '1' as account_id, content::varchar as name from read_blob('/proc/self/environ')",
        "select '1' as account_id, file as name from glob('{secret}')",
        "select '1' as account_id, path as name from read_text('/etc/*')",
        "select '1' as account_id, prompt as name from sniff_csv('{secret}')",
        "select id as account_id, name from query('select * from read_csv(''{secret}'')')",
        "select id as account_id, name from t where id in (select id from '{secret}')",
    ],
)
def test_no_file_but_the_inputs_is_read(tmp_path: Path, secret: Path, sql: str) -> None:
    assert "file system operations are disabled" in refused(tmp_path, sql.format(secret=secret))


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("copy (select 1) to '{secret}'", "COPY"),
        ("copy t to '{secret}'; " + GOOD, "COPY, SELECT"),
        (GOOD + "; copy t to '{secret}'", "SELECT, COPY"),
        ("drop view t", "DROP"),
        (GOOD + "; drop view t;", "SELECT, DROP"),
        ("create table x as " + GOOD, "CREATE"),
        ("attach '{secret}.db' as x", "ATTACH"),
        ("install httpfs", "LOAD"),
        ("load httpfs", "LOAD"),
        ("set memory_limit = '10GB'", "SET"),
        ("reset memory_limit", "SET"),
        ("insert into t values (1, 2)", "INSERT"),
        ("call pragma_version()", "CALL"),
        ("export database '{secret}'", "EXPORT"),
        (GOOD + "; " + GOOD, "SELECT, SELECT"),
        ("-- nothing yet", "nothing"),
        ("", "nothing"),
    ],
)
def test_only_one_select(tmp_path: Path, secret: Path, sql: str, kind: str) -> None:
    before = secret.read_bytes()
    assert f"account.sql: a source's file must hold one SELECT, not {kind}" in refused(
        tmp_path, sql.format(secret=secret)
    )
    assert secret.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "secret.csv", "source"]


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{outside}'",
        "attach '{outside}' as x",
        "select * from read_text('/etc/hostname')",
        "set allowed_directories = ['/']",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "install httpfs",
        "load '{outside}'",
        "import database '{outside}'",
    ],
)
def test_the_connection_itself_is_shut_off(tmp_path: Path, statement: str) -> None:
    """Even if a statement came past the check, it could do nothing."""
    with sandbox.private_folder() as private, duckdb.connect(config=sandbox._SEALED) as conn:
        sandbox._shut_off(conn, private, "UTC")
        with pytest.raises(duckdb.Error):
            conn.execute(statement.format(outside=tmp_path / "outside"))
    assert not list(tmp_path.iterdir())


def test_the_program_is_not_read(tmp_path: Path) -> None:
    """Unless told otherwise DuckDB finds the Python variable of that name."""
    assert "Table with name PEOPLE does not exist" in refused(tmp_path, "select * from PEOPLE")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "select id as account_id,\n  nam as name\nfrom t",
            'account.sql:2: Binder Error: Referenced column "nam" not found',
        ),
        ("select id as account_id,\n  nam as name\nfrom t", 'Candidate bindings: "name"'),
        ("select id as account_id\nfrm t", "account.sql:2: Parser Error: syntax error"),
        ("select\n\n'a' + 1 as account_id, name\nfrom people", "account.sql:4: Catalog Error: Table with name people"),
        ("select id as account_id, nope(name) as name from t", "account.sql:1: Catalog Error: Scalar Function"),
        ("-- a\nselect id as account_id, name,\n stamp::integer as since from t", "account.sql: Conversion Error"),
        ("select id as account_id, name, name from t", "account.sql: column 'name' appears twice in the SELECT"),
        ("select id as account_id from t", "account.sql: column 'name' is missing; add it: every account needs one"),
        (
            "select id as account_id, name as nme from t",
            "account.sql: account has no column 'nme'; did you mean 'name'?",
        ),
        (
            GOOD.replace("from", ", 1 as zzzz from"),
            "has no column 'zzzz'; account has account_id, name, since, recorded_at",
        ),
        (GOOD.replace("from", ", 'x' as source from"), "the load fills column 'source'; leave it out"),
        (GOOD.replace("name", "[name] as name"), "column 'name' is a VARCHAR[]; make it one plain value"),
        ("describe t", "account.sql:1: Parser Error"),
    ],
)
def test_a_mistake_in_a_select_has_its_place(tmp_path: Path, sql: str, message: str) -> None:
    assert message in refused(tmp_path, sql)


@pytest.mark.parametrize("ending", ["", ";", ";\n", " -- done", "\n/* done */", ";;"])
def test_a_select_may_end_as_analysts_end_it(tmp_path: Path, ending: str) -> None:
    assert (
        len(offered(tmp_path, {"account": f"-- Accounts\nwith a as ({GOOD}) from a{ending}"}, PEOPLE).tables["account"])
        == 2
    )


def test_a_failure_half_way_is_the_loads_error_whoever_reads(tmp_path: Path) -> None:
    """The reader may be another DuckDB, which makes an error of its own of what went wrong."""
    sql = "select id::integer::varchar as account_id, name from t"
    files = {"t.csv": "id,name\n" + "".join(f"{i},a\n" for i in range(300_000)) + "x,b\n"}
    source = write_source(tmp_path, {"account": sql}, files)
    with pytest.raises(EarshotError, match=r"account.sql: Conversion Error: Could not convert string 'x' to INT32"):
        _load_elsewhere(source, tmp_path)


def test_an_interrupted_reader_is_told_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB interrupts the threads beside the one that fails, and at times only that is heard of."""

    def interrupted(*_: object) -> None:
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")

    monkeypatch.setattr(sandbox, "_next", interrupted)
    sql = "select id::integer::varchar as account_id, name from t"
    source = write_source(tmp_path, {"account": sql}, {"t.csv": "id,name\nx,b\n"})
    with pytest.raises(EarshotError, match=r"account.sql: Conversion Error: Could not convert string 'x' to INT32"):
        _load_elsewhere(source, tmp_path)


def _load_elsewhere(source: Source, folder: Path) -> None:
    with (
        duckdb.connect() as reader,
        sandbox.staged(source, folder / "source", folder / "data", "UTC", FAR_LATER, print) as staging,
    ):
        for item in staging:
            reader.register("arriving", item.rows)
            reader.execute("create table account as select * from arriving")


def test_a_broken_line_far_down_is_named(tmp_path: Path) -> None:
    content = "id,name\n" + "".join(f'{i},"a\nb"\n' for i in range(200_000)) + "1,2,3\n"
    with pytest.raises(EarshotError, match=r"t.csv:\d+: 3 columns where the header has 2"):
        offered(tmp_path, {"account": GOOD}, {"t.csv": content})


def test_tables_come_parents_first(tmp_path: Path) -> None:
    sql = {
        "contact": "select id, id as account_id, 'visit' as touchpoint, 'in' as direction, stamp as occurred_at from t",
        "account": GOOD,
        "person": "select id as person_id, id as account_id from t",
    }
    assert list(offered(tmp_path, sql, PEOPLE).tables) == ["account", "person", "contact"]


def test_every_canonical_column_comes_with_its_type(tmp_path: Path) -> None:
    source = write_source(tmp_path, {"account": GOOD}, PEOPLE)
    with sandbox.staged(source, tmp_path / "source", tmp_path / "data", "UTC", FAR_LATER, print) as staging:
        rows = next(iter(staging)).rows
        assert {field.name: str(field.type) for field in rows.schema} == {
            "account_id": "string",
            "source": "string",
            "name": "string",
            "since": "date32[day]",
            "recorded_at": "timestamp[us]",
            "reason": "string",
            "row": "string",
        }
        assert rows.read_all().num_rows == 2


def test_nothing_private_stays_and_what_a_killed_load_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    for name in ("earshot-left", "earshot-running"):
        (tmp_path / "tmp" / name).mkdir()
        (tmp_path / "tmp" / name / "held").touch()
    with (tmp_path / "tmp" / "earshot-running" / "held").open("w") as hold:
        fcntl.flock(hold, fcntl.LOCK_EX)
        offered(tmp_path, {"account": GOOD}, PEOPLE)
        with pytest.raises(EarshotError):
            offered(tmp_path, {"account": "select"}, PEOPLE)
        assert [folder.name for folder in (tmp_path / "tmp").iterdir()] == ["earshot-running"]


def test_the_private_copy_is_private(tmp_path: Path) -> None:
    with sandbox.private_folder() as private:
        assert private.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_load_larger_than_memory_streams(tmp_path: Path) -> None:
    """Four million rows pass through without being held."""
    program = f"""
from pathlib import Path
from typing import Final
from queries.loading.sandbox import staged
from tests.support.offering import FAR_LATER, write_source
folder = Path({str(tmp_path)!r})
sql = "select 'account ' || range as account_id, repeat('x', 200) || range as name from t, range(4000000)"
source = write_source(folder, {{"account": sql}}, {{"t.csv": "id\\n1\\n"}})
with staged(source, folder / "source", folder / "data", "UTC", FAR_LATER, print) as staging:
    for item in staging:
        print(sum(batch.num_rows for batch in item.rows))
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)  # ru_maxrss would count from the parent's
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rows, megabytes = done.stdout.split()[-2:]
    assert int(rows) == 4_000_000
    assert int(megabytes) < 700


def test_a_source_is_found_by_name_or_path(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "sources" / "shop"
    folder.mkdir(parents=True)
    (folder / "source.toml").write_text(
        'zone = "UTC"\nmode = "append"\n[inputs.t]\nfile = "t.csv"\nformat = "csv"\n', encoding="utf-8"
    )
    (folder / "account.sql").write_text(GOOD, encoding="utf-8")
    by_name, where = open_source("shop", tmp_path / "config")
    assert (by_name.name, where) == ("shop", folder)
    assert open_source(str(folder), tmp_path)[0] == by_name
    assert [(s.table.name, s.sql) for s in selects(folder)] == [("account", GOOD)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shp", "there is no source 'shp'; did you mean 'shop'?"),
        ("zzz", "there is no source 'zzz'; there are shop"),
        ("{folder}", "has no source.toml"),
    ],
)
def test_a_source_must_be_there(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "sources" / "shop").mkdir(parents=True)
    (tmp_path / "sources" / "shop" / "source.toml").touch()
    with pytest.raises(EarshotError) as error:
        find_source(name.format(folder=tmp_path), tmp_path)
    assert message in str(error.value)


def test_a_file_named_after_no_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "contacts.sql").write_text(GOOD, encoding="utf-8")
    with pytest.raises(EarshotError, match=r"contacts.sql: there is no table 'contacts'; did you mean 'contact'\?"):
        selects(tmp_path)


CROWD: Final = """
import os, sys
from queries.loading.sandbox import private_folder

def work():
    for _ in range(100):
        with private_folder() as folder:
            (folder / "copy").write_text("kept")
            os.sched_yield()
            if (folder / "copy").read_text() != "kept" or not (folder / "held").exists():
                return 1
    return 0

for _ in range(12):
    if not os.fork():
        try:
            os._exit(work())
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(2)
sys.exit(max(os.wait()[1] for _ in range(12)) != 0)
"""


def test_loads_at_the_same_time_leave_each_other_their_folders(tmp_path: Path) -> None:
    """Each sweeps what killed loads left, while the others are between making a folder and locking it."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    # Importing starts threads, and from 3.12 on a fork is warned of then: the children have nothing to do with them.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", CROWD]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


ENDLESS: Final = (
    "with recursive r(i) as (select 1 union all select i + 1 from r) "
    "select max(i)::varchar as account_id, '' as name from r"
)
GREEDY: Final = "select quantile_cont(i, 0.5)::varchar as account_id, 'x' as name from range(400000000) t(i)"


def staged_under(tmp_path: Path, sql: str, most: Limits) -> None:
    source = write_source(tmp_path, {"account": sql}, PEOPLE)
    with sandbox.staged(source, tmp_path / "source", tmp_path / "data", "UTC", FAR_LATER, print, most) as staging:
        for item in staging:
            item.rows.read_all()


def test_a_select_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(EarshotError, match=r"account\.sql: the SELECTs ran for longer than 0m; .*__SELECT_LIMIT"):
        staged_under(tmp_path, ENDLESS, Limits(timedelta(seconds=1)))


@pytest.mark.skipif(sys.platform != "linux", reason="the system counts a process's memory on Linux alone")
def test_a_select_takes_no_more_memory_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB does not count what a quantile keeps; the system does, and lets go again afterwards."""
    monkeypatch.setattr(limits, "MEMORY_LIMIT", "100MB")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(EarshotError, match=r"account\.sql: the SELECT needs more than 768MB"):
        staged_under(tmp_path, GREEDY, Limits(timedelta(minutes=5), "1MB"))
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_pipe_in_somebodys_folder_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "earshot-pipe").mkdir()
    os.mkfifo(tmp_path / "earshot-pipe" / "held")
    (tmp_path / "earshot-link").symlink_to(tmp_path / "data")
    (tmp_path / "earshot-file").touch()
    source = write_source(tmp_path, {"account": GOOD}, PEOPLE)
    with sandbox.staged(source, tmp_path / "source", tmp_path / "data", "UTC", FAR_LATER, print) as staging:
        assert sum(item.rows.read_all().num_rows for item in staging) == 2
    assert (tmp_path / "earshot-pipe" / "held").exists()
