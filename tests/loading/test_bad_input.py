"""Whatever is wrong with what a load is given, through the real command: said in one line, and nothing is spoilt.

What is wrong with the bytes of a file stands in full in test_inputs, with a row in test_contract, with a SELECT in
test_sandbox, with the configuration in test_mistakes; here is that each of them ends well at the command line.
"""

import csv
import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest

from queries.__main__ import main
from tests.counterparts.limits import refusal
from tests.counterparts.slack import CHANNELS, Slack
from tests.support.company import CONFIG, noon
from tests.support.elsewhere import Done, Elsewhere, on_small_disk, started, without_override
from tests.support.installation import configure
from triggers.__main__ import main as triggers_main

ACCOUNTS: Final = "account_id,name\n" + "".join(f"A{i},Company {i}\n" for i in range(30))
HEAD: Final = "id,account_id,touchpoint,direction,occurred_at,answered_at,vertical\n"
CONTACT: Final = "{id},{account},visit,in,{at},,North\n"
CONTACTS: Final = HEAD + "".join(CONTACT.format(id=f"c{i}", account=f"A{i % 30}", at="2026-01-05") for i in range(100))
NASTY: Final = {
    "formula": "=cmd|' /C calc'!A0",
    "script": "<script>alert(1)</script>",
    "slack": "*bold* <!channel> & co",
    "long": "x" * 300,
}
SOURCE: Final = 'zone = "Europe/Berlin"\nmode = "{mode}"\n{more}\n'
INPUT: Final = '[inputs.{name}]\nfile = "{name}.csv"\nformat = "csv"\n{more}\n'


@dataclass(frozen=True, slots=True)
class Desk:
    """A source and its files, and the installation that it is loaded into."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def source(self) -> Path:
        return self.folder / "desk"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def words(self) -> tuple[str, ...]:
        return ("load", str(self.source), "--data", str(self.files))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def environ(self) -> dict[str, str]:
        return {"EARSHOT_DATA": str(self.data), "EARSHOT_CONFIG": str(CONFIG)}

    def put(self, name: str, content: str | bytes, sql: str | None = None) -> None:
        """Write an input and the SELECT of its table."""
        (self.files / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        (self.source / f"{name}.sql").write_text(sql or f"select * from {name}", encoding="utf-8")

    def describe(self, mode: str = "snapshot", more: str = "", **inputs: str) -> None:
        """Write source.toml: every file is an input."""
        names = sorted(file.stem for file in self.files.glob("*.csv"))
        parts = [SOURCE.format(mode=mode, more=more), *(INPUT.format(name=n, more=inputs.get(n, "")) for n in names)]
        (self.source / "source.toml").write_text("\n".join(parts), encoding="utf-8")

    def load(self) -> Done:
        return self.run(*self.words)

    def run(self, *words: str) -> Done:
        status = main(list(words))
        printed = self.capsys.readouterr()
        return Done(status, printed.out, printed.err)

    def refused(self) -> str:
        """Load what must not be loaded: one line, and the warehouse is as it was."""
        before = self.served()
        done = self.load()
        assert said(done) == done.err
        assert self.served() == before
        return done.err

    def served(self) -> Done:
        return self.run("metric", "contacts", "--format", "csv", "--by", "touchpoint")

    def aside(self) -> dict[str, int]:
        """The reasons of the newest load's rejected rows, as it printed them."""
        done = self.load()
        assert done.status == 0, done
        lines = [line.removeprefix("quarantined ") for line in done.out.splitlines() if line.startswith("quarantined ")]
        return {reason: int(number) for number, reason in (line.split(": ", 1) for line in lines)}


def said(done: Done) -> str:
    """The one line of a command that was refused."""
    assert done.status == 1, done
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    return done.err


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(tmp_path, capsys)
    for folder in (made.source, made.files):
        folder.mkdir()
    made.put("account", ACCOUNTS)
    made.put("contact", CONTACTS)
    made.describe()
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    umask = os.umask(0o077)
    yield made
    os.umask(umask)


