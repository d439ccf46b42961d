"""How a cell leaves for a spreadsheet: numbers as numbers, text as text, nothing that a spreadsheet would run."""

from datetime import date, datetime
from math import isfinite
from typing import Final

DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """One CSV cell: empty for None and what is not finite, ten significant digits, text never a formula.

    Text that starts as a formula would gets a single quote in front; numbers, negative ones too, stay as they are.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.10g}" if isfinite(value) else ""
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if text.startswith(DANGEROUS) else text
