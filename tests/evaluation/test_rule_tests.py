"""Tests of rules as analysts write them: the project's own, what a failing one says, and that live runs agree."""

import random
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from pydantic import TypeAdapter

from config import ConfigError
from config.models import Catalog, Goal, Metric, Rule, ThresholdRule
from config.reading import ConfigEntry, Document, RuleTest, read_catalog, read_rule_tests
from config.reading.number_series import ramp
from queries.loading.fixture_warehouse import open_fixture
from queries.state import entries, passing_state, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING, Pin
from tests.project.test_docs import DOCS, PACKAGES, Checkout, blocks
from triggers.__main__ import main
from triggers.incidents.tick import tick
from triggers.lab import rule_as_toml
from triggers.rule_tests.compare import OpenedIncident
from triggers.rule_tests.runner import RuleTestResult, run_rule_test, suite
from triggers.rule_tests.written_counts import scored_column, tally, unit_tally
from triggers.rules import midnight

ROOT: Final = Path(__file__).resolve().parents[2]
OWN: Final = Path(__file__).parent / "rules"
CATALOG: Final = read_catalog(ROOT / "config", COLUMNS)


def own_tests() -> tuple[ConfigEntry[RuleTest], ...]:
    return tuple(entry for file in sorted(OWN.glob("*.toml")) for entry in read_rule_tests(file))


@pytest.mark.parametrize("file", sorted(OWN.glob("*.toml")), ids=lambda file: file.stem)
def test_the_shipped_rules_do_what_their_tests_say(file: Path) -> None:
    outcomes = tuple(suite([file], CATALOG))
    assert outcomes
    assert [str(outcome) for outcome in outcomes if not outcome.passed] == []


def test_every_shipped_rule_has_a_test_in_which_it_opens_something() -> None:
    opening = {entry.item.rule for entry in own_tests() if entry.item.incident and isinstance(entry.item.rule, str)}
    assert opening == {rule.name for rule in CATALOG.rules}


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(text, encoding="utf-8")
    return file


def outcomes(tmp_path: Path, text: str, catalog: Catalog = CATALOG) -> tuple[RuleTestResult, ...]:
    return tuple(suite([written(tmp_path, text)], catalog))


FALL: Final = """
[[test]]
name = "a fall"
rule = "promises-company"
at = 2026-09-30
from = 2025-09-01
every = "7d"

[[test.series]]
n = 200
plus = "184x20 150x6 188x20"
"""
AS_IT_IS: Final = "[[test.incident]]\nopened = 2026-02-02\nvalue = 0.835\nn = 800\nresolved = 2026-04-13\n"


def test_a_test_that_passes_says_so_in_one_line(tmp_path: Path) -> None:
    (found,) = outcomes(tmp_path, FALL + AS_IT_IS)
    assert str(found) == f"ok   {tmp_path}/rules.toml:2: a fall"


def test_what_differs_stands_side_by_side(tmp_path: Path) -> None:
    wrong = AS_IT_IS.replace("0.835", "0.9").replace("2026-04-13", "false")
    (found,) = outcomes(tmp_path, FALL + wrong)
    assert str(found).splitlines() == [
        f"FAIL {tmp_path}/rules.toml:2: a fall",
        f"  the whole company ({tmp_path}/rules.toml:12)",
        "              expected    got",
        "    opened    2026-02-02  2026-02-02",
        "  ! resolved  still open  2026-04-13",
        "  ! value     0.9         0.835",
        "    n         800         800",
    ]


def test_an_incident_that_nobody_expected_fails(tmp_path: Path) -> None:
    (found,) = outcomes(tmp_path, FALL)
    (line,) = found.lines
    assert line.startswith("  opened, and was not expected: the whole company, opened 2026-02-02, slot 2026-02-02")
    assert line.endswith("held 0.9, n 800, reason beyond the limit")


def test_an_incident_that_does_not_open_fails(tmp_path: Path) -> None:
    calm = FALL.replace("150x6", "184x6") + AS_IT_IS
    (found,) = outcomes(tmp_path, calm)
    assert found.lines == (
        f"  expected, and did not open: the whole company, opened 2026-02-02 ({tmp_path}/rules.toml:12)",
    )


def test_nothing_after_its_day_is_known_to_a_test(tmp_path: Path) -> None:
    (eve,) = outcomes(tmp_path, FALL.replace("2026-09-30", "2026-02-01"))
    assert eve.passed
    still = AS_IT_IS.replace("2026-04-13", "false")
    (on_the_day,) = outcomes(tmp_path, FALL.replace("2026-09-30", "2026-02-02") + still)
    assert on_the_day.passed