@pytest.fixture
def loaded(desk: Desk) -> Desk:
    """A hundred contacts have been loaded."""
    assert desk.load().status == 0
    return desk


def test_a_million_blank_lines(desk: Desk) -> None:
    blank = b"\n" * 1_000_000
    head, *lines = CONTACTS.encode().splitlines(keepends=True)
    began = time.perf_counter()
    desk.put("contact", blank + head + blank + b"".join(lines) + blank)
    assert desk.load().status == 0
    assert time.perf_counter() - began < 60
    assert "visit,100," in desk.served().out


LATIN: Final = (CONTACTS + CONTACT.format(id="São", account="A1", at="2026-01-05")).encode("latin-1")


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        (CONTACTS.replace("answered_at", "ID"), "contact has no column 'ID_2'"),
        (LATIN, "contact.csv:102: byte 0xE3 is not UTF-8 but looks like latin-1; set encoding = 'latin-1'"),
        (CONTACTS.replace("c99", "c\0"), "contact.csv:101: a NUL byte; export the file again"),
        (CONTACTS.replace("touchpoint", "place"), "contact has no column 'place'; contact has id, account_id"),
        (CONTACTS.replace(",touchpoint", "").replace(",visit", ""), "column 'touchpoint' is missing; add it"),
        (CONTACTS + "x,A1,1,2,3,4,5,6\n", "contact.csv:102: 8 columns where the header has 7"),
        ("", "contact.csv is empty"),
    ],
)
def test_a_file_that_is_none(loaded: Desk, contacts: str | bytes, message: str) -> None:
    loaded.put("contact", contacts)
    assert message in loaded.refused()


def test_the_encoding_that_was_advised_helps(desk: Desk) -> None:
    desk.put("contact", LATIN)
    desk.describe(contact='encoding = "latin-1"')
    assert desk.load().status == 0


def test_every_wrong_row_is_put_aside_with_its_reason(desk: Desk) -> None:
    """Those of the issue's rows that are wrong one by one, in one load."""
    bad = [
        "n1,A1,visit,in,45292,,North",  # a number where a date belongs
        "n2,A1,visit,in,45292.75,,North",
        "e1,A1,visit,in,2026-01-05,2026-01-04,North",  # over before it began
        "u1,A77,visit,in,2026-01-05,,North",
        "k1,A1,visit,in,2026-01-05,,North",  # the same key with other content
        "k1,A2,visit,in,2026-01-06,,South",
        "d1,A1,visit,sideways,2026-01-05,,North",
        ",A1,visit,in,2026-01-05,,North",
    ]
    desk.put("contact", CONTACTS + "\n".join(bad) + "\n")
    answer = "r{},A1,transaction,answered,{},{},2026-01-05,2026-01-06\n"
    head = "id,account_id,kind,status,scale,score,invited_at,responded_at\n"
    scores = [("nps", 11), ("csat", 0), ("ces", 8), ("nps", -1), ("csat", 5)]
    desk.put("response", head + "".join(answer.format(i, scale, n) for i, (scale, n) in enumerate(scores)))
    desk.describe(more="max_rejected = 0.1")
    assert desk.aside() == {
        "contact: occurred_at: '…' is not a timestamp": 2,
        "contact: answered_at: lies before occurred_at": 1,
        "contact: unknown account '…'": 1,
        "contact: same key twice in one load; keep one row for each id": 2,
        "contact: direction: '…' is none of in, out": 1,
        "contact: id: missing": 1,
        "response: score: 11 is outside nps, 0 to 10": 1,
        "response: score: 0 is outside csat, 1 to 5": 1,
        "response: score: 8 is outside ces, 1 to 7": 1,
        "response: score: -1 is outside nps, 0 to 10": 1,
    }
    assert "visit,100," in desk.served().out
    desk.describe(more="max_rejected = 0.05")  # 12 of 143 are more
    assert "12 of 143 rows of desk are invalid, more than the allowed share of 0.05: 2 x contact: " in desk.refused()


