"""The settings of a rule: each is what a backtest of it would show, and those that are proposed keep the budget."""

from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import insert

from config.models import Catalog, ChangeRule, ChartRule, GapRule, QuietRule, Rule, ThresholdRule, WatchRule
from config.reading import parse_drafts, read_catalog
from queries.state import TickRecord, passing_state, precisions, tables, vote, write
from queries.warehouse import COLUMNS, Pin
from tests.lab.test_backtest import FIRST, OVER, STORY, made
from tests.support.company import CONFIG, catalog, rows_of, rule, warehouse, weeks
from tests.support.installation import installed
from triggers.__main__ import main
from triggers.commands.tune import budget
from triggers.evaluation.kinds import Setting
from triggers.incidents.notification_load import NotificationLoad
from triggers.lab import (
    Budget,
    ParameterSweep,
    TrialOutcome,
    UntriedError,
    false_alarm_rate,
    fault_scanner,
    outcome,
    propose,
    rows,
    rule_as_toml,
    sweep_setting,
    trial,
    typical_range,
    with_value,
)
from triggers.lab.backtest import backtest
from triggers.lab.parameter_sweep import setting_of

NOW: Final = datetime(2026, 4, 1, tzinfo=UTC)
SHARED: Final[dict[str, Any]] = {
    "metric": "defect-rate", "by": ["vertical"], "window": "28d", "every": "7d", "false_alarms_per_year": 2.0,
    "keep_firing": "7d", "severity": 2, "route": "delivery", "owner": "delivery-lead", "recover": 0.02,
}  # fmt: skip


def short(model: type[Any], name: str, **changes: Any) -> Any:
    return model.model_validate({**SHARED, "name": name, "floor": 0.05, **changes})


RULES: Final[tuple[WatchRule, ...]] = (
    rule(keep_firing="7d"),
    rule(name="plain", gate="none", consecutive=2),
    short(ChangeRule, "fell", kind="change", baseline="previous"),
    short(GapRule, "gap", kind="gap", against={"metric": "defect-rate", "where": {"vertical": "Energy"}}, by=[]),
    short(ChartRule, "p", kind="chart", method="p", baseline={"first": "56d"}, recover=0.5, min_n=10),
    short(
        ChartRule,
        "ewma",
        kind="chart",
        method="ewma",
        baseline={"first": "56d"},
        recover=0.5,
        newest_weight=0.3,
        min_n=10,
    ),
)


@pytest.fixture(scope="module")
def pin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pin]:
    quiet = weeks(FIRST, (4,) * 24, vertical="Energy")
    company = (*weeks(FIRST, STORY), *quiet)
    folder = tmp_path_factory.mktemp("company")
    with warehouse(folder, catalog(*RULES), rows_of(company)) as made_, made_.pin() as pinned:
        yield pinned


@pytest.mark.parametrize("tried", RULES, ids=lambda tried: str(tried.name))
def test_every_setting_is_what_a_backtest_of_it_shows(pin: Pin, tried: WatchRule) -> None:
    config = catalog(*RULES)
    of = trial(pin, config, tried, FIRST, OVER)
    found = sweep_setting(pin.conn, of)
    assert tried in [one.rule for one in found.outcomes]
    assert found.present == outcome(pin.conn, of)
    seen = set()
    for value, one in list(zip(found.values, found.outcomes, strict=True))[::5]:
        alone = config.model_copy(update={"rules": (with_value(tried, value),)})
        expected = [row.cells for row in backtest(pin, alone, FIRST, OVER) if row.rule == tried.name]
        asked = outcome(pin.conn, of, one.rule, fault_scanner(pin, of))
        assert [row.cells for row in rows(asked)] == expected
        seen.add(len(expected))
    # the floor of a chart is small beside what it takes to be sure
    assert len(seen) > 1 or isinstance(tried, ChartRule), "the settings differ in nothing"


def test_where_the_figure_usually_lies(pin: Pin) -> None:
    """Counted again by hand: of the windows of those days that had enough cases, the middle half and nine in ten."""
    of = trial(pin, catalog(*RULES), RULES[0], FIRST, OVER)
    rows = [
        float(value)
        for slot, values, enough in zip(of.slots, of.judged.panel.value, of.judged.panel.enough, strict=True)
        for value, is_enough in zip(values, enough, strict=True)
        if slot > FIRST and is_enough
    ]
    found = typical_range(of)
    assert found is not None
    assert found.windows == len(rows) > 0
    assert found.slices == 2
    assert found.parts == pytest.approx(tuple(np.quantile(rows, (0.05, 0.25, 0.75, 0.95))))
    assert "half of the time" in found.words(of.subject.metric)


