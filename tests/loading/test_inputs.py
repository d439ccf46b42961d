"""Every way an input file can be wrong has its own words, and everything that is right is read as it is."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config import EarshotError
from config.models import Source, SourceInput
from queries.loading import inputs
from queries.loading.inputs import Private
from queries.loading.text_files import BadTextError, copy_text
from tests.support.offering import Read, offered

ACCOUNTS = {"account": "select id as account_id, name from t"}
EURO = "id,name\n1,Ångström €\n"


def names(found: Read) -> list[Any]:
    return found.values("account", "name")


def refused(folder: Path, content: bytes | str, suffix: str = "csv", **inputs: Any) -> str:
    with pytest.raises(EarshotError) as error:
        offered(folder, ACCOUNTS, {f"t.{suffix}": content}, **inputs)
    message = str(error.value)
    assert "\n" not in message
    assert "earshot-" not in message, "the private copy is nobody's business"
    return message


@pytest.mark.parametrize(
    ("content", "inputs", "expected"),
    [
        (b"id,name\n1,Ana\n", {}, ["Ana"]),
        (EURO.encode("utf-8-sig"), {}, ["Ångström €"]),
        (EURO.encode("utf-8-sig"), {"encoding": "utf-8-sig"}, ["Ångström €"]),
        (EURO.encode("utf-16"), {"encoding": "utf-16"}, ["Ångström €"]),
        (EURO.encode("utf-16-be"), {"encoding": "utf-16-be"}, ["Ångström €"]),
        ("id,name\n1,São\n".encode("latin-1"), {"encoding": "latin-1"}, ["São"]),
        (EURO.encode("cp1252"), {"encoding": "windows-1252"}, ["Ångström €"]),
        ("id,name\n1,Иван\n".encode("koi8-r"), {"encoding": "koi8-r"}, ["Иван"]),
        (b"id;name\n1;a,b\n", {"delimiter": ";"}, ["a,b"]),
        (b"id\tname\n1\ta b\n", {"delimiter": "\t"}, ["a b"]),
        ("id¦name\n1¦a\n".encode(), {"delimiter": "¦"}, ["a"]),
        (b'id,name\n1,"two\nlines"\n', {}, ["two\nlines"]),
        (b'id,name\r\n1,"two\r\nlines"\r\n2,x\r\n', {}, ["two\nlines", "x"]),  # one kind of line end inside too
        (b"id,name\r\n1,a\n2,b\r\n", {}, ["a", "b"]),  # mixed line ends
        (b"id,name\r1,a\r2,b\r", {}, ["a", "b"]),  # old Macintosh
        (b'id,name\n1,"say ""hi"""\n', {}, ['say "hi"']),
        (b"id,name\n1,a", {}, ["a"]),  # no line end at the end
        (b"\n\r\n\nid,name\n\n1,a\n\n\n", {}, ["a"]),
        (b" id ,name\n1,a\n", {}, ["a"]),  # names are stripped
        (b",id,name\n0,1,a\n", {}, ["a"]),  # a row number's column has no name
        (b"id,name\n", {}, []),
    ],
)
def test_csv_is_read(tmp_path: Path, content: bytes, inputs: dict[str, Any], expected: list[str]) -> None:
    found = offered(tmp_path, ACCOUNTS, {"t.csv": content}, **inputs)
    assert names(found) == expected
    assert found.warnings == []


def test_an_empty_cell_is_null_quoted_or_not(tmp_path: Path) -> None:
    sql = {"account": "select id as account_id, coalesce(name, 'nothing') as name from t"}
    assert names(offered(tmp_path, sql, {"t.csv": b'id,name\n1,\n2,""\n'})) == ["nothing", "nothing"]