SWAPPED: Final = "select * replace (try_strptime(occurred_at, '{format}') as occurred_at) from contact"


def test_day_and_month_swapped(desk: Desk) -> None:
    """Read by the wrong format, days after the 12th are refused and the others land in other months: a warning."""
    stamps = [(date(2025, 1, 1) + timedelta(days=i)).strftime("%d/%m/%Y") for i in range(365)]
    lines = "".join(CONTACT.format(id=i, account="A1", at=stamp) for i, stamp in enumerate(stamps))
    desk.describe(more="max_rejected = 0.9")
    warning = "warning: days above 12 never occur in contact.occurred_at: day and month may be swapped"
    for format_, is_wrong in (("%m/%d/%Y", True), ("%d/%m/%Y", False)):
        desk.put("contact", HEAD + lines, SWAPPED.format(format=format_))
        done = desk.load()
        assert (done.status, warning in done.out) == (0, is_wrong)


def _folder_for_a_file(desk: Desk) -> None:
    (desk.files / "contact.csv").unlink()
    (desk.files / "contact.csv").mkdir()


def _file_for_a_folder(desk: Desk) -> None:
    for file in desk.files.iterdir():
        file.unlink()
    desk.files.rmdir()
    desk.files.touch()


def _folder_for_a_select(desk: Desk) -> None:
    (desk.source / "contact.sql").unlink()
    (desk.source / "contact.sql").mkdir()


def _no_file(desk: Desk) -> None:
    (desk.files / "contact.csv").rename(desk.files / "contacts.csv")


def _folder_for_source_toml(desk: Desk) -> None:
    (desk.source / "source.toml").unlink()
    (desk.source / "source.toml").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_folder_for_a_file, "contact.csv is a folder; name a file"),
        (_file_for_a_folder, "files is not a folder; point --data at the folder with the source's files"),
        (_folder_for_a_select, "contact.sql"),
        (_no_file, "there is no 'contact.csv' in"),
        (_folder_for_source_toml, "has no source.toml"),
    ],
)
def test_something_else_where_a_file_belongs(loaded: Desk, spoil: Callable[[Desk], None], message: str) -> None:
    spoil(loaded)
    assert message in loaded.refused()


@pytest.mark.parametrize("place", ["data", "data/warehouse"])
def test_a_file_where_the_data_folder_belongs(desk: Desk, place: str) -> None:
    (desk.folder / place).parent.mkdir(exist_ok=True)
    (desk.folder / place).write_text("something else", encoding="utf-8")
    assert str(desk.data) in said(desk.load())


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "select id, account_id, (select content from read_text('/etc/hostname')) as touchpoint from contact",
            "disabled",
        ),
        ("copy contact to '{out}'", "a source's file must hold one SELECT, not COPY"),
        ("select * from contact; copy contact to '{out}'", "not SELECT, COPY"),
        ("drop table contact", "not DROP"),
        ("attach '{warehouse}' as w", "not ATTACH"),
        ("select * from '{warehouse}'", "disabled"),
    ],
)
def test_a_select_that_does_more(loaded: Desk, sql: str, message: str) -> None:
    """In full in test_sandbox."""
    out, inputs = loaded.folder / "out.csv", {file: file.read_bytes() for file in loaded.files.iterdir()}
    warehouse = loaded.data / "warehouse" / "generation-1.duckdb"
    loaded.put("contact", CONTACTS, sql.format(out=out, warehouse=warehouse))
    found = loaded.refused()
    assert "contact.sql" in found
    assert message in found
    assert not out.exists()
    assert {file: file.read_bytes() for file in loaded.files.iterdir()} == inputs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("load", "nowhere", "--data", "."), "there is no source 'nowhere'"),
        (("load", "smaple", "--data", "."), "did you mean 'sample'?"),
        (("drop", "desk"), "nothing is loaded yet"),
        (("metric", "contacts"), "nothing is loaded yet"),
    ],
)
def test_a_command_that_cannot_be(desk: Desk, words: tuple[str, ...], message: str) -> None:
    assert message in said(desk.run(*words))