def test_silence_is_tried_too(pin: Pin) -> None:
    body = {**SHARED, "name": "quiet", "kind": "quiet", "of": "source", "at_least": "14d", "by": []}
    del body["metric"], body["recover"]
    quiet = QuietRule.model_validate(body)
    found = sweep_setting(pin.conn, trial(pin, catalog(quiet), quiet, FIRST, OVER))
    assert found.on == Setting("at_least", 14.0, 1)
    assert 14.0 in found.values


def test_what_has_no_window_in_the_data_says_so(pin: Pin) -> None:
    with pytest.raises(UntriedError, match="defects has no window of 28 days in the data before 2025-09-10"):
        trial(pin, catalog(rule()), rule(), FIRST, date(2025, 9, 10))
    event = read_catalog(CONFIG, COLUMNS).rule("unanswered")
    with pytest.raises(UntriedError, match="unanswered waits for a severe case"):
        trial(pin, catalog(rule()), event, FIRST, OVER)


def test_noise_is_what_a_null_replay_finds(pin: Pin) -> None:
    config = catalog(*RULES)
    found = false_alarm_rate(trial(pin, config, RULES[0], FIRST, OVER), RULES[0], NOW)
    assert found.a_year is not None
    assert 0 <= found.a_year <= found.declared == RULES[0].false_alarms_per_year
    plain = false_alarm_rate(trial(pin, config, RULES[1], FIRST, OVER), RULES[1], NOW)
    assert plain.a_year is None
    assert "compares plain values" in plain.why


# What is varied


@pytest.mark.parametrize("name", [r.name for r in read_catalog(CONFIG, COLUMNS).rules])
def test_a_rule_reads_back_from_what_is_pasted(name: str) -> None:
    config = read_catalog(CONFIG, COLUMNS)
    written: Rule = config.rule(name)
    (back,) = parse_drafts(rule_as_toml(written), config, COLUMNS).rules
    assert back == written.model_copy(update={"enabled": True})


def test_every_value_that_is_tried_may_be_written(pin: Pin) -> None:
    config = catalog(*RULES)
    for tried in RULES:
        for one in sweep_setting(pin.conn, trial(pin, config, tried, FIRST, OVER)).outcomes:
            (back,) = parse_drafts(rule_as_toml(one.rule), config, COLUMNS).rules
            assert back == one.rule


def test_recover_follows_the_limit() -> None:
    found = with_value(rule(limit=0.25, recover=0.20), 0.30)
    assert isinstance(found, ThresholdRule)
    assert (found.limit, found.recover) == (0.30, 0.25)
    assert setting_of(found, catalog().metric("defect-rate")) == Setting("limit", 0.30, 1)


# Budgets


def asking(a_week: float, busiest: int) -> TrialOutcome:
    return TrialOutcome(rule(), (), (NotificationLoad("ana", round(a_week * 100), a_week, busiest),))


LAX_TO_KEEN: Final = (asking(0, 0), asking(0.1, 1), asking(0.5, 2), asking(0.9, 4), asking(3, 9))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("2 per person per week", 0.3),
        ("1 per person per week", 0.2),
        ("4 per week", 0.4),
        ("0.3 a week", 0.2),  # less than one a week: no more than one in any
    ],
)
def test_the_value_that_hears_most_within_the_budget(text: str, limit: float) -> None:
    values = (0.1, 0.2, 0.3, 0.4, 0.5)
    found = ParameterSweep(Setting("limit", 0.1, -1), values, LAX_TO_KEEN)
    assert propose(found, budget(text)).found == (limit, LAX_TO_KEEN[values.index(limit)])
    other_way = ParameterSweep(Setting("floor", 0.1, 1), values, LAX_TO_KEEN[::-1])
    assert propose(other_way, budget(text)).found == (round(0.6 - limit, 1), LAX_TO_KEEN[values.index(limit)])


def test_what_is_nearly_always_open_is_not_proposed() -> None:
    standing = replace(asking(0.1, 1), standing=0.2)
    found = ParameterSweep(Setting("limit", 0.1, -1), (0.1, 0.2, 0.3), (asking(0, 0), standing, asking(99, 99)))
    assert propose(found, Budget(50)).found == (0.1, asking(0, 0))


