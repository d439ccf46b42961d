"""What the docs say is so: their commands run, their links lead somewhere, their reference pages are current."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from queries.statistics.estimates import wilson
from tests.project import reference
from tests.support import clocks

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
MINUTES: Final = pytest.mark.dated(if_proving="a company of its own for each day takes a minute or more")
PACKAGES: Final = ("config", "queries", "triggers", "dashboard")
SERVED: Final = {"python -m dashboard", "python -m triggers run", "python -m triggers listen"}
"""They run until somebody ends them; other tests start them."""
NOT_HERE: Final = {"make test", "source .venv/bin/activate"}
MEANT: Final = {"make run": ("python -m queries demo", "python -m triggers check", "python -m triggers run --once")}
"""What a command comes to, less the installation and the server."""

_FENCE: Final = re.compile(r"^```(\w*)$")
_FILE: Final = re.compile(r"(Save as|Add to) `([^`]+)`[^`]*:$")
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SLUG: Final = re.compile(r"[^\w\- ]")
_REGISTRY: Final = re.compile(r"pypi|pythonhosted|npmjs|registry\.|crates\.io|proxy\.golang|docker\.io", re.IGNORECASE)
_MAKING: Final = re.compile(r"\bsessions?\b|\bagents?\b|\bhelpers?\b|\bissue #?\d|#\d+\b|\.\./shared", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, with the line of text before it."""

    language: str
    text: str
    before: str


