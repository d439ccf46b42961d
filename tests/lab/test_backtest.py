"""What rules, drafts and versions would have done, whom they would have told, and whether they were right."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from config import ConfigError
from config.models import Catalog, Person, Route
from config.reading import KnownIncident, parse_drafts, parse_known_incidents, read_drafts
from queries.state import Calibration, Incident
from queries.warehouse import COLUMNS, Pin
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.installation import DEFECTS, Terminal, installed
from triggers.incidents import snapshot
from triggers.incidents.notification_load import notification_loads, notifications
from triggers.lab import paired, past, scored
from triggers.lab.backtest import Row, backtest
from triggers.rules import version_of

FIRST: Final = date(2025, 9, 1)
STORY: Final = (4,) * 10 + (20,) * 4 + (45,) * 2 + (2,) * 8
OPENS: Final = date(2025, 12, 22)
OVER: Final = date(2026, 4, 1)
UTC_ZONE: Final = ZoneInfo("UTC")
_UNNAMED: Final = DEFECTS.replace('label = "Journeys with a defect"\n', "")
DRAFT: Final = _UNNAMED.replace("limit = 0.25", "limit = {limit}").replace("recover = 0.20", "recover = 0.10")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    with warehouse(folder, catalog(rule()), rows_of(weeks(FIRST, STORY))):
        pass
    return folder


@pytest.fixture(scope="module")
def pin(built: Path) -> Iterator[Pin]:
    with warehouse(built / "own", catalog(rule()), rows_of(weeks(FIRST, STORY))) as made, made.pin() as pinned:
        yield pinned


def opened(rows: tuple[Row, ...]) -> list[tuple[str, date]]:
    return [(row.rule, row.opened_at.date()) for row in rows]


# Drafts


def test_a_draft_takes_the_place_of_its_namesake(tmp_path: Path) -> None:
    file = tmp_path / "draft.toml"
    file.write_text(DRAFT.format(limit=0.12) + DRAFT.format(limit=0.3).replace('"defects"', '"more"'), "utf-8")
    drafts = read_drafts(file, catalog(rule(), rule(name="other")), COLUMNS)
    assert [r.name for r in drafts.rules] == ["defects", "more"]
    assert [r.name for r in drafts.catalog.rules] == ["other", "defects", "more"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "draft:1: there is no rule in it; write [[rule]] and its fields below"),
        (DRAFT.format(limit=0.05), "draft:8: rule defects: recover 0.1 is on the bad side of limit 0.05; "),
        (DRAFT.format(limit=0.2).replace("route = ", "rout = "), "draft:15: rule defects: unknown key 'rout'; did you"),
        (
            DRAFT.format(limit=0.2).replace('"defect-rate"', '"nps2"'),
            "draft:5: rule defects: unknown metric 'nps2'; did",
        ),
        ('[[rules]]\nname = "x"', "draft:1: unknown key 'rules'; did you mean 'rule'?"),
        ("[[rule]\n", "draft:1: not TOML: "),
        (DRAFT.format(limit=0.2) * 2, "draft:19: rule defects stands here a second time; rename it or remove it"),
    ],
)
def test_a_mistake_in_a_draft_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_drafts(text, catalog(rule()), COLUMNS)
    assert said in str(refused.value)


# The past


def test_a_rule_that_is_asked_about_is_tested_alone(pin: Pin) -> None:
    config = catalog(rule(enabled=False), rule(name="other"))
    found = past(pin, config, FIRST, OVER, names=frozenset({"defects"}))
    assert opened(found.rows) == [("defects", OPENS)]
    assert [(one.reader, one.told) for one in found.attention] == [("channel delivery", 1)]


def test_a_rule_is_as_sure_as_its_null_replay_found(pin: Pin) -> None:
    config = catalog(rule())
    hash_ = version_of(config, config.rules[0]).hash
    now = datetime(2026, 1, 1, tzinfo=UTC)
    never = Calibration(hash_, 1e-300, 0.1, 0.0, 0.2, 10.0, 1, now)
    names = frozenset({"defects"})
    assert past(pin, config, FIRST, OVER, {hash_: never}, names).rows == ()
    assert past(pin, config, FIRST, OVER, {hash_: never}, names).sure == ("defects",)
    assert past(pin, config, FIRST, OVER, {}, names).bounded == ("defects",)


def test_a_child_is_not_told_while_its_parent_speaks_for_it(pin: Pin) -> None:
    child = rule(name="child", inhibited_by="defects")
    found = past(pin, catalog(rule(), child), FIRST, OVER, names=frozenset({"child"}))
    assert opened(found.rows) == [("child", OPENS)]
    assert found.told == ()


# Who is told


def made(**changes: Any) -> Incident:
    at = datetime(2026, 3, 6, 18, tzinfo=UTC)  # a Friday evening
    body: dict[str, Any] = {
        "id": "i", "rule": "defects", "rule_hash": "h", "slice": "vertical=Retail", "class_": "customer", "severity": 2,
        "route": "delivery", "ladder": "[]", "vertical": "Retail", "touchpoint": None, "account_id": None,
        "state": "open", "episode": 1, "opened_at": at, "slot": date(2026, 3, 2), "resolved_at": None,
        "acknowledged_at": None, "acknowledged_by": None, "next_step": 1, "next_step_at": None, "value": 0.4, "n": 200,
        "origin": "live", "version": 1,
    }  # fmt: skip
    return Incident(**(body | changes))


def company(**route: Any) -> tuple[Catalog, str]:
    ladder = [{"after": "0m", "notify": "channel"}, {"after": "4h", "notify": "ana"}, {"after": "2d", "notify": "gm"}]
    found = Route.model_validate({"name": "delivery", "ladder": ladder, **route})
    people = (
        Person(name="ana", label="Ana", audience="specialist"),
        Person(name="gm-retail", label="Ben", audience="gm", verticals=("Retail",)),
        Person(name="gm-energy", label="Cem", audience="gm", verticals=("Energy",)),
    )
    return catalog(rule(), routes=(found,)).model_copy(update={"people": people}), snapshot(found, 2)


FRIDAY: Final = datetime(2026, 3, 6, 18, tzinfo=UTC)
OFFICE: Final = {"hours": "09:00-17:00", "zone": "UTC"}


@pytest.mark.parametrize(
    ("changes", "route", "told"),
    [
        # the whole ladder, to the manager of the incident's own vertical
        ({}, {}, [("channel delivery", 0), ("ana", 4), ("gm-retail", 48)]),
        # it was over before the manager's turn
        ({"resolved_at": FRIDAY + timedelta(hours=5)}, {}, [("channel delivery", 0), ("ana", 4)]),
        # outside hours it begins on Monday at nine: 63 hours later
        ({}, OFFICE, [("channel delivery", 63), ("ana", 67), ("gm-retail", 111)]),
        # severity 1 waits for nobody
        ({"severity": 1}, OFFICE, [("channel delivery", 0), ("ana", 4), ("gm-retail", 48)]),
        # what the data explains has the guard's route, which climbs no ladder here
        ({"class_": "data", "route": "analysts", "ladder": "[]"}, {}, [("channel analysts", 0)]),
    ],
)
def test_who_is_told_of_an_incident(
    changes: dict[str, Any], route: dict[str, Any], told: list[tuple[str, int]]
) -> None:
    config, ladder = company(**route)
    incident = made(**{"ladder": ladder, **changes})
    found = notifications([incident], config, UTC_ZONE, FRIDAY + timedelta(days=30))
    assert [(one.reader, (one.at - FRIDAY) // timedelta(hours=1)) for one in found] == told


def test_what_is_asked_of_a_reader_in_a_week() -> None:
    config, ladder = company()
    # In six verticals: of one event in one of them the channel would be told once.
    many = [
        made(
            id=str(i),
            vertical=f"V{i}",
            slice=f"vertical=V{i}",
            ladder=ladder,
            opened_at=FRIDAY + timedelta(days=7 * (i // 3)),
        )
        for i in range(6)
    ]
    told = notifications(many, config, UTC_ZONE, FRIDAY + timedelta(days=28))
    (first, *_) = notification_loads(told, FRIDAY.date(), FRIDAY.date() + timedelta(days=28))
    assert (first.told, first.a_week, first.busiest) == (6, 1.5, 3)


# Side by side


def test_two_backtests_are_paired_where_their_time_overlaps(pin: Pin) -> None:
    left, laxer, renamed = (
        tuple(row for row in backtest(pin, catalog(one), FIRST, OVER) if row.class_ != "data")
        for one in (rule(), rule(limit=0.35, recover=0.3), rule(name="renamed"))
    )
    (pair,) = paired(left, laxer)
    assert pair.left
    assert pair.right
    assert pair.left.opened_at < pair.right.opened_at
    assert [(p.left is None, p.right is None) for p in paired(left, renamed)] == [(False, False)]
    assert [(p.left is None, p.right is None) for p in paired(left, ())] == [(False, True)]
    assert [(p.left is None, p.right is None) for p in paired((), left)] == [(True, False)]


@pytest.mark.parametrize(
    ("known", "verdict", "days", "false"),
    [
        ({"metric": "defect-rate", "since": date(2025, 12, 1)}, "found", 21, 0),
        ({"rule": "defects", "since": date(2025, 12, 1), "slice": {"vertical": "Retail"}}, "found", 21, 0),
        ({"rule": "defects", "since": date(2025, 12, 1), "slice": {"touchpoint": "call"}}, "found", 21, 0),
        ({"rule": "defects", "since": date(2025, 12, 1), "slice": {"vertical": "Energy"}}, "missed", None, 1),
        ({"metric": "nps", "since": date(2025, 12, 1)}, "missed", None, 1),
        ({"rule": "defects", "since": date(2025, 9, 1), "until": date(2025, 9, 20)}, "missed", None, 1),
        ({"rule": "defects", "since": date(2026, 1, 5)}, "open before", None, 0),
    ],
)
def test_what_is_known_is_found_missed_or_was_open(
    pin: Pin, known: dict[str, Any], verdict: str, days: int | None, false: int
) -> None:
    config = catalog(rule())
    found = scored([KnownIncident(**known)], backtest(pin, config, FIRST, OVER), config, UTC_ZONE)
    (score,) = found.scores
    assert (score.verdict, score.delay.days if score.delay else None) == (verdict, days)
    assert len(found.false) == false


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "known:1: nothing is known in it"),
        ("[[known]]\nsince = 2026-01-01", "it needs either a rule or a metric"),
        ('[[known]]\nrule = "defects"\nmetric = "nps"\nsince = 2026-01-01', "known:2: known nps: it needs either"),
        (
            '[[known]]\nrule = "defect"\nsince = 2026-01-01',
            "known:2: known: unknown rule 'defect'; did you mean 'defects'?",
        ),
        (
            '[[known]]\nrule = "defects"\nsince = 2026-01-02\nuntil = 2026-01-02',
            "known:4: known: until is the day after",
        ),
        ('[[knwon]]\nrule = "defects"', "known:1: unknown key 'knwon'; did you mean 'known'?"),
    ],
)
def test_a_mistake_in_what_is_known_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_known_incidents(text, catalog(rule()))
    assert said in str(refused.value)


# The command


SPAN: Final = ("--since", "2025-09-01", "--until", "2026-04-01")


@pytest.fixture
def triggers(
    tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    with installed(tmp_path, built, monkeypatch):
        yield Terminal(capsys)


def test_a_draft_is_set_beside_the_rule_that_runs(triggers: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "draft.toml"
    file.write_text(DRAFT.format(limit=0.12), "utf-8")
    words = ("backtest", *SPAN, "--rule", "defects", "--against", str(file))
    printed = triggers(*words)
    assert "opened: config" in printed
    assert "opened: draft.toml" in printed
    assert "1 by both, 0 only by config, 0 only by draft.toml" in printed
    assert "channel delivery" in printed
    (row,) = list(csv.DictReader(triggers(*words, "--format", "csv").splitlines()))
    assert row["found by"] == "both"
    assert row["opened: draft.toml"] < row["opened: config"]
    assert "1 incidents; corrections" in triggers("backtest", *SPAN, "--draft", str(file))


def test_a_stored_version_is_set_beside_the_rule_as_it_is(triggers: Terminal, tmp_path: Path) -> None:
    triggers("run", "--once", "--now", noon(OPENS).isoformat())
    hash_ = next(word for word in triggers("rules").split() if len(word) == 16 and word.isalnum())
    file = tmp_path / "config" / "triggers.toml"
    file.write_text(file.read_text("utf-8").replace("limit = 0.25", "limit = 0.60").replace("0.20", "0.50"), "utf-8")
    printed = triggers("backtest", *SPAN, "--rule", "defects", "--against", hash_)
    assert f"opened: {hash_}" in printed
    assert f"0 by both, 0 only by config, 1 only by {hash_}" in printed or "1 by both" in printed
    unknown = triggers("backtest", *SPAN, "--against", "0123456789abcdef", status=1)
    assert "no version 0123456789abcdef is stored" in unknown


def test_what_is_known_is_counted(triggers: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    file.write_text('[[known]]\nname = "bad parts"\nrule = "defects"\nsince = 2025-12-01\n', "utf-8")
    printed = triggers("backtest", *SPAN, "--rule", "defects", "--known", str(file))
    assert "bad parts" in printed
    assert "1 of 1 found, 21 days after it began (median); 0 missed; 0 incidents match no known one" in printed
    words = ("backtest", *SPAN, "--known", str(file), "--format", "csv")
    assert "leave out --format csv" in triggers(*words, status=1)


def test_a_day_that_is_none_is_refused_in_words(triggers: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        triggers("backtest", "--since", "2026-13-01", "--until", "2026-01-01")
    assert "'2026-13-01' is not a valid date; write one such as 2026-01-31" in capsys.readouterr().err
    assert "--until is the day after" in triggers(
        "backtest", "--since", "2026-01-01", "--until", "2026-01-01", status=1
    )


def test_a_missing_file_is_named(triggers: Terminal) -> None:
    assert "nowhere.toml:1: the file is missing" in triggers("backtest", *SPAN, "--draft", "nowhere.toml", status=1)