@pytest.mark.parametrize(
    ("content", "inputs", "message"),
    [
        ("id,name\n1,a\n2,São\n".encode("latin-1"), {}, "t.csv:3: byte 0xE3 is not UTF-8 but looks like latin-1"),
        (EURO.encode("cp1252"), {}, "t.csv:2: byte 0xC5 is not UTF-8"),
        (b"id,name\n1,caf\x92\n", {}, "set encoding = 'cp1252' for this input"),
        (EURO.encode("utf-16"), {}, "t.csv:1: byte 0xFF is not UTF-8 but looks like utf-16"),
        ("id,name\n1,a".encode("utf-16-le"), {}, "t.csv:1: a NUL byte"),
        (b"id,name\n1,a\n2,b\0c\n", {}, "t.csv:3: a NUL byte; export the file again"),
        (b"id,name\n1,\xc3", {}, "t.csv:2: byte 0xC3 is not UTF-8"),  # cut off in the middle of a letter
        (b"id,name\n1,\xed\xa0\x80\n", {}, "t.csv:2: byte 0xED"),  # half a surrogate pair
        (b"id,name\n1,a\n\xff\n", {"encoding": "ascii"}, "t.csv:3: byte 0xFF is not ascii"),
        (b"abc", {"encoding": "utf-16"}, "is not utf-16"),  # newer Pythons name the byte
        (b"", {}, "t.csv is empty"),
        (b"\n\n\n", {}, "t.csv is empty"),
        (b"\xef\xbb\xbf", {}, "t.csv is empty"),
        (b"id;name\n1;a\n", {}, "t.csv:1: ',' gives a single column, 'id;name'; set delimiter = \";\""),
        (b"id,name\n1,a\n", {"delimiter": ";"}, 'set delimiter = ","'),
        (b"id\tname\n1\ta\n", {}, 'set delimiter = "\\t"'),
        (b"id,name\n1,a\n2,b,c\n3\n", {}, "t.csv:3: 3 columns where the header has 2"),
        (b"Report\n\nid,name\n1,a\n2,b\n", {}, "t.csv:1: the header has one column, and line 3 has more; if that"),
        (b"Of A, B\nid,name,x\n1,a,2\n", {}, "if that line is the header, set skip = 1 for this input"),
        (b"Report\n\nid,name\n1,a\n2,b\n", {"skip": 4}, "Referenced column"),
        (b"id,name\n1,a\n", {"skip": 9}, "t.csv is empty"),
        (b'id,name\n1,"a \\"b\\", c"\n2,b\n', {}, "t.csv:2: a quote is not closed where its value ends"),
        (b"\n\nid,name\n1,a\n2,b,c\n", {}, "t.csv:5: 3 columns where the header has 2"),
        (b'id,name\n1,"a\n2,b\n3,c\n', {}, "t.csv:2: a quote is not closed"),
        (b'id,name\n1,a\n2,"b"c\n', {}, "t.csv:3: a quote is not closed"),
    ],
)
def test_csv_is_refused(tmp_path: Path, content: bytes, inputs: dict[str, Any], message: str) -> None:
    assert message in refused(tmp_path, content, **inputs)


