"""The house keeps the shape that makes it easy to enter, and its map shows what is there."""

import re
from pathlib import Path
from typing import Final

import pytest

from config.models import BY_KIND
from tests.project.figures import FULLEST, KIND, LONGEST, ROOT, modules, named_twice, rooms

MAPS: Final = (ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md")
PATH: Final = re.compile(r"`((?:config|queries|triggers|dashboard|tests|docs)/[^`\s]*|[\w./-]+\.(?:md|toml|txt))`")
EXAMPLE: Final = "<"
"""A path that holds a placeholder, such as `dashboard/<page>/page.py`."""


USED_ONCE: Final = 0.25
"""A quarter at most, as in the code bases that this one learns from."""


def stands(path: str) -> bool:
    """Whether a path exists, and in it what is named behind its colon: `queries/loading/load.py:load`."""
    file, _, name = path.partition(":")
    at = ROOT / file
    made = rf"^(async def|def|class) {name}\b" if name else ""
    return at.exists() and re.search(made, at.read_text("utf-8") if name else "", re.MULTILINE) is not None


def paths(text: str) -> set[str]:
    return {path for path in PATH.findall(text) if EXAMPLE not in path}


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.name)
def test_every_path_that_a_map_names_exists(page: Path) -> None:
    named = paths(page.read_text("utf-8"))
    assert named
    assert [path for path in sorted(named) if not stands(path)] == []


def test_a_path_that_is_gone_is_seen() -> None:
    assert paths("see `queries/shelf.py`, `dashboard/<page>/page.py` and `make test`") == {"queries/shelf.py"}


def test_the_map_fits_on_a_few_screens() -> None:
    assert len(MAPS[0].read_text("utf-8").splitlines()) <= 120


def test_no_module_holds_more_than_one_noun() -> None:
    assert {module.name: module.lines for module in modules() if module.lines > LONGEST} == {}


def test_no_room_is_too_full() -> None:
    assert {room: count for room, count in rooms(modules()).items() if count > FULLEST} == {}


def test_a_word_stands_for_one_thing() -> None:
    assert len(named_twice(modules())) < 25


def test_few_functions_are_named_to_be_used_once() -> None:
    everything = modules()
    once, functions = (sum(map(len, of)) for of in zip(*((m.used_once, m.functions) for m in everything), strict=True))
    assert once / functions < USED_ONCE


def test_a_rule_kind_is_known_where_it_lives() -> None:
    # Four know several kinds: the models, their front door, and what a mistake in one is called. Each kind has its own.
    assert len([module.name for module in modules() if KIND.search(module.text)]) <= 4 + len(BY_KIND)


def test_comments_say_why() -> None:
    assert sum(len(module.comments) for module in modules()) >= 250


@pytest.mark.parametrize("room", sorted({module.room for module in modules()} - {"queries/state/migrations/versions"}))
def test_every_room_says_what_lives_there(room: str) -> None:
    assert (ROOT / room / "__init__.py").read_text("utf-8").startswith('"""')
