"""`python -m queries report`, and the same documents from the pages: for whom they are made, and what they refuse."""

import io
from datetime import date
from pathlib import Path
from typing import Final

import openpyxl
import pypdf
import pytest

from dashboard import stores
from dashboard.accounts import files as account_files
from dashboard.review import files
from queries.__main__ import main
from tests.support.small_company import BROKEN, Company, found

TODAY: Final = date(2026, 11, 21)


@pytest.fixture(scope="module")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return found(tmp_path_factory.mktemp("company"), TODAY)


@pytest.fixture
def company(_company: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    for name, value in _company.environ.items():
        monkeypatch.setenv(name, value)
    return _company


def written(path: Path) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(path).pages).split())


@pytest.mark.parametrize("form", ["pdf", "pptx", "xlsx"])
@pytest.mark.parametrize("kind", ["review", "minutes"])
def test_a_review_is_written_to_a_file(
    company: Company, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, form: str
) -> None:
    out = tmp_path / f"out.{form}"
    assert main(["report", kind, "--out", str(out), "--month", f"{company.month:%Y-%m}"]) == 0
    assert f"{out} (" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_verticals_review_has_nothing_of_another(company: Company, tmp_path: Path) -> None:
    assert main(["report", "review", "--vertical", BROKEN, "--out", str(tmp_path / "one.pdf")]) == 0
    said = written(tmp_path / "one.pdf")
    assert BROKEN in said
    assert "Public Sector" not in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("review", "--out", "x.doc"), "does not end in pdf, pptx, xlsx; add --format"),
        (("review", "--out", "x.pdf", "--month", "1999-01"), "there is no month 1999-01"),
        (("review", "--out", "x.pdf", "--vertical", "Enrgy"), "there is no vertical 'Enrgy'"),
        (("account", "--out", "x.pdf"), "which account? add --account ID"),
        (("account", "--out", "x.pdf", "--account", "A99"), "there is no account 'A99'"),
        (("review", "--out", "none/x.pdf"), "cannot be written"),
        (("review", "--out", "x.pptx", "--template", "none.pptx"), "none.pptx is no PowerPoint file"),
    ],
)
@pytest.mark.usefixtures("company")
def test_what_cannot_be_written_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_pages_give_the_same_documents(company: Company) -> None:
    try:
        month = {"month": f"{company.month:%Y-%m}"}
        for name in (*files.DOCUMENTS, "minutes.pdf"):
            made = files.answer(name, month, {}, lambda _session: "")
            assert made.status_code == 200
            assert made.headers["content-type"] == files.TYPES[name.rpartition(".")[2]]
        book = openpyxl.load_workbook(io.BytesIO(bytes(files.answer("review.xlsx", month, {}, lambda _s: "").body)))
        assert "Key issues" in book.sheetnames
        assert files.answer("review.pdf", {"month": "1999-01"}, {}, lambda _session: "").status_code == 404
        assert files.answer("review.pdf", month, {}, lambda _session: "Not yours.").status_code == 403
        for name in account_files.SHEETS:
            assert account_files.sheet_file(name, {"id": "A03"}, {}, lambda _session: "").status_code == 200
            assert account_files.sheet_file(name, {"id": "A99"}, {}, lambda _session: "").status_code == 404
    finally:
        stores.close()