def test_a_broken_letter_is_found_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queries.loading.text_files._CHUNK", 5)
    assert "t.csv:4: byte 0xE3" in refused(tmp_path, "id,name\r\n1,é\r\n2,€€\r\n3,".encode() + b"S\xe3o\r\n")
    assert names(offered(tmp_path, ACCOUNTS, {"t.csv": "id,name\r\n1,é\r\n2,€€\r\n"})) == ["é", "€€"]
    assert names(offered(tmp_path, ACCOUNTS, {"t.csv": "id,name\n1,é\n".encode("utf-16")}, encoding="utf-16")) == ["é"]


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "zip"])
def test_an_encoding_must_be_one(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(b"id\n")
    with pytest.raises(BadTextError, match="is not a known encoding"):
        copy_text(tmp_path / "t.csv", encoding, tmp_path / "copy")


def test_utf8_declared_as_latin1_is_said(tmp_path: Path) -> None:
    found = offered(tmp_path, ACCOUNTS, {"t.csv": "id,name\n1,São\n".encode()}, encoding="latin-1")
    assert found.warnings[0].endswith("reads as UTF-8 although encoding is 'latin-1'; letters such as é may be garbled")
    assert f"warning: {found.warnings[0]}" in found.said


def test_a_million_blank_lines_cost_nothing(tmp_path: Path) -> None:
    blank = b"\n" * 1_000_000
    began = time.perf_counter()
    found = offered(tmp_path, ACCOUNTS, {"t.csv": blank + b"id,name\n1,a\n" + blank + b"2,b\n" + blank})
    assert names(found) == ["a", "b"]
    assert time.perf_counter() - began < 10


def test_a_long_cell_is_no_broken_line(tmp_path: Path) -> None:
    assert names(offered(tmp_path, ACCOUNTS, {"t.csv": b"id,name\n1," + b"x" * 3_000_000 + b"\n"})) == ["x" * 3_000_000]


def test_files_of_a_glob_are_one_input(tmp_path: Path) -> None:
    files = {"a-1.csv": "id,name\n1,a\n", "a-2.csv": "\nname,id\nb,2\n", "a-3.csv": "id,name\n3,c\n"}
    found = offered(tmp_path, {"account": 'select id as account_id, name from "a-1"'}, files, file="a-*.csv")
    assert found.values("account", "account_id") == ["1", "2", "3"]


def test_a_column_that_some_files_lack_is_empty_there(tmp_path: Path) -> None:
    """April's survey has one question more than March's."""
    files = {"a-3.csv": "id,Name\n3,c\n", "a-4.csv": "id,name,extra\n4,d,e\n"}
    sql = {"account": """select id as account_id, name || coalesce(extra, '-') as name from "a-3" """}
    found = offered(tmp_path, sql, files, file="a-*.csv")
    assert sorted(found.values("account", "name")) == ["c-", "de"]
    # Each file is an input of its own here, of the same pattern.
    assert set(found.warnings) == {"a-*.csv: column 'extra' is in 1 of 2 files; the others have it empty"}


@pytest.mark.parametrize("long", [1, 60_000])
def test_a_row_that_ends_early_is_read_and_told(tmp_path: Path, long: int) -> None:
    """Excel and form tools leave out what is empty at the end of a row; reports end with a line of their own."""
    rows = "".join(f'{i},"n\n""{i}""",x\n' for i in range(long))
    sql = {"account": "select id as account_id, coalesce(name, 'none') || coalesce(other, '-') as name from t"}
    found = offered(tmp_path, sql, {"t.csv": f"id,name,other\n{rows}a,b\nConfidential\n"})
    assert {"none-", "b-"} <= set(names(found))
    assert len(found.values("account", "name")) == long + 2
    line = 2 * long + 2
    assert f"t.csv:{line}: 2 rows end before the header does; missing columns are left empty" in found.warnings[0]


@pytest.mark.parametrize(
    ("header", "called"),
    [
        ("id,Comment,Comment,COMMENT", ["Comment", "Comment_2", "COMMENT_3"]),
        ("id,Comment,Comment_2,Comment", ["Comment", "Comment_2", "Comment_3"]),
        ("id,a, a ,", ["a", "a_2", "column4"]),
        ("id,column3,,x", ["column3", "column3_2", "x"]),
    ],
)
def test_a_column_that_stands_there_again_is_counted(tmp_path: Path, header: str, called: list[str]) -> None:
    sql = {"account": f"select id as account_id, concat_ws(' ', {', '.join(called)}) as name from t"}
    found = offered(tmp_path, sql, {"t.csv": f"{header}\n1,one,two,three\n"})
    assert names(found) == ["one two three"]
    again = [name for name in called if any(f"in SELECTs it is called {name!r}" in said for said in found.warnings)]
    assert again == [
        name for name in called if name[-2:] in {"_2", "_3"} and name not in header and name != "column3_2"
    ]


def test_another_sign_may_stand_before_a_quote(tmp_path: Path) -> None:
    content = 'id,name\n1,"she said \\"fine\\", really"\n2,plain\n'
    assert names(offered(tmp_path, ACCOUNTS, {"t.csv": content}, escape="\\")) == ['she said "fine", really', "plain"]


def test_lines_above_the_header_are_left_out(tmp_path: Path) -> None:
    content = 'Report, with a comma\n"made", "on"\n1 April\n\nid,name\n1,a\n'
    assert names(offered(tmp_path, ACCOUNTS, {"t.csv": content}, skip=3)) == ["a"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tt.csv", r"input t: there is no 'tt.csv' in .*; did you mean 't.csv'\?"),
        ("zzz/*.parquet", r"there is no 'zzz/\*.parquet' in .*; put it there or correct source.toml"),
        ("folder", r"folder is a folder; name a file, or all of them as 'folder/\*.csv'"),
    ],
)
def test_a_file_must_be_there(tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / "data" / "folder").mkdir(parents=True)
    with pytest.raises(EarshotError, match=message):
        offered(tmp_path, ACCOUNTS, {"t.csv": "id,name\n"}, file=file)


