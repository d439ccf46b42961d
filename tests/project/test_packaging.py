"""What is installed is this checkout, at the versions that are written down, and nothing is uploaded by mistake."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions, packages_distributions, requires
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from tests.project.test_imports import FILES, imported

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("dashboard", "triggers", "queries", "config")
UNPINNED: Final = {"earshot", "pip", "setuptools", "wheel"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pairs}


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def wanted() -> set[str]:
    """The names this project asks for itself."""
    meta = project()["project"]
    lines = [*meta["dependencies"], *(line for extra in meta["optional-dependencies"].values() for line in extra)]
    return {normal(re.split(r"[\[<>=~! ]", line)[0]) for line in lines}


def test_every_dependency_is_pinned_and_installed_so() -> None:
    installed = {normal(found.name): found.version for found in distributions() if found.name}
    pins = pinned()
    assert wanted() <= set(pins)
    assert {name: installed.get(name) for name in pins} == pins


def come_with(names: Iterable[str]) -> set[str]:
    """What is installed where these are asked for, by the name that a distribution has for itself."""
    found, asked = set[str](), [Requirement(name) for name in names]
    while asked:
        one = asked.pop()
        asking = f"{normal(one.name)}{sorted(one.extras)}"
        if asking not in found:
            found |= {asking, normal(one.name)}
            asked += [each for line in requires(one.name) or () if _is_asked(each := Requirement(line), one.extras)]
    return found


def _is_asked(one: Requirement, extras: set[str]) -> bool:
    return one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def test_running_needs_no_tool_of_testing() -> None:
    """`make run` installs the dependencies alone: what the product imports is one of them, or comes with one."""
    there, owners = come_with(project()["project"]["dependencies"]), packages_distributions()
    names = {name.split(".")[0] for path in FILES for name in imported(ast.parse(path.read_text("utf-8")))}
    foreign = names - sys.stdlib_module_names - set(PACKAGES) - {""}
    assert {"streamlit", "duckdb"} < foreign
    assert {name for name in foreign if there.isdisjoint(map(normal, owners.get(name, ())))} == set()
    assert there.isdisjoint({"playwright", "mypy", "ruff", "pytest", "hypothesis"})


def test_the_newest_python_is_the_last_one_promised() -> None:
    promised = [line.rsplit(" ", 1)[1] for line in project()["project"]["classifiers"] if "Python :: " in line]
    found = re.findall(
        r"python(3\.\d+)", (ROOT / "Makefile").read_text().partition("NEWEST ?=")[2].partition("\n\n")[0]
    )
    assert set(found) == {promised[-1]}


def test_nothing_names_a_registry() -> None:
    names = ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", "tests/counterparts/package-lock.json")
    texts = "".join((ROOT / name).read_text() for name in names)
    assert not re.findall(r"--(?:extra-)?index-url|--registry|registry\.npmjs|pypi\.org|\"resolved\"", texts)


def test_indexes_refuse_an_upload() -> None:
    assert "Private :: Do Not Upload" in project()["project"]["classifiers"]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_checkout_is_what_is_imported(package: str, tmp_path: Path) -> None:
    if not any(_is_editable(found) for found in distributions(name="earshot")):
        pytest.skip("not installed: make setup")
    code = f"import {package}; print({package}.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parent == ROOT / package


def _is_editable(found: Distribution) -> bool:
    return any(str(file).endswith(".pth") for file in found.files or ())


def test_a_wheel_ships_what_is_not_python(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    with zipfile.ZipFile(tmp_path / done.stdout.strip().splitlines()[-1]) as wheel:
        shipped = set(wheel.namelist())
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    expected = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert expected <= shipped
    assert {name.split("/")[0] for name in shipped} == {*PACKAGES, "earshot-0.1.0.dist-info"}
