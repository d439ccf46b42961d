"""What a spreadsheet gets."""

from datetime import date

import pytest

from queries.metrics import csv_cell


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),  # a formula
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("Retail = Banking", "Retail = Banking"),
        (-31.25, "-31.25"),  # a number is no text
        ("North;=1+1", "North;'=1+1"),  # a spreadsheet that splits at semicolons
        ("North\t@SUM(A1)", "North\t'@SUM(A1)"),
        ("first\n-2+3", "first\n'-2+3"),
        ("first\r\n+2", "first\r\n'+2"),
        ("\uff1d1+1", "'\uff1d1+1"),  # full width
        ("x;\ufe66\u0031", "x;'\ufe66\u0031"),  # and small
        ("a|=1", "a|'=1"),
        ("  =1+1", "'  =1+1"),
        ("a; =1", "a;' =1"),
        ("vertical=North, 3-4 days; see a@b.example", "vertical=North, 3-4 days; see a@b.example"),
        (-3, "-3"),
        (0.1 + 0.2, "0.3"),
        (1 / 3, "0.3333333333"),
        (12_480, "12480"),
        (True, "true"),
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (date(2026, 1, 31), "2026-01-31"),
    ],
)
def test_cells(value: object, written: str) -> None:
    assert csv_cell(value) == written
