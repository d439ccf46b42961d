"""What must not stay in a comment: mail addresses, phone numbers and other long numbers."""

from typing import Final

_MAIL: Final = r"[\pL\pN._%+-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)*"
_NUMBER: Final = r"[+(]?\d(?:[ ().-]{0,3}\d){6,}|\d{6,}"
"""Seven digits with little between them (a phone number, however written), or six without a break."""


def masked(column: str) -> str:
    """SQL of a text column with its mail addresses and long numbers replaced by `[mail]` and `[number]`."""
    return f"regexp_replace(regexp_replace({column}, '{_MAIL}', '[mail]', 'g'), '{_NUMBER}', '[number]', 'g')"