@pytest.mark.parametrize(
    ("finds", "limit"),
    [
        (None, None),  # nothing is known: whatever it proposed would be made up
        (lambda _: 0, None),
        (lambda outcome: outcome.busiest >= 1, 0.2),  # the laxest that finds it
    ],
)
def test_a_budget_that_every_value_keeps_proposes_nothing_by_itself(finds: Any, limit: float | None) -> None:
    """Whether or not the keenest would be open too often."""
    for keenest in (asking(0.2, 1), replace(asking(0.2, 1), standing=0.5)):
        outcomes = (asking(0, 0), asking(0.1, 1), keenest)
        found = propose(ParameterSweep(Setting("limit", 0.1, -1), (0.1, 0.2, 0.3), outcomes), Budget(50), finds)
        assert (found.found[0] if found.found else None) == limit
        assert "the budget does not decide" in found.why


def test_no_value_keeps_the_budget() -> None:
    assert propose(ParameterSweep(Setting("floor", 0.1, 1), (0.1,), (asking(3, 9),)), Budget(1)).found is None


@pytest.mark.parametrize("text", ["", "two per week", "0 per week", "-1 per week", "2 per month", "2"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a valid budget; write one such as '2 per person per week'"):
        budget(text)


# Votes


def test_a_rules_precision_counts_each_incident_once() -> None:
    states = passing_state()
    votes = {"a": (True, True, False), "b": (False,), "c": (True,), "d": (True, False)}
    with states.begin() as conn:
        write(conn, TickRecord(opened=tuple(made(id=id_, slice=id_) for id_ in votes)))
        for id_, cast in votes.items():
            for number, useful in enumerate(cast):
                vote(conn, id_, f"p{number}", NOW, useful=useful)
        found = precisions(conn)["defects"]
    # Wilson 1927 for 2.5 of 4: centre 1.1052 / 1.9604, half width 1.96 x sqrt(0.0586 + 0.0600) / 1.9604
    assert (found.value, found.n) == (0.625, 4)
    assert (round(found.low, 3), round(found.high, 3)) == (0.219, 0.908)
    states.dispose()


def test_nobody_voted() -> None:
    states = passing_state()
    with states.begin() as conn:
        conn.execute(insert(tables.vote).values(incident_id="gone", author="x", useful=1, at=datetime(2026, 1, 1)))  # noqa: DTZ001
        assert precisions(conn) == {}
    states.dispose()


# The command


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    with warehouse(folder, catalog(rule()), rows_of(weeks(FIRST, STORY))):
        pass
    return folder


@pytest.fixture
def here(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(tmp_path, built, monkeypatch):
        yield tmp_path


TUNE: Final = ("tune", "defects", "--since", "2025-09-01", "--until", "2026-04-01", "--budget")


def test_tune_proposes_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "config" / "triggers.toml"
    before = file.read_text("utf-8")
    assert main([*TUNE, "0.02 per person per week"]) == 0
    said = capsys.readouterr().out
    assert "defects from 2025-09-01 to 2026-04-01, limit varied; recover keeps its distance" in said
    assert "25% " in said
    assert "<- current" in said
    assert "<- proposed" in said
    assert "    limit = " in said
    assert "votes: none of its incidents has been rated yet" in said
    assert file.read_text("utf-8") == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tune", "nonsense", "--budget", "1 a week"), "no rule named 'nonsense'; the rules are defects"),
        (("tune", "defects", "--budget", "1 a week", "--until", "2020-01-01"), "has no window of 28 days in the data"),
        ((*TUNE, "1 a week", "--draft", "nowhere.toml"), "nowhere.toml:1: the file is missing"),
    ],
)
def test_tune_refuses_in_words(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert here
    assert main(list(words)) == 1
    assert said in capsys.readouterr().err


def test_a_draft_is_tuned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config: Catalog = catalog(rule())
    file = here / "draft.toml"
    file.write_text(rule_as_toml(config.rule("defects").model_copy(update={"limit": 0.5, "recover": 0.45})), "utf-8")
    assert main([*TUNE, "1 per person per week", "--draft", str(file)]) == 0
    said = capsys.readouterr().out
    assert next(line for line in said.splitlines() if "<- current" in line).startswith("50%")
