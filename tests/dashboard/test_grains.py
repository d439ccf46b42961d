"""The periods of an audience: by no others are figures shown over time, on the page or on the command line."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from streamlit.testing.v1 import AppTest

from config.models import Metric
from config.settings import CHECKOUT
from dashboard import stores
from queries.__main__ import main
from queries.review import periods_for
from queries.warehouse import EVERYTHING, Scope
from tests.support.company import catalog
from tests.support.small_company import Company, found

TODAY: Final = date(2026, 11, 21)
Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return found(tmp_path_factory.mktemp("company"), TODAY, months=6)


@pytest.fixture
def opened(company: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """The incident's page, for an audience with those periods."""
    audiences = company.config / "audiences.toml"
    before = audiences.read_text("utf-8")
    for name, value in company.environ.items():
        monkeypatch.setenv(name, value)

    def open_(grains: list[str], **query: str) -> AppTest:
        pages = '["review", "incidents"]' if "month" in grains else '["incidents"]'
        text = before.replace('["review", "incidents"]', pages).replace('grains = ["month"]', f"grains = {grains}")
        audiences.write_text(text, "utf-8")
        at = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=60)
        at.query_params.update(query)
        at.switch_page(str(CHECKOUT / "dashboard" / "views" / "incident.py"))
        return at.run()

    yield open_
    audiences.write_text(before, "utf-8")
    stores.close()


def by(at: AppTest) -> list[str]:
    """What the page shows the incident's figures by."""
    assert not at.exception, at.exception[0].stack_trace
    text = "\n".join(element.proto.body for element in at.get("html"))
    return re.findall(r"in Energy, by (\w+)</h2>", text)


@pytest.mark.parametrize(
    ("grains", "asked", "shown", "offered"),
    [
        (["week", "month"], None, ["month"], ["week", "month"]),
        (["week", "month"], "week", ["week"], ["week", "month"]),
        (["week", "month"], "day", ["month"], ["week", "month"]),
        (["quarter", "month", "day", "week"], "quarter", ["quarter"], ["day", "week", "month", "quarter"]),
        (["month"], "week", ["month"], []),
        (["week"], None, ["week"], []),
        (["day"], "month", ["day"], []),
        (["quarter"], None, ["quarter"], []),
        ([], "month", [], []),
    ],
)
def test_an_incidents_figures_are_shown_by_the_periods_of_its_reader(
    opened: Opened, company: Company, grains: list[str], asked: str | None, shown: list[str], offered: list[str]
) -> None:
    at = opened(grains, id=company.incident, **({"by": asked} if asked else {}))
    assert by(at) == shown
    choice = [group for group in at.button_group if group.label == "Figures by"]
    assert [group.options for group in choice] == ([offered] if offered else [])
    assert len(at.get("vega_lite_chart")) == len(shown)


def test_the_choice_stands_in_the_address(opened: Opened, company: Company) -> None:
    at = opened(["week", "month"], id=company.incident)
    at.button_group[0].set_value("week").run()
    assert by(at) == ["week"]
    assert at.query_params["by"] in ("week", ["week"])
    at.button_group[0].set_value(None).run()
    assert by(at) == ["month"]


def test_figures_about_people_are_by_month_alone() -> None:
    """Months and weeks overlap, and a quarter less two of its months is the third."""
    everything = ("quarter", "day", "month", "week")
    floored = Scope(privacy=catalog().privacy)
    of: dict[str, Metric] = {metric.name: metric for metric in catalog().metrics}
    for metric, scope, shown in (
        (of["csat"], floored, ("month",)),
        (of["csat"], EVERYTHING, ("day", "week", "month", "quarter")),
        (of["defect-rate"], floored, ("day", "week", "month", "quarter")),
    ):
        assert periods_for(metric, scope, everything) == shown
        assert periods_for(metric, scope, ()) == ()
    assert periods_for(of["csat"], floored, ("day", "week")) == ()


@pytest.mark.parametrize(
    ("grains", "asked", "is_shown"),
    [
        ('["month"]', [], True),
        ('["month"]', ["--grain", "week"], False),
        ('["month"]', ["--grain", "all"], True),
        ('["month", "week"]', ["--grain", "week"], True),
        ('["month", "week"]', ["--grain", "day"], False),
    ],
)
def test_the_command_line_shows_what_analysts_may_see(
    company: Company,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    grains: str,
    asked: list[str],
    is_shown: bool,  # noqa: FBT001
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    for file in company.config.glob("*.toml"):
        text = file.read_text("utf-8").replace('grains = ["month"]', f"grains = {grains}")
        (config / file.name).write_text(text, "utf-8")
    monkeypatch.setenv("EARSHOT_CONFIG", str(config))
    monkeypatch.setenv("EARSHOT_DATA", str(company.data))
    done = main(["metric", "promise-kept", "--format", "csv", *asked])
    said = capsys.readouterr()
    assert (done == 0) == is_shown
    assert (len(said.out.splitlines()) > 1) == is_shown
    refused = f"audiences.toml does not list {asked[-1] if asked else ''!r} among the grains of analysts"
    assert (refused in said.err) != is_shown
