"""Markup that several pages share. Pure; every value is escaped, so what a customer's data says is shown as text."""

from collections.abc import Iterable
from datetime import date, datetime
from html import escape
from typing import Final

from config.errors import Mistake

SEVERITIES: Final = {1: "severity 1, the most serious", 2: "severity 2", 3: "severity 3", 4: "severity 4"}


def day_words(when: date | datetime) -> str:
    """A day as it is read: `3 October 2026`."""
    return f"{when.day} {when:%B %Y}"


def section(title: str, lede: str = "") -> str:
    """A heading with a rule above it."""
    return f'<h2 class="e-section">{escape(title)}</h2>' + (f'<p class="e-lede">{escape(lede)}</p>' if lede else "")


def notice(text: str, *, attention: bool = False, command: str = "") -> str:
    """One line in a bar of its own; `command` is what to type."""
    code = f" <code>{escape(command)}</code>" if command else ""
    return f'<p class="e-notice{" attention" if attention else ""}" role="status">{escape(text)}{code}</p>'


def bullets(lines: Iterable[str]) -> str:
    """Lines of text."""
    return f'<ul class="e-list">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def mistake_list(found: Iterable[Mistake]) -> str:
    """What is wrong in the configuration: where, what, and what would be right."""
    rows = "".join(
        f"<tr><td><code>{escape(f'{m.file}:{m.line}' if m.line else str(m.file))}</code></td>"
        f"<td>{escape(m.wrong)}</td><td>{escape(m.right)}</td></tr>"
        for m in found
    )
    return table(("Where", "What is wrong", "What to do"), rows)


def table(names: Iterable[str], rows: str) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    top = f"<thead><tr>{head}</tr></thead>"
    return f'<div class="e-scroll"><table class="e-table">{top}<tbody>{rows}</tbody></table></div>'