def test_two_incidents_of_a_slice_are_told_apart_by_their_days(tmp_path: Path) -> None:
    twice = FALL.replace("188x20", "188x20 150x6 188x20").replace("2026-09-30", "2026-12-31")
    (found,) = outcomes(tmp_path, twice + "[[test.incident]]\nopened = 2026-08-03\n" + AS_IT_IS)
    assert found.lines == ()
    (found,) = outcomes(tmp_path, twice + "[[test.incident]]\nopened = 2026-08-03\n")
    assert len(found.lines) == 1
    assert "opened 2026-02-02" in found.lines[0]


ROWS: Final = """
[[test]]
name = "rows"
rule = "key-account-detractor"
at = 2026-09-30

[[test.row]]
table = "response"
account_id = "acme"
kind = "relationship"
status = "answered"
invited_at = 2026-03-02
"""


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (FALL.replace("rule =", "rul ="), 4, "test a fall: unknown key 'rul'; did you mean 'rule'?"),
        (FALL.replace("plus =", "plsu ="), 11, "unknown key 'plsu'; did you mean 'plus'?"),
        (FALL.replace("promises-company", "promise-company"), 4, "unknown rule 'promise-company'; did you mean"),
        (FALL.replace("[[test]]", "[[tests]]"), 2, "unknown key 'tests'; did you mean 'test'?"),
        (FALL.replace("184x20", "184*20"), 11, "'184*20' is not a number; write 40, 40x12 (twelve times 40)"),
        (FALL.replace("n = 200", "n = [200, 200]"), 9, "the lists differ in length (n 2, plus 46)"),
        (FALL.replace("184x20 150x6 188x20", "").replace('plus = ""', "plus = 100"), 9, "nothing is a list"),
        (FALL.replace("150x6", "250x6"), 11, "more rows count than there are"),
        (FALL.replace("plus =", "mean ="), 9, "promise-kept is a share, which is not made of n, mean; write n, p"),
        (FALL.replace('every = "7d"\n', ""), 8, "'every' is missing; write it for the series, or once for the test"),
        (FALL.replace('"7d"', '"36h"'), 7, "the numbers are not whole days apart; write '1d' or '7d'"),
        (FALL + 'slice = { vertical = "Retail" }\n', 12, "the rule is not sliced by 'vertical'; leave slice out"),
        (FALL + 'side = "against"\n', 12, "only a gap rule is measured from a series; leave side out"),
        (FALL + 'slice = "Retail"\n', 12, "slice is 'Retail'; write a table"),
        (FALL + "[[test.incident]]\nvalue = 3\n", 12, "'opened' is missing; add it"),
        (FALL + AS_IT_IS + 'slice = { touchpoint = "visit" }\n', 17, "the rule is not sliced by 'touchpoint'"),
        (FALL.replace("promises-company", "source-stale"), 9, "a rule of kind quiet reads no counts; write [[test.sig"),
        (FALL + '[[test.row]]\ntable = "contact"\n', 2, "a test needs [[test.series]], or else [[test.row]]"),
        (ROWS.replace('"response"', '"respons"'), 8, "unknown table 'respons'; did you mean 'response'?"),
        (ROWS + "scor = 3\n", 13, "response has no column 'scor'; did you mean 'score'?"),
        (ROWS.replace("answered", "anwered"), 11, "status cannot be 'anwered'; did you mean 'answered'?"),
        (ROWS.replace("invited_at = 2026-03-02\n", ""), 7, "a row of response needs 'invited_at'; add it"),
        (ROWS + "[[test.signals]]\nslice = {}\ndays = []\n", 13, "only a quiet rule of an account, an instrument"),
        ("name = 3\n", 1, "unknown key 'name'; write one of test"),
        ("", 1, "there is no test in it; write [[test]]"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    (found,) = outcomes(tmp_path, text)
    where = f"{tmp_path}/rules.toml:{line}: "
    assert [one for one in found.lines if where in one and said in one], found.lines


DRAFT: Final = (
    FALL.replace('rule = "promises-company"\n', "")
    + AS_IT_IS
    + """
[test.rule]
name = "draft"
kind = "threshold"
metric = "promise-kept"
limit = 0.90
recover = 0.91
floor = 0.02
window = "28d"
every = "7d"
false_alarms_per_year = 0.2
keep_firing = "14d"
severity = 2
route = "delivery"
owner = "delivery-lead"
"""
)


def test_a_draft_is_tested_like_a_rule_of_the_configuration(tmp_path: Path) -> None:
    assert outcomes(tmp_path, DRAFT)[0].passed


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("floor = 0.02", "flor = 0.02", "rule draft: unknown key 'flor'; did you mean 'floor'?"),
        ('metric = "promise-kept"', 'metric = "promises-kept"', "rule draft: unknown metric 'promises-kept'"),
        ("recover = 0.91", "recover = 0.89", "rule draft: recover 0.89 is on the bad side of limit 0.9"),
        ('route = "delivery"', 'route = "delivry"', "rule draft: unknown route 'delivry'; did you mean 'delivery'?"),
        ('kind = "threshold"', 'kind = "treshold"', "unknown kind 'treshold'; did you mean 'threshold'?"),
    ],
)
def test_a_draft_is_checked_like_a_rule_of_the_configuration(tmp_path: Path, old: str, new: str, said: str) -> None:
    (found,) = outcomes(tmp_path, DRAFT.replace(old, new))
    line = DRAFT.replace(old, new).splitlines().index(new) + 1
    assert [one for one in found.lines if f"rules.toml:{line}: " in one and said in one], found.lines


