"""The rows that were not let in, shown with the line they stand on."""

import stat
from pathlib import Path

import pytest

from config.models import SourceInput
from queries.__main__ import main
from queries.loading.inputs import lines_of
from queries.loading.quarantine import without_values
from tests.support.offering import write_source

Capture = pytest.CaptureFixture[str]
SOURCE_TOML = """zone = "Europe/Berlin"
mode = "{mode}"
max_rejected = {share}
[inputs.answers]
file = "answers*.csv"
format = "csv"
"""
ACCOUNT = "select distinct company as account_id, company as name from answers where company like 'K%'"
RESPONSE = """select id, company as account_id, 'relationship' as kind, 'answered' as status, 'nps' as scale, score,
    '2026-02-28' as invited_at, read_time(answered, '%d.%m.%Y') as responded_at from answers"""
ANSWERS = (
    "id,company,score,answered\n"
    "1,K-1,9,01.03.2026\n"
    '2,"O\'Brien,\nSons & Ltd",3,02.03.2026\n'
    "3,K-1,eleven o'clock,03.03.2026\n"
    "4,K-1,7,O4.03.2026\n"
    "5,K-1,7,call 044 123 45 67\n"
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> "Run":
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "warehouse"))
    return Run(tmp_path, capsys)


class Run:
    """A shop's source, its files, and the command line over them."""

    def __init__(self, folder: Path, capsys: Capture) -> None:
        self.folder, self.capsys = folder, capsys
        for name in ("shop", "data"):
            (folder / name).mkdir()
        (folder / "shop" / "account.sql").write_text(ACCOUNT, encoding="utf-8")
        (folder / "shop" / "response.sql").write_text(RESPONSE, encoding="utf-8")

    def load(self, answers: str, share: float = 1.0, mode: str = "snapshot") -> int:
        (self.folder / "shop" / "source.toml").write_text(SOURCE_TOML.format(share=share, mode=mode), encoding="utf-8")
        (self.folder / "data" / "answers.csv").write_text(answers, encoding="utf-8")
        return self("load", str(self.folder / "shop"), "--data", str(self.folder / "data"))[0]

    def __call__(self, *words: str) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main(list(words))
        shown = self.capsys.readouterr()
        return code, shown.out + shown.err


def test_each_row_is_shown_with_its_line_reason_and_value(run: Run) -> None:
    assert run.load(ANSWERS) == 0
    code, shown = run("quarantine")
    assert code == 0
    assert [line.split(None, 4) for line in shown.splitlines()[2:6]] == [
        ["shop", "response", "2", "answers.csv:3", "unknown account 'O'Brien, Sons & Ltd'"],
        ["shop", "response", "3", "answers.csv:5", "score: 'eleven o'clock' is not a whole number"],
        ["shop", "response", "4", "answers.csv:6", "responded_at: 'O4.03.2026' is not a timestamp"],
        ["shop", "response", "5", "answers.csv:7", "responded_at: 'call [number]' is not a timestamp"],
    ]
    assert run("quarantine", "--reason", "WHOLE NUMBER")[1].count("answers.csv") == 1
    assert run("quarantine", "--source", "shop", "--reason", "whole number")[1].count("answers.csv") == 1
    code, shown = run("quarantine", "--source", "shpo")
    assert code == 1
    assert "there is no source 'shpo'" in shown, "none in quarantine would be believed"


def test_a_refused_load_keeps_its_rows_until_the_next(run: Run, tmp_path: Path) -> None:
    assert run.load(ANSWERS, share=0.05) == 1
    kept = tmp_path / "warehouse" / "refused" / "shop.jsonl"
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    code, shown = run("quarantine")
    assert (code, shown.count("answers.csv:")) == (0, 4)
    assert "rows in quarantine: 0\nrows of loads refused as a whole: 4\n" in shown
    assert run.load(ANSWERS, share=1.0) == 0
    assert "rows in quarantine: 4\n" in run("quarantine")[1]
    assert not kept.exists()


def test_erasing_leaves_nothing_of_a_refused_load(run: Run, tmp_path: Path) -> None:
    run.load(ANSWERS)
    run.load(ANSWERS, share=0.05)
    assert run("forget", "--account", "K-1")[0] == 0
    assert not list((tmp_path / "warehouse" / "refused").iterdir())


def test_loading_the_same_again_changes_nothing_and_a_waiting_row_keeps_its_line(run: Run) -> None:
    assert run.load(ANSWERS, mode="append") == 0
    shown = run("quarantine")[1]
    (run.folder / "data" / "answers.csv").write_text(ANSWERS, encoding="utf-8")
    words = ("load", str(run.folder / "shop"), "--data", str(run.folder / "data"))
    assert "nothing to publish" in run(*words)[1]
    (run.folder / "data" / "answers.csv").write_text(
        "id,company,score,answered\n1,K-1,9,01.03.2026\n", encoding="utf-8"
    )
    assert "nothing to publish" in run(*words)[1]
    assert run("quarantine")[1] == shown


def test_lines_are_found_in_every_text_file(tmp_path: Path) -> None:
    """By the values that tell a row from the others; a row that stands twice is on either line."""
    files: dict[str, bytes | str] = {
        "a.csv": "id;word\r\n1;x\r\n2;caf\xe9\r\n".encode("latin-1"),
        "b.jsonl": '{"id": 7, "word": "y"}\n\n{"id": 8, "word": "z"}\n',
    }
    source = write_source(tmp_path, {}, files)
    inputs = {
        "a": SourceInput(file="a.csv", format="csv", delimiter=";", encoding="latin-1"),
        "b": SourceInput(file="b.jsonl", format="jsonl"),
    }
    source = source.model_copy(update={"inputs": inputs})
    rows = [frozenset({"2", "caf\xe9"}), frozenset({"8", "z"}), frozenset({"nowhere", "2"}), frozenset[str]()]
    assert lines_of(source, tmp_path / "data", rows) == ["a.csv:3", "b.jsonl:3", "", ""]
    (tmp_path / "data" / "a.csv").write_text("id;word\n2;caf\xe9\n2;caf\xe9\n", encoding="latin-1")
    assert lines_of(source, tmp_path / "data", rows[:1]) == ["a.csv:2 or a.csv:3"]


@pytest.mark.parametrize("value", ["O'Brien Ltd", "'", "''quoted''", "two\nlines' end", ""])
def test_reasons_are_counted_without_any_of_their_value(value: str) -> None:
    assert without_values(f"unknown account '{value}'") == "unknown account '…'"
    assert without_values(f"score: '{value}' is not a whole number") == "score: '…' is not a whole number"
