"""Markup that several pages share, and where the templates are. Pure.

The HTML is in `macros.html` here and in each page's folder. What a macro is given is escaped by the template engine,
so what a customer's data says is shown as text, also where nobody thought of it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from config import Mistake
from queries.metrics import SEVERITY_WORDS, count, day_words

SEVERITIES: Final = {number: f"{word}, severity {number}" for number, word in SEVERITY_WORDS.items()}


class Macros(Protocol):
    """The macros of a template, by name."""

    def __getattr__(self, name: str) -> Callable[..., Markup]: ...


# A name that a template has and nobody gives it would be left out in silence, were it not strict.
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(day=day_words, count=count)


def macros(file: str) -> Macros:
    """The macros of a template, as functions that return HTML."""
    return cast("Macros", _TEMPLATES.get_template(file).module)


_MACROS: Final = macros("macros.html")


def notice(text: str, *, attention: bool = False, command: str = "") -> Markup:
    """One line in a bar of its own; `command` is what to type."""
    return _MACROS.notice(text, attention, command)


def section(title: str, lede: str = "") -> Markup:
    """A heading with a rule above it."""
    return _MACROS.section(title, lede)


def stacked(*pieces: Markup) -> Markup:
    """Pieces below one another, at the page's own distance: a run sends one element for them, and not one for each."""
    return Markup('<div class="e-stack">{}</div>').format(Markup("").join(pieces))


def bullets(lines: Iterable[str]) -> Markup:
    """Lines of text."""
    return _MACROS.bullets(lines)


def mistake_list(mistakes: Iterable[Mistake]) -> Markup:
    """What is wrong in the configuration: where, what, and what would be right."""
    return _MACROS.mistake_list(mistakes)