def test_a_draft_cannot_hang_from_a_rule_that_is_inhibited_itself(tmp_path: Path) -> None:
    child = next(rule for rule in CATALOG.rules if rule.inhibited_by)
    text = DRAFT + f'inhibited_by = "{child.name}"\n'
    (found,) = outcomes(tmp_path, text)
    (line,) = found.lines
    said = f"rule draft: {child.name!r} is itself inhibited by another rule; only one level is allowed"
    assert f"rules.toml:{len(text.splitlines())}: {said}" in line


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("40", (40,)),
        ("40x3", (40, 40, 40)),  # the count of numbers, not of further ones
        ("40+2x4", (40, 42, 44, 46)),
        ("1-0.1x3", (1, 0.9, 0.8)),
        ("-1.5x2 _ 3", (-1.5, -1.5, 0, 3)),
        (["40x2", 5, "_x"], None),
        (["40x2", 5], (40, 40, 5)),
        ("", None),
        ("40x0", None),
        ("x3", None),
        ("9x9999 9x9999", None),
        (7, 7),
    ],
)
def test_numbers_in_a_row(text: object, numbers: object) -> None:
    if numbers is None:
        with pytest.raises(ValueError, match="write"):
            ramp(text)
    else:
        assert ramp(text) == numbers


def test_scores_count_as_the_conditions_of_the_metric_say() -> None:
    nps, mean = CATALOG.metric("nps"), CATALOG.metric("mean-csat")
    assert [unit_tally(nps, "score", score).tolist()[:3] for score in (10, 9, 8, 7, 6, 0)] == [
        [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1], [1, 0, 1],
    ]  # fmt: skip
    assert unit_tally(mean, "score", 4).tolist() == [1, 0, 0, 4, 16]
    outcome = CATALOG.metric("journey-failed")
    assert [unit_tally(outcome, "outcome", name)[1] for name in ("failed", "abandoned", "reached")] == [1, 1, 0]
    assert {m.name for m in CATALOG.metrics if scored_column(m) is None} == {
        m.name for m in CATALOG.metrics if m.shape == "count"
    }


def test_a_mean_and_its_spread_are_in_the_unit_of_the_metric() -> None:
    """Two rows of 1 and 3 defects: 200 per 100, with a standard deviation of sqrt(2) in rows."""
    metric = CATALOG.metric("defects-per-100")
    parts = {"n": np.array([2.0]), "mean": np.array([200.0]), "spread": np.array([100 * 2**0.5])}
    assert tally(metric, parts)[0] == pytest.approx([2, 0, 0, 4, 10])


# What a test of counts says is what the tick says of rows that amount to them.

_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)
_WATCH: Final = {
    "metric": "seen", "floor": 0.02, "recover": 0.0, "window": "28d", "every": "7d", "false_alarms_per_year": 6,
    "keep_firing": "7d", "severity": 4, "route": "analysts", "owner": "cx-analyst", "by": ["vertical"],
}  # fmt: skip
_OF_CHART: Final = {"baseline": {"first": "182d"}, "floor": 0.05, "recover": 0.5}
_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "threshold": {"kind": "threshold", "limit": 0.7, "recover": 0.75},
    "goal": {"kind": "goal"},
    "previous": {"kind": "change", "baseline": "previous", "for": "7d"},
    "last-year": {"kind": "change", "baseline": "last-year"},
    "others": {"kind": "change", "baseline": "others"},
    "gap": {
        "kind": "gap",
        "where": {"channel": "phone"},
        "against": {"metric": "seen", "where": {"channel": "mail"}},
        "strata": ["vertical"],
        "by": [],
    },
    "p": {"kind": "chart", "method": "p", **_OF_CHART},
    "ewma": {"kind": "chart", "method": "ewma", "newest_weight": 0.3, **_OF_CHART, "window": "84d"},
    "cusum": {"kind": "chart", "method": "cusum", **_OF_CHART, "window": "84d", "consecutive": 2},
}
VERTICALS: Final = ("Insurance", "Retail")
CHANNELS: Final = ("mail", "phone")
FIRST: Final = date(2024, 9, 2)
END: Final = date(2026, 1, 10)
WEEKS: Final = 70
N: Final = 15