@dataclass(slots=True)
class Checkout:
    """A copy of what a user has, where the docs' steps are taken one after the other."""

    folder: Path
    today: date
    environ: dict[str, str] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)

    def follow(self, page: str, *, run: bool = True) -> None:
        """Do what a page says."""
        for block in blocks(DOCS / page):
            if found := _FILE.search(block.before):
                self.write(found[1], self.folder / found[2], block.text)
            elif block.language == "diff":
                self.patch(block.text.splitlines())
            elif block.language == "console" and run:
                for command in commands(block):
                    self.take(command)

    def write(self, how: str, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text("utf-8") + "\n" if how == "Add to" else ""
        file.write_text(before + text, "utf-8")

    def patch(self, lines: list[str]) -> None:
        file = self.folder / lines[0].removeprefix("# ")
        old, new = ("".join(f"{line[1:]}\n" for line in lines[1:] if line.startswith(sign)) for sign in "-+")
        text = file.read_text("utf-8")
        assert text.count(old) == 1, f"{file.name} should hold once:\n{old}"
        file.write_text(text.replace(old, new), "utf-8")

    def take(self, command: str) -> None:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environ[name] = value
        elif command in MEANT:
            for one in MEANT[command]:
                if one not in self.said:
                    self.run(one)
        elif command not in SERVED | NOT_HERE:
            self.run(command)

    def run(self, command: str) -> str:
        words = [self.named(word) for word in shlex.split(command)]
        assert words[:2] == ["python", "-m"], command
        # Dozens of commands are run: each would compile everything anew.
        others = ("EARSHOT_", "PYTHONDONTWRITEBYTECODE")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        done = subprocess.run(
            clocks.module(*words[2:]),
            cwd=self.folder,
            env={**environ, **self.environ},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        self.said.setdefault(command, []).append(done.stdout)
        return done.stdout

    def named(self, word: str) -> str:
        """What a reader puts in place of a word in capitals."""
        if word == "INCIDENT":
            listed = csv.DictReader(self.run("python -m triggers incidents --state open --format csv").splitlines())
            return next(row["id"] for row in listed if row["rule"] == "installation-defects")
        days = {"SINCE": timedelta(days=365), "UNTIL": timedelta(0)}
        return str(self.today - days[word]) if word in days else word


def blocks(page: Path) -> Iterator[Block]:
    before, language, held = "", None, list[str]()
    for line in page.read_text("utf-8").splitlines():
        found = _FENCE.match(line)
        if language is not None and line == "```":
            yield Block(language, "\n".join(held) + "\n", before)
            before, language, held = "", None, []
        elif language is not None:
            held.append(line)
        elif found:
            language = found[1]
        elif line.strip():
            before = line
    assert language is None, f"{page}: a block is not closed"


def commands(block: Block) -> Iterator[str]:
    for line in block.text.splitlines():
        assert line.startswith("$ "), f"{line!r} is no command; console blocks hold commands only"
        yield line.removeprefix("$ ")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory: pytest.TempPathFactory, today: date) -> Callable[[], Checkout]:
    def make() -> Checkout:
        folder = tmp_path_factory.mktemp("checkout")
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        return Checkout(folder, today)

    return make


@pytest.fixture(scope="module")
def with_sample(new_checkout: Callable[[], Checkout]) -> Checkout:
    """What `make run` leaves behind."""
    made = new_checkout()
    made.take("make run")
    return made


@MINUTES
@pytest.mark.slow(minutes=4)
def test_the_tutorial_can_be_followed(with_sample: Checkout) -> None:
    with_sample.follow("tutorial.md")
    backtests = (said for command, said in with_sample.said.items() if "backtest" in command)
    before, after = (opened(said) for said in next(backtests))
    assert before.keys() == after.keys() == {"vertical=Commercial Banking"}
    assert before["vertical=Commercial Banking"] < after["vertical=Commercial Banking"], "a laxer limit opens later"


def opened(table: str) -> dict[str, str]:
    """When each slice of a printed backtest opened."""
    rows = (re.split(" {2,}", line) for line in table.splitlines() if "vertical=" in line)
    return {row[1]: row[3] for row in rows}


@MINUTES
@pytest.mark.slow
@pytest.mark.parametrize("page", ["add-a-metric.md", "write-a-rule.md", "tune-a-trigger.md", "send-to-slack.md"])
def test_what_is_said_about_the_sample_can_be_done(page: str, with_sample: Checkout) -> None:
    with_sample.follow(f"how-to/{page}")


@MINUTES
@pytest.mark.slow
def test_a_customer_of_the_sample_can_be_erased(with_sample: Checkout) -> None:
    with_sample.follow("how-to/erase-a-customer.md")


@MINUTES
@pytest.mark.slow
def test_a_shop_can_be_loaded(new_checkout: Callable[[], Checkout]) -> None:
    here = new_checkout()
    here.follow("how-to/load-your-data.md")
    (loaded,) = here.said["python -m queries load shop --data my-data"]
    assert "published" in loaded
    assert not re.search(r"^quarantined \d", loaded, re.MULTILINE)


@MINUTES
@pytest.mark.slow
def test_the_shop_can_be_loaded_into_postgresql(new_checkout: Callable[[], Checkout], postgres_url: str) -> None:
    here = new_checkout()
    here.follow("how-to/load-your-data.md", run=False)
    here.environ |= {"EARSHOT_WAREHOUSE__URL": postgres_url, "EARSHOT_STATE__URL": postgres_url}
    here.follow("how-to/use-postgresql.md")


def test_every_page_with_commands_is_followed() -> None:
    followed = {"docs/tutorial.md", "README.md", *(name_of(p) for p in (DOCS / "how-to").glob("*.md"))}
    with_commands = {name_of(page) for page in PAGES if any(b.language == "console" for b in blocks(page))}
    assert with_commands <= followed


def test_the_readme_names_the_two_commands() -> None:
    found = [
        command for block in blocks(ROOT / "README.md") if block.language == "console" for command in commands(block)
    ]
    assert found == ["make run", "make test"]


def test_make_run_comes_to_what_the_tests_take_it_for() -> None:
    done = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, check=True)
    started = [
        line.split("bin/")[1].removesuffix(" >/dev/null")
        for line in done.stdout.splitlines()
        if "/python -m " in line and " pip " not in line
    ]
    assert started == [*MEANT["make run"], "python -m dashboard"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)}: {file.name} has no heading #{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = (line.lstrip("#").strip() for line in page.read_text("utf-8").splitlines() if line.startswith("#"))
    return {_SLUG.sub("", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_speak_of_the_product_only(page: Path) -> None:
    text = page.read_text("utf-8")
    assert _REGISTRY.findall(text) == []
    assert _MAKING.findall(text) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_on_a_page_is_toml(page: Path) -> None:
    for block in blocks(page):
        if block.language == "toml":
            tomllib.loads(block.text)


@pytest.mark.parametrize("name", ["tables", "metrics", "rules", "settings", "commands"])
def test_reference_pages_are_current(name: str) -> None:
    page = reference.FOLDER / f"{name}.md"
    assert page.read_text("utf-8") == reference.pages()[page], "run `python -m tests.project.reference`"


def test_nothing_else_is_among_the_reference_pages() -> None:
    assert set(reference.FOLDER.glob("*")) == set(reference.pages())


def test_two_of_four_run_from_15_to_85_percent() -> None:
    """docs/explanation/evidence.md."""
    assert wilson(2, 4) == pytest.approx((0.5, 0.15, 0.85), abs=0.0005)


def test_ten_points_without_any_change_come_in_34_of_100_weeks() -> None:
    """docs/adr/0003-evidence-gate.md: 30 answers a week, of whom half promote and a fifth detract, added up exactly."""
    week = np.ones(1)
    for _ in range(30):
        week = np.convolve(week, [0.2, 0.3, 0.5])
    change = np.convolve(week, week[::-1])
    assert change[: 60 - 3 + 1].sum() == pytest.approx(0.34, abs=0.005)
