"""Every mistake somebody can write into configuration is named in one line, with its file, its line and what is right.

Each file of `mistakes/` holds one. `#+ FILE` adds it to that file of the small configuration, `#= FILE` puts it in that
file's place, and each `#> LINE: TEXT` is a message it must give, counted in lines of the mistake's own file.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from config import ConfigError
from config.reading import read_catalog, read_source
from config.settings import read_settings

HERE: Final = Path(__file__).parent
SMALL: Final = HERE / "config_small"
CASES: Final = sorted((HERE / "mistakes").glob("*.toml"))
_SEGMENT: Final = frozenset({"vertical", "region", "touchpoint", "channel", "account.tier"})
COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "response": _SEGMENT | {"kind", "scale", "score", "status", "responded_day", "responded_at"},
    "journey": frozenset({"vertical", "region", "ended_at", "kept", "outcome", "defective"}),
}


def read_whole(folder: Path) -> object:
    return read_catalog(folder, COLUMNS)


READERS: Final[Mapping[str, Callable[[Path], object]]] = {
    "source.toml": read_source,
    "settings.toml": lambda folder: read_settings({"EARSHOT_CONFIG": str(folder)}, None),
}


def mistakes_in(read: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read()
    return str(raised.value).splitlines()


def put(case: Path, folder: Path) -> tuple[str, int]:
    """Put a mistake where it belongs: the name of that file, and how many lines stand before the mistake."""
    sign, name = case.read_text(encoding="utf-8").splitlines()[0].split()
    file = folder / name
    before = file.read_text(encoding="utf-8") if sign == "#+" else ""
    file.write_text(before + case.read_text(encoding="utf-8"), encoding="utf-8")
    return name, before.count("\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "config"
    shutil.copytree(SMALL, target)
    (target / "contact.sql").write_text("select 1", encoding="utf-8")
    return target


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_mistake_is_named_with_its_line_and_what_is_right(case: Path, folder: Path) -> None:
    name, before = put(case, folder)
    said = [row[3:].split(": ", 1) for row in case.read_text(encoding="utf-8").splitlines() if row.startswith("#> ")]
    expected = [f"{folder / name}:{before + int(line)}: {text}" for line, text in said]
    assert mistakes_in(lambda: READERS.get(name, read_whole)(folder)) == expected