def _rule(name: str, parts: Mapping[str, Any]) -> Rule:
    return _RULE.validate_python({**_WATCH, **parts, "name": name})


def _metric() -> Metric:
    of_contacts = CATALOG.metric("context-seen")
    return of_contacts.model_copy(update={"name": "seen", "min_n": 10})


RULES: Final = {name: _rule(name, parts) for name, parts in _KINDS.items()}
KNOWN: Final = CATALOG.model_copy(
    update={
        "metrics": (*CATALOG.metrics, _metric()),
        "goals": (Goal(metric="seen", value=0.72, valid_from=date(2020, 1, 1)),),
        "rules": tuple(RULES.values()),
    }
)


def _story() -> dict[tuple[str, str], list[int]]:
    """How many of N contacts a week go well: Retail falls twice, its phone for longer."""
    dice = random.Random(11)
    found = {}
    for vertical, channel in product(VERTICALS, CHANNELS):
        bad = {*range(40, 46), *range(58, 62), *(range(40, 52) if channel == "phone" else ())}
        shares = [0.45 if vertical == "Retail" and week in bad else 0.85 for week in range(WEEKS)]
        found[vertical, channel] = [sum(dice.random() < share for _ in range(N)) for share in shares]
    return found


STORY: Final = _story()


def _rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for (vertical, channel), well in STORY.items():
        for week, plus in enumerate(well):
            day = FIRST + timedelta(weeks=week)
            for i in range(N):
                place = {"vertical": vertical, "channel": channel, "touchpoint": "desk", "direction": "in"}
                key = f"{vertical}-{channel}-{week}-{i}"
                yield "contact", {"id": key, "account_id": "a", "occurred_at": day, "context_seen": i < plus, **place}


@pytest.fixture(scope="module")
def live() -> Mapping[str, set[OpenedIncident]]:
    """What a tick over the rows opens, by rule."""
    now = midnight(END, ZoneInfo("UTC")) + timedelta(hours=12)
    with open_fixture(KNOWN, "UTC", tuple(_rows()), now) as pin:
        return _ticked(pin, now)


def _ticked(pin: Pin, now: datetime) -> Mapping[str, set[OpenedIncident]]:
    states, found = passing_state(), {name: set[OpenedIncident]() for name in RULES}
    tick(states, pin, KNOWN, now)
    with states.connect() as conn:
        for one in (incident for incident in read_incidents(conn, EVERYTHING) if incident.rule in RULES):
            opening = entries(conn, one.id)[0]
            sample = opening.sample or {}
            over = one.resolved_at.date() if one.resolved_at else None
            figures = (round(sample["value"], 9), round(sample["held"], 9), round(sample["tally"][0]))
            days = (one.opened_at.date(), one.slot, over)
            found[one.rule].add(OpenedIncident(one.slice, *days, *figures, opening.reason))
    states.dispose()
    return found


def _in_counts(name: str) -> ConfigEntry[RuleTest]:
    """The same story in counts."""
    series: list[dict[str, Any]] = []
    for (vertical, channel), well in STORY.items():
        side = {"side": "against"} if name == "gap" and channel == "mail" else {}
        series.append({"slice": {"vertical": vertical}, "n": N, "plus": well, **side})
    raw = {"name": name, "rule": name, "at": END, "from": FIRST, "every": "7d", "series": series}
    return ConfigEntry(RuleTest.model_validate(raw), Document(Path("made"), {}, {}), ("test", 0), f"test {name}")


@pytest.mark.parametrize("name", RULES)
def test_counts_open_what_rows_open(name: str, live: Mapping[str, set[OpenedIncident]]) -> None:
    found = run_rule_test(_in_counts(name), KNOWN)
    rounded = {
        OpenedIncident(
            s.slice, s.opened, s.slot, s.resolved, round(s.value or 0, 9), round(s.held or 0, 9), s.n, s.reason
        )
        for s in found
    }
    assert rounded == live[name]
    assert rounded, "a rule that opens nothing shows nothing"


