"""Inputs, configuration, command lines and stores that something has damaged: one line each, no trace and no waiting.

Each case is made from its number alone, so that a fault can be had again: `pytest --prove` runs two thousand of them.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.elsewhere import Done, Elsewhere, started
from tests.support.installation import configure

SECONDS: Final = 20
ACCOUNTS: Final = [{"account_id": f"A{i}", "name": f"Company {i}"} for i in range(30)]
CONTACTS: Final = "id,account_id,touchpoint,direction,occurred_at\n" + "".join(
    f"c{i},A{i % 30},visit,in,2026-01-{1 + i % 28:02}T09:00\n" for i in range(100)
)
DEFECTS: Final = "".join(
    f'{{"id": "d{i}", "account_id": "A{i % 30}", "code": "late", "occurred_at": "2026-01-05"}}\n' for i in range(50)
)
SOURCE: Final = 'zone = "UTC"\nmode = "snapshot"\nmax_rejected = 1\n' + "".join(
    f'[inputs.{name}]\nfile = "{name}.{kind}"\nformat = "{kind}"\n'
    for name, kind in (("account", "parquet"), ("contact", "csv"), ("defect", "jsonl"))
)
JUNK: Final = (
    *(
        "",
        " ",
        "-1",
        "0",
        "9" * 400,
        "1e999",
        "nan",
        "∞",
        "0001-01-01",
        "9999-12-31",
        "9999-12-31T23:59:59.999999+14:00",
    ),
    *(
        "999999w",
        "0d",
        "\x1b[31mred",
        "\u202eabc",
        "a\nb",
        "x" * 5000,
        "../..",
        "/dev/null",
        "/dev/full",
        "=1+1",
        "'; --",
    ),
    *(
        "--",
        "-h",
        "\udcff",
        "~nobody/x",
        "nps",
        "2026-01-05",
        "1",
        "table",
        "vertical=North",
        "column=",
        "defects",
        "A1",
    ),
)
_DAYS: Final = ("1900-01-01", "2199-12-31", "2026-01-05", "2026-02-01")
_TIMES: Final = ("1900-01-01T00:00Z", "2199-12-31T23:59:59.999999+14:00", "2199-12-31T23:00-14:00", "2026-02-10T09:00")
SENSIBLE: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("--since", "--until", "--end"), _DAYS),
    **dict.fromkeys(("--now", "--at", "--as-of"), _TIMES),
    **dict.fromkeys(("NAME", "--metric"), ("contacts", "defect-rate")),
    **dict.fromkeys(("RULE", "--rule", "--against"), ("defects", "0123456789abcdef")),
    "--by": ("vertical", "touchpoint,vertical"),
    "--where": ("touchpoint=visit", "score=1e400", "day=0001-01-01"),
    "--grain": ("day", "all", "quarter"),
    "--format": ("csv", "json"),
    "--budget": ("2 per week", "1e400 per week"),
    "--account": ("A1",),
    "--condition": ("strike",),
    "--seed": ("0", "4294967295"),
    "--fault": ("copied-period",),
}
COMMANDS: Final = (
    ("queries", "metric", "NAME", "--by", "--grain", "--since", "--until", "--where", "--format", "--as-of"),
    ("queries", "status"),
    ("queries", "forget", "--account", "--person"),
    ("queries", "drop", "SOURCE"),
    ("queries", "load", "SOURCE", "--data"),
    ("queries", "restore", "--from", "--erased-by"),
    ("queries", "sample", "--contacts=50", "--out", "--end", "--seed", "--fault"),
    ("triggers", "run", "--once", "--now"),
    ("triggers", "incidents", "--state", "--format"),
    ("triggers", "explain", "ID"),
    ("triggers", "backtest", "--since", "--until", "--rule", "--draft", "--against", "--known", "--format"),
    ("triggers", "tune", "RULE", "--budget", "--draft", "--since", "--until"),
    ("triggers", "test", "FILE", "--draft"),
    ("triggers", "route", "RULE", "--vertical", "--at"),
    ("triggers", "silence", "preview", "--rule", "--account", "--vertical", "--condition"),
    ("triggers", "silence", "add", "--reason", "--until", "--rule", "--account"),
    ("triggers", "silence", "end", "ID"),
    ("triggers", "ack", "ID", "--by"),
    ("triggers", "resolve", "ID", "--by", "--note"),
    ("triggers", "restored", "--since"),
    ("triggers", "audit", "--port"),
)
WHOLE: Final = frozenset({"--once", "--contacts=50"})


@dataclass(frozen=True, slots=True)
class Place:
    """An installation that a case may damage, and where its commands run."""

    folder: Path
    elsewhere: Elsewhere

    @property
    def load(self) -> tuple[str, ...]:
        return ("queries", "load", str(self.folder / "desk"), "--data", str(self.folder / "files"))

    def run(self, *words: str) -> Done:
        environ = {"EARSHOT_DATA": str(self.folder), "EARSHOT_CONFIG": str(self.folder / "config")}
        return self.elsewhere.run(*words, environ=environ, seconds=SECONDS)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    with started() as process:
        yield process


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, elsewhere: Elsewhere) -> Path:
    """An installation with a hundred contacts, a tick, a backup and every file that there is."""
    place = Place(tmp_path_factory.mktemp("sound"), elsewhere)
    configure(place.folder)
    (place.folder / "files").mkdir()
    (place.folder / "desk").mkdir()
    pq.write_table(pa.Table.from_pylist(ACCOUNTS), place.folder / "files" / "account.parquet")
    (place.folder / "files" / "contact.csv").write_text(CONTACTS, encoding="utf-8")
    (place.folder / "files" / "defect.jsonl").write_text(DEFECTS, encoding="utf-8")
    (place.folder / "desk" / "source.toml").write_text(SOURCE, encoding="utf-8")
    for name in ("account", "contact", "defect"):
        (place.folder / "desk" / f"{name}.sql").write_text(f"select * from {name}", encoding="utf-8")
    for words in (
        place.load,
        ("triggers", "run", "--once", "--now", "2026-02-10T09:00Z"),
        ("queries", "backup", "--to", str(place.folder / "backup")),
    ):
        done = place.run(*words)
        assert done.status == 0, done
    return place.folder


def damage(file: Path, chance: random.Random) -> str:
    """Spoil a file in one of the ways in which files are spoilt. Returns which."""
    content = bytearray(file.read_bytes())
    way = chance.choice(("cut short", "bits tipped", "emptied", "a folder", "a pipe", "gone", "torn", "noise"))
    if way == "cut short":
        file.write_bytes(content[: chance.randrange(len(content) + 1)])
    elif way == "bits tipped":
        for _ in range(chance.choice((1, 1, 3, 40))):
            if content:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
    elif way == "torn":
        start = chance.randrange(len(content) + 1)
        del content[start : start + chance.choice((1, 7, 512, 4096))]
        file.write_bytes(content)
    elif way == "noise":
        start = chance.randrange(len(content) + 1)
        content[start : start + chance.choice((0, 1, 64))] = chance.randbytes(chance.choice((1, 16, 4096)))
        file.write_bytes(content)
    elif way == "emptied":
        file.write_bytes(b"")
    else:
        file.unlink()
        if way == "a folder":
            file.mkdir()
        elif way == "a pipe":
            os.mkfifo(file)
    return f"{file.name}: {way}"


def fault(done: Done) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    if done.status not in {0, 1, 2}:
        return f"ended with {done.status}: {done.err[-300:]}"
    if "Traceback" in done.err:
        return f"a trace: {done.err[-900:]}"
    if done.status and not done.err.strip() and not done.out.strip():
        return "refused without a word"
    odd = [letter for letter in done.err if not letter.isprintable() and letter != "\n"]
    return f"unprintable letters on the terminal: {odd[:3]!r}" if odd else ""


def damaged(folders: tuple[str, ...]) -> Callable[[Place, random.Random], str]:
    def make(place: Place, chance: random.Random) -> str:
        files = [file for name in folders for file in sorted((place.folder / name).rglob("*")) if file.is_file()]
        if not folders:
            files = [file for file in sorted(place.folder.iterdir()) if file.is_file()]
            files += [file for file in sorted((place.folder / "warehouse").iterdir()) if file.is_file()]
        return damage(chance.choice(files), chance)

    return make


def line(place: Place, chance: random.Random) -> tuple[str, ...]:
    """A command with some of its options, and what nobody should write behind them."""
    program, *parts = chance.choice(COMMANDS)
    words = [program]
    for part in parts:
        if part in WHOLE or (part.islower() and not part.startswith("--")):
            words.append(part)
        elif part.isupper() or chance.random() < 0.6:
            values = JUNK if chance.random() < 0.4 else SENSIBLE.get(part, JUNK)
            words += [] if part.isupper() else [part]
            words.append(str(place.folder / "out") if part == "--out" else chance.choice(values))
    return tuple(words)


STORE_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("queries", "status"),
    "metric": ("queries", "metric", "contacts"),
    "incidents": ("triggers", "incidents"),
    "rules": ("triggers", "rules"),
    "tick": ("triggers", "run", "--once", "--now", "2026-03-10T09:00Z"),
    "outbox": ("triggers", "outbox"),
    "audit": ("triggers", "audit"),
}


def faults(sound: Path, elsewhere: Elsewhere, tmp_path: Path, kind: str, numbers: range) -> Iterator[str]:
    for number in numbers:
        chance = random.Random(f"{kind} {number}")
        place = Place(tmp_path / f"{kind}-{number}", elsewhere)
        shutil.copytree(sound, place.folder)
        if kind == "words":
            words = line(place, chance)
            what = ""
        elif kind == "inputs":
            what, words = damaged(("files", "desk"))(place, chance), place.load
        elif kind == "configuration":
            what = damaged(("config",))(place, chance)
            words = chance.choice(
                (("triggers", "check", "--quick"), ("triggers", "rules"), ("queries", "metric", "contacts"))
            )
        elif kind == "backup":
            what = damaged(("backup",))(place, chance)
            words = ("queries", "restore", "--from", str(place.folder / "backup"), "--replace")
        else:
            what = damaged(())(place, chance)
            words = chance.choice((*STORE_COMMANDS.values(), place.load))
        if wrong := fault(place.run(*words)):
            yield f"{kind} {number}: {what}: {' '.join(words)[:300]!r}: {wrong}"
        shutil.rmtree(place.folder)


@pytest.mark.parametrize(
    ("kind", "few", "many"),
    [("inputs", 8, 500), ("configuration", 8, 350), ("words", 16, 500), ("stores", 12, 550), ("backup", 4, 100)],
)
def test_whatever_is_damaged_is_told_in_a_line(
    sound: Path, elsewhere: Elsewhere, tmp_path: Path, *, prove: bool, kind: str, few: int, many: int
) -> None:
    numbers = range(many) if prove else range(few)
    assert list(faults(sound, elsewhere, tmp_path, kind, numbers)) == []