def test_the_data_must_be_a_folder(tmp_path: Path) -> None:
    made = Source.model_validate(
        {"name": "x", "zone": "UTC", "mode": "append", "inputs": {"t": {"file": "t.csv", "format": "csv"}}}
    )
    with pytest.raises(EarshotError, match="is not a folder; point --data at"):
        inputs.offer(made, tmp_path / "nowhere", tmp_path, print)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"id\n1\n")
    wanted = SourceInput(file="t.csv", format="csv")
    with pytest.raises(EarshotError, match=r"no space left in .*; free some, or set TMPDIR"):
        inputs._copy(Private(tmp_path / "t.csv", Path("/dev/full")), wanted)


def test_an_unreadable_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> tuple[str, ...]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inputs, "copy_text", forbidden)
    assert "t.csv cannot be read (Permission denied); check its permissions" in refused(tmp_path, "id,name\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"id": 1, "name": "a"}\n\n{"name": "b", "id": "2", "more": {"x": [1]}}\n', ["a", "b"]),
        ('{"id": 1, "name": "two\\nlines"}', ["two\nlines"]),
        ('{"id": 1, "name": ""}\n{"id": 2, "name": null}\n', [None, None]),
        ('{"id": 1, "name": 1.5}\n{"id": 2, "name": true}\n{"id": 3, "name": {"a": 1}}', ["1.5", "true", '{"a":1}']),
    ],
)
def test_json_lines_are_text(tmp_path: Path, content: str, expected: list[str | None]) -> None:
    assert names(offered(tmp_path, ACCOUNTS, {"t.jsonl": content})) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1, "name": "a"}\n{"id": 2\n', "t.jsonl:2: not JSON"),
        ("[1, 2]\n", "t.jsonl:1: not a JSON object; write one object a line"),
        ('{"id": 1, "name": "a"}\n3\n', "t.jsonl:2: not a JSON object"),
        ("", "t.jsonl is empty"),
        ('{"id": 1, "ID": 2, "name": "a"}', "appears twice"),
        (b'{"id": 1, "name": "S\xe3o"}', "t.jsonl:1: byte 0xE3 is not UTF-8"),
        ('{"id": 1, "name": "a\\u0000b"}', "account.sql: name contains a NUL character"),
    ],
)
def test_json_lines_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in refused(tmp_path, content, "jsonl")


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    content = _parquet(pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["a", ""]}))
    sql = {"account": "select id + 1 as account_id, name || '!' as name from t"}
    found = offered(tmp_path, sql, {"t.parquet": content})
    assert found.values("account", "account_id") == ["2", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"id,name\n1,a\n", "t.parquet is not a Parquet file"),
        (lambda: b"", "t.parquet is not a Parquet file"),
        (lambda: _parquet(pa.table([["1"], ["a"]], names=["id", "id"])), "column 'id' appears twice"),
    ],
)
def test_parquet_is_refused(tmp_path: Path, content: Callable[[], bytes], message: str) -> None:
    assert message in refused(tmp_path, content(), "parquet")


def test_parquet_is_copied_where_it_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", elsewhere)
    content = _parquet(pa.table({"id": ["1"], "name": ["a"]}))
    assert names(offered(tmp_path, ACCOUNTS, {"t.parquet": content})) == ["a"]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "\nsep=;"])
def test_the_line_in_which_excel_tells_itself_the_delimiter_is_no_header(tmp_path: Path, line: str) -> None:
    sql = {"account": "select id as account_id, word as name from t"}
    rows = offered(tmp_path, sql, {"t.csv": f"{line}\r\nid;word\r\n1;x\r\n"}, delimiter=";")
    assert rows.values("account", "account_id") == ["1"]