# The command.


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that nothing may be written to."""
    data = tmp_path / "data"
    monkeypatch.setenv("EARSHOT_DATA", str(data))
    return data


def test_the_command_says_how_many_passed(tmp_path: Path, nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, FALL + AS_IT_IS + FALL.replace("a fall", "another"))
    assert main(["test", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ok   {file}:2: a fall"
    assert lines[1] == f"FAIL {file}:18: another"
    assert lines[-1] == "1 of 2 tests passed"
    assert not nowhere.exists()


def test_the_command_takes_the_rules_of_a_draft(
    tmp_path: Path, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is the rule asks for less than the limit that is drafted."""
    shipped = next(rule for rule in CATALOG.rules if rule.name == "promises-company")
    assert isinstance(shipped, ThresholdRule)
    deeper = shipped.model_copy(update={"limit": 0.5, "recover": 0.6})
    draft = tmp_path / "draft.toml"
    draft.write_text(rule_as_toml(deeper), encoding="utf-8")
    file = written(tmp_path, FALL)
    assert main(["test", str(file)]) == 1
    assert main(["test", str(file), "--draft", str(draft)]) == 0
    draft.write_text(rule_as_toml(deeper).replace("limit", "limitt"), encoding="utf-8")
    assert main(["test", str(file), "--draft", str(draft)]) == 1
    assert "did you mean 'limit'?" in capsys.readouterr().err
    assert not nowhere.exists()


def test_the_command_takes_a_folder(tmp_path: Path, nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, FALL + AS_IT_IS)
    assert main(["test", str(tmp_path)]) == 0
    assert "1 of 1 tests passed" in capsys.readouterr().out
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["test", str(empty)]) == 1
    assert "has no .toml file" in capsys.readouterr().err
    assert main(["test", str(tmp_path / "none.toml")]) == 1
    assert "none.toml:1: the file is missing" in capsys.readouterr().out


def test_the_how_to_can_be_followed(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    here = Checkout(tmp_path, date(2026, 6, 1))
    here.follow("how-to/write-a-rule-test.md")
    said = [lines[0].splitlines()[-1] for lines in here.said.values()]
    assert said == ["1 of 1 tests passed", "5 of 5 tests passed"]
    assert not (tmp_path / "data").exists()


def test_the_how_to_shows_what_a_failure_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = list(blocks(DOCS / "how-to" / "write-a-rule-test.md"))
    shown = next(block.text for block in page if block.language == "text")
    monkeypatch.chdir(tmp_path)
    Path("rule-tests").mkdir()
    file = Path("rule-tests/repair-returns.toml")
    file.write_text(page[0].text.replace("2026-05-27", "2026-06-03"), encoding="utf-8")
    assert "\n".join(map(str, suite([file], CATALOG))).splitlines() == shown.splitlines()[:-1]


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    (found,) = outcomes(tmp_path, ROWS + 'id = ["same", "same"]\n')
    assert found.lines == ("  two rows of response have the same key (source test, id same); give each its own",)
    (found,) = outcomes(tmp_path, ROWS + 'score = "nine"\n')
    assert found.lines[0].startswith("  the rows cannot be stored: ")


def test_a_broken_draft_raises_with_all_its_mistakes(tmp_path: Path) -> None:
    broken = DRAFT.replace("floor = 0.02", "flor = 0.02").replace("severity = 2", "severity = 9")
    (entry,) = read_rule_tests(written(tmp_path, broken))
    with pytest.raises(ConfigError) as raised:
        run_rule_test(entry, CATALOG)
    assert len(raised.value.mistakes) >= 2


def test_a_day_of_the_reporting_zone_is_a_day_of_the_test() -> None:
    """The last second of a day in Tokyo lies nine hours before that in UTC."""
    heard = {"slice": {"source": "crm"}, "every": "1d", "from": date(2026, 1, 1), "until": date(2026, 2, 20)}
    raw = {"name": "x", "rule": "source-stale", "at": date(2026, 3, 1), "zone": "Asia/Tokyo", "signals": [heard]}
    entry = ConfigEntry(RuleTest.model_validate(raw), Document(Path("made"), {}, {}), ("test", 0), "test x")
    (seen,) = run_rule_test(entry, CATALOG)
    assert (seen.opened, seen.slot) == (date(2026, 2, 23), date(2026, 2, 23))
    assert datetime.combine(seen.opened, time(), ZoneInfo("Asia/Tokyo")).astimezone(UTC).hour == 15