def test_an_interrupt_leaves_the_warehouse_as_it_was(loaded: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    before = loaded.served()
    monkeypatch.setattr("queries.loading.load.reject_invalid_rows", interrupted)
    done = loaded.load()
    assert (done.status, done.err) == (130, "interrupted; the warehouse is unchanged\n")
    assert loaded.served() == before
    assert {file.name for file in (loaded.data / "warehouse").glob("*.duckdb")} == {"generation-1.duckdb"}


# What the machine refuses.

MEGABYTE: Final = 1 << 20


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with started(*without_override()) as process:
        yield process


@pytest.fixture
def forbidden() -> Iterator[Callable[[Path, int], None]]:
    """A function that takes rights from a path, until the test ends."""
    paths: list[tuple[Path, int]] = []

    def take(path: Path, mode: int) -> None:
        paths.append((path, path.stat().st_mode))
        path.chmod(mode)

    yield take
    for path, mode in reversed(paths):
        path.chmod(mode)


@pytest.mark.parametrize(
    ("place", "mode", "message"),
    [
        (".", 0o500, "it is not writable; make it so or point EARSHOT_DATA at another folder"),
        ("data", 0o500, "it is not writable; make it so or point EARSHOT_DATA at another folder"),
        ("files/contact.csv", 0o000, "contact.csv cannot be read (Permission denied); check its permissions"),
        ("desk/contact.sql", 0o000, "contact.sql"),
    ],
)
def test_what_may_not_be_read_or_written(
    desk: Desk, elsewhere: Elsewhere, forbidden: Callable[[Path, int], None], place: str, mode: int, message: str
) -> None:
    if place == "data":
        desk.data.mkdir()
    forbidden(desk.folder / place, mode)
    assert message in said(elsewhere.run("queries", *desk.words, environ=desk.environ))


def test_a_warehouse_that_may_not_be_written_is_still_read(
    loaded: Desk, elsewhere: Elsewhere, forbidden: Callable[[Path, int], None]
) -> None:
    before = loaded.served()
    forbidden(loaded.data / "warehouse", 0o500)
    forbidden(loaded.data, 0o500)
    assert "is not writable" in said(elsewhere.run("queries", *loaded.words, environ=loaded.environ))
    words = ("queries", "metric", "contacts", "--format", "csv", "--by", "touchpoint")
    assert elsewhere.run(*words, environ=loaded.environ).out == before.out


def _more(desk: Desk, *rows: str) -> None:
    """Another delivery, of some megabytes, with these rows as well."""
    keys = (sha256(str(i).encode()).hexdigest() for i in range(40_000))
    many = (CONTACT.format(id=key, account="A1", at="2026-01-06") for key in keys)
    desk.put("contact", CONTACTS + "".join((*many, *rows)))


def test_files_may_not_grow(loaded: Desk, elsewhere: Elsewhere) -> None:
    """A quota refuses at any point of the load: when copying the inputs, the generation, or writing rows."""
    before, refusals = loaded.served(), set[str]()
    _more(loaded)
    for largest in (64 << 10, 3_200_000, 5 * MEGABYTE):
        refusals.add(said(elsewhere.run("queries", *loaded.words, environ=loaded.environ, largest=largest)))
        assert loaded.served() == before
        _nothing_left(loaded.data / "warehouse")
    assert all("no space" in refusal or "the disk is full" in refusal for refusal in refusals), refusals
    assert any("set TMPDIR to a folder on a larger disk" in refusal for refusal in refusals)
    assert loaded.load().status == 0


def _nothing_left(warehouse: Path) -> None:
    assert {file.name for file in warehouse.iterdir() if file.suffix != ".pin"} == {
        "current",
        "generation-1.duckdb",
        "lock",
    }


def test_no_space_left(desk: Desk) -> None:
    """A disk that is full to a different degree each time. Where none can be mounted, its limit is one on files."""
    desk.data.mkdir()
    prefix = on_small_disk(desk.data, 40)
    with started(*prefix) as process:

        def run(free: int | None = None) -> Done:
            limit: dict[str, Any] = {} if free is None else {"fill": str(desk.data), "free": free}
            if limit and not prefix:
                limit = {"largest": max(free or 0, 1)}
            return process.run("queries", *desk.words, environ=desk.environ, **limit)

        def served() -> Done:
            return process.run("queries", "metric", "contacts", "--format", "csv", environ=desk.environ)

        assert run().status == 0
        before = served()
        assert before.status == 0
        _more(desk)
        for free in (0, MEGABYTE // 4, MEGABYTE, 3 * MEGABYTE, 4 * MEGABYTE, 6 * MEGABYTE):
            assert "the disk is full; free some space or point EARSHOT_DATA at a larger disk" in said(run(free)), free
            assert served() == before
        assert run(40 * MEGABYTE if prefix else None).status == 0
        assert served().out != before.out


def _contacts(done: Done) -> int:
    assert done.status == 0, done
    return sum(int(row["n"]) for row in csv.DictReader(done.out.splitlines()))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["load", "forget"])
def test_at_no_degree_of_fullness_is_anything_lost(desk: Desk, command: str, *, prove: bool) -> None:
    """Free space from half to eight times the generation: refused with all as before, or done; and a rerun finishes.

    A load brings one contact more each time; `forget`, which needs the most space, takes one account with its contact.
    """
    desk.data.mkdir()
    if not (prefix := on_small_disk(desk.data, 80)):
        pytest.skip("only root can mount a small disk")
    desk.put("account", ACCOUNTS + "".join(f"E{i},Erased {i}\n" for i in range(99)))
    _more(desk, *(CONTACT.format(id=f"e{i}", account=f"E{i}", at="2026-01-06") for i in range(99)))
    outcomes = list[int]()
    with started(*prefix) as process:

        def run(*words: str, free: int = 60 * MEGABYTE) -> Done:
            return process.run("queries", *words, environ=desk.environ, fill=str(desk.data), free=free)

        def count() -> int:
            return _contacts(run("metric", "contacts", "--format", "csv", "--grain", "all"))

        assert run(*desk.words).status == 0
        assert run("forget", "--account", "nobody").status == 0
        # Only that process sees the disk.
        inside = Path(f"/proc/{process.process.pid}/root{desk.data}/warehouse")
        size, before = max(file.stat().st_size for file in inside.glob("generation-*.duckdb")), count()
        for number, free in enumerate(range(size // 2, 8 * size, MEGABYTE if prove else 16 * MEGABYTE)):
            words, change = desk.words, 1
            if command == "forget":
                words, change = ("forget", "--account", f"E{number}"), -1
            else:
                with (desk.files / "contact.csv").open("a") as file:
                    file.write(CONTACT.format(id=f"n{number}", account="A2", at="2026-01-07"))
            done = run(*words, free=free)
            if done.status:
                assert "the disk is full" in said(done), free
            # What fails after the warehouse was published fails in the state: the rerun finishes that.
            assert count() in ({before + change} if done.status == 0 else {before, before + change}), free
            assert run(*words).status == 0
            before += change
            assert count() == before
            outcomes.append(done.status)
    print(f"{command}: {outcomes.count(1)} of {len(outcomes)} were refused")
    assert outcomes[0] == 1
    assert outcomes[-1] == 0


def test_a_full_disk_has_a_number_that_is_known() -> None:
    """What the two tests above provoke is what a disk says: a quota is EFBIG or EDQUOT, a disk ENOSPC."""
    assert {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} == {28, 122, 27}


# Names that mean something elsewhere.

FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
OPENS: Final = date(2025, 12, 22)


def _weeks(vertical: str) -> Iterator[tuple[dict[str, str], bool]]:
    """Fifty journeys a week, and whether each was defective."""
    for week, defective in enumerate(STORY):
        ended = datetime.combine(FIRST + timedelta(weeks=week, days=2), datetime.min.time()) + timedelta(hours=12)
        for i in range(50):
            stamps = {"started_at": str(ended - timedelta(days=1)), "ended_at": str(ended), "outcome": "reached"}
            about = {"account_id": f"A{i % 30}", "journey_type": "order", "vertical": vertical}
            yield {"id": f"{week}-{i}-{vertical[:20]}", **about, **stamps}, i < defective


@pytest.fixture
def named(desk: Desk) -> Desk:
    """The nasty verticals, in each of which the same went wrong in December."""
    journeys = [found for vertical in NASTY.values() for found in _weeks(vertical)]
    desk.put("journey", _csv([journey for journey, _ in journeys]))
    broken = [
        {
            "id": j["id"],
            "account_id": j["account_id"],
            "journey_id": j["id"],
            "vertical": j["vertical"],
            "code": "broken",
        }
        | {"occurred_at": j["ended_at"]}
        for j, is_defective in journeys
        if is_defective
    ]
    desk.put("defect", _csv(broken))
    desk.describe()
    assert desk.load().status == 0
    return desk


def _csv(rows: list[dict[str, str]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def test_names_arrive_as_text_in_a_spreadsheet(named: Desk) -> None:
    done = named.run("metric", "defect-rate", "--by", "vertical", "--grain", "all", "--format", "csv")
    rows = {row["vertical"]: row for row in csv.DictReader(StringIO(done.out))}
    assert rows.keys() == {"'" + NASTY["formula"], NASTY["script"], NASTY["slack"], NASTY["long"]}
    assert {row["n"] for row in rows.values()} == {str(50 * len(STORY))}
    emotions = named.run("metric", "defect-rate", "--where", f"vertical={NASTY['formula']}", "--format", "csv")
    assert emotions.status == 0


def test_names_arrive_as_text_in_slack(
    named: Desk, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the files to the channel: one message a vertical, and none calls the channel or is bold."""
    environ = configure(named.data, CHANNELS["service-quality"])
    environ |= {"EARSHOT_SLACK__TOKEN": slack.token, "EARSHOT_SLACK__BASE_URL": slack.base_url}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for day in (OPENS - timedelta(weeks=1), OPENS):
        assert triggers_main(["run", "--once", "--now", noon(day).isoformat()]) == 0
    assert "4 opened" in capsys.readouterr().out
    messages = slack.history("service-quality")
    assert len(messages) == 4
    told = json.dumps(messages, ensure_ascii=False)
    assert "<!channel>" not in told
    assert "<script" not in told
    assert "&lt;!channel&gt; &amp; co" in told
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in told
    assert {refusal("chat.postMessage", {"text": m["text"], "blocks": m["blocks"]}) for m in messages} == {None}
    assert triggers_main(["incidents", "--format", "csv"]) == 0
    slices = [row["slice"] for row in csv.DictReader(StringIO(capsys.readouterr().out))]
    assert len(slices) == 4
    assert not any(text.startswith(("=", "+", "-", "@")) for text in slices)


def test_a_rule_on_a_metric_without_data(
    loaded: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contacts were loaded and nothing else: a rule on journeys says so, and no incident comes of it."""
    for name, value in configure(loaded.data).items():
        monkeypatch.setenv(name, value)
    for day in (OPENS, OPENS + timedelta(weeks=8)):
        assert triggers_main(["run", "--once", "--now", noon(day).isoformat()]) == 0
        assert "0 opened" in capsys.readouterr().out
    assert triggers_main(["check"]) == 0
    assert "defects: no data" in capsys.readouterr().out
    done = loaded.run("metric", "defect-rate", "--format", "csv")
    assert (done.status, done.out.count("\n")) == (0, 1)
