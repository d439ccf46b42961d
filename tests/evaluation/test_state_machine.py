"""What one slice of one rule remembers, and when it opens, worsens and resolves."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import ThresholdRule
from triggers.rules import FRESH, OPEN, Event, Instance, Sample, Verdict, step

MONDAY: Final = date(2026, 1, 5)
WEEK: Final = timedelta(weeks=1)


def rule(**changes: Any) -> ThresholdRule:
    body = {
        "name": "late",
        "kind": "threshold",
        "metric": "promise-kept",
        "limit": 0.9,
        "recover": 0.92,
        "floor": 0,
        "keep_firing": "0d",
        "window": "28d",
        "every": "7d",
        "false_alarms_per_year": 0.5,
        "severity": 2,
        "route": "delivery",
        "owner": "ana",
    }
    return ThresholdRule.model_validate(body | changes)


def sample(week: int, verdict: Verdict, bad: float | None = None) -> Sample:
    usual = {"breach": 0.1, "between": 0.0, "safe": -0.05}.get(verdict, 0.0)
    return Sample(
        MONDAY + week * WEEK, verdict, 0.9 - (usual if bad is None else bad), 100, usual if bad is None else bad
    )


@dataclass(frozen=True, slots=True)
class Story:
    states: tuple[str, ...]
    changes: tuple[str, ...]


LETTERS: Final[dict[str, Verdict]] = {"B": "breach", "-": "between", "S": "safe", "N": "no_data", "E": "error"}


def told(of: ThresholdRule, letters: str) -> Story:
    """The states after each weekly sample, and the changes as `week:change`."""
    instance, states, changes = FRESH, list[str](), list[str]()
    for week, letter in enumerate(letters):
        instance, events = step(of, instance, sample(week, LETTERS[letter]), at(week))
        states.append(instance.state)
        changes += [f"{week}:{event.change}" for event in events]
    return Story(tuple(states), tuple(changes))


def at(week: int) -> datetime:
    return datetime.combine(MONDAY + week * WEEK, time(), UTC)


@pytest.mark.parametrize(
    ("changes", "letters", "states", "events"),
    [
        ({}, "S", "ok", ""),  # nothing happens
        ({}, "-", "ok", ""),  # beyond the limit without evidence, or between limit and recover, is no breach
        ({}, "B", "firing", "0:opened"),
        ({"consecutive": 3}, "BBB", "pending pending firing", "2:opened"),
        ({"consecutive": 2}, "B-B", "pending ok pending", ""),  # not in a row
        ({"consecutive": 2}, "BNB", "pending ok pending", ""),  # a slot without data is no breach either
        ({"for": "14d"}, "BBB", "pending pending firing", "2:opened"),
        ({"for": "7d", "consecutive": 3}, "BBB", "pending pending firing", "2:opened"),  # both must hold
        ({}, "BS", "firing ok", "0:opened 1:resolved"),
        ({}, "B-", "firing firing", "0:opened"),  # back over the limit is not recovered
        ({"keep_firing": "14d"}, "BSSS", "firing recovering recovering ok", "0:opened 3:resolved"),
        ({"keep_firing": "14d"}, "BSS-SSS", "firing recovering recovering firing recovering recovering ok",
         "0:opened 6:resolved"),
        ({"keep_firing": "14d"}, "BSNSSS", "firing recovering firing recovering recovering ok", "0:opened 5:resolved"),
        ({"keep_firing": "7d"}, "BSBSS", "firing recovering firing recovering ok", "0:opened 4:resolved"),
        ({}, "BNNNNNNNN", "firing" + " firing" * 8, "0:opened"),  # no data resolves nothing
        ({}, "BEEEEEEEE", "firing" + " firing" * 8, "0:opened"),  # nor does an error
        ({"no_data": "close"}, "BNNNNN", "firing firing firing firing firing ok", "0:opened 5:closed"),
        ({"no_data": "close"}, "BNNN-NNNN", "firing" + " firing" * 8, "0:opened"),  # a whole window without
        ({"no_data": "close"}, "BEEEEEEE", "firing" + " firing" * 7, "0:opened"),  # an error is not the absence of data
        ({}, "BSB", "firing ok firing", "0:opened 1:resolved 2:opened"),
    ],
)  # fmt: skip
def test_a_story_of_weeks(changes: dict[str, Any], letters: str, states: str, events: str) -> None:
    assert told(rule(**changes), letters) == Story(tuple(states.split()), tuple(events.split()))


@pytest.mark.parametrize(
    ("bads", "worsened"),
    [
        ((0.05, 0.06), ()),  # within the band between limit and recover (0.02)
        ((0.05, 0.07), (1,)),
        ((0.05, 0.06, 0.07, 0.08), (2,)),  # against what was told, not against the slot before
        ((0.05, 0.10, 0.05, 0.10), (1,)),  # told once
    ],
)
def test_worse_is_worse_than_was_told_by_the_rules_own_band(bads: tuple[float, ...], worsened: tuple[int, ...]) -> None:
    instance, found = FRESH, list[int]()
    for week, bad in enumerate(bads):
        instance, events = step(rule(), instance, sample(week, "breach", bad), at(week))
        found += [week for event in events if event.change == "worsened"]
    assert tuple(found) == worsened


def test_health_is_beside_the_state() -> None:
    instance, _ = step(rule(), FRESH, sample(0, "no_data"), at(0))
    assert (instance.state, instance.health) == ("ok", "no_data")
    instance, _ = step(rule(), Instance("firing", incident="a"), sample(0, "error"), at(0))
    assert (instance.state, instance.health, instance.incident) == ("firing", "error", "a")


def test_events_carry_when_they_became_knowable_and_what_was_seen() -> None:
    seen = sample(0, "breach")
    _, events = step(rule(), FRESH, seen, at(3))
    assert events == (Event("opened", "beyond the limit", at(3), seen),)


VERDICTS: Final = st.sampled_from(list(LETTERS.values()))
SAMPLES: Final = st.lists(st.tuples(VERDICTS, st.floats(0.0, 0.5)), min_size=1, max_size=60)
RULES: Final = st.builds(
    rule,
    consecutive=st.integers(1, 4),
    keep_firing=st.sampled_from(["0d", "7d", "14d", "28d"]),
    no_data=st.sampled_from(["keep", "close"]),
    **{"for": st.sampled_from(["0d", "7d", "21d"])},
)


def replayed(
    of: ThresholdRule, samples: list[tuple[Verdict, float]]
) -> list[tuple[Instance, Sample, tuple[Event, ...]]]:
    instance, line = FRESH, list[tuple[Instance, Sample, tuple[Event, ...]]]()
    for week, (verdict, bad) in enumerate(samples):
        one = sample(week, verdict, bad if verdict == "breach" else None)
        instance, events = step(of, instance, one, at(week))
        line.append((instance, one, events))
    return line


@given(RULES, SAMPLES)
def test_nothing_fires_before_its_time(of: ThresholdRule, samples: list[tuple[Verdict, float]]) -> None:
    """An opening ends a run of breaches in consecutive slots that is long enough in slots and in days."""
    for week, (_, _, events) in enumerate(replayed(of, samples)):
        if any(event.change == "opened" for event in events):
            run = next((i for i, (v, _) in enumerate(reversed(samples[: week + 1])) if v != "breach"), week + 1)
            assert run >= of.consecutive
            assert (run - 1) * WEEK >= of.for_


@given(RULES, SAMPLES)
def test_open_and_over_take_turns(of: ThresholdRule, samples: list[tuple[Verdict, float]]) -> None:
    """One open incident a slice: it opens when none is open, and everything else happens to an open one."""
    is_open = False
    for instance, _, events in replayed(of, samples):
        assert len(events) <= 1
        for event in events:
            assert is_open == (event.change != "opened")
            is_open = event.change in ("opened", "worsened")
        assert is_open == (instance.state in OPEN)


@given(RULES, SAMPLES)
def test_no_data_never_resolves(of: ThresholdRule, samples: list[tuple[Verdict, float]]) -> None:
    for _, one, events in replayed(of, samples):
        if one.verdict in ("no_data", "error"):
            assert all(event.change == "closed" and of.no_data == "close" for event in events)
        elif one.verdict != "safe":
            assert all(event.change != "resolved" for event in events)


@given(RULES, SAMPLES)
def test_evaluating_twice_changes_nothing(of: ThresholdRule, samples: list[tuple[Verdict, float]]) -> None:
    for week, (instance, one, _) in enumerate(replayed(of, samples)):
        assert step(of, instance, one, at(week)) == (instance, ())


@given(RULES, SAMPLES)
def test_a_slot_seen_again_counts_once(of: ThresholdRule, samples: list[tuple[Verdict, float]]) -> None:
    """Newer data may say something else about the newest slot; `consecutive` counts slots, not looks."""
    doubled = [one for one in samples for _ in range(2)]
    instance, opened = FRESH, list[date]()
    for i, (verdict, bad) in enumerate(doubled):
        one = sample(i // 2, verdict, bad if verdict == "breach" else None)
        instance, events = step(of, instance, one, at(i // 2))
        opened += [event.sample.slot for event in events if event.change == "opened"]
    once = [e.sample.slot for _, _, events in replayed(of, samples) for e in events if e.change == "opened"]
    assert opened == once


@given(st.sampled_from(["7d", "14d", "28d"]), st.integers(10, 60))
def test_what_flaps_is_told_seldom(keep: str, weeks: int) -> None:
    """A figure that crosses its limit every week opens one incident, and resolves none while it flaps."""
    letters = "".join("BS"[i % 2] for i in range(weeks))
    story = told(rule(keep_firing=keep), letters)
    if keep == "7d":
        assert len(story.changes) <= weeks * WEEK / timedelta(days=7) + 1
    assert [change for change in story.changes if change.endswith("opened")] == ["0:opened"]


@given(RULES, SAMPLES)
def test_only_an_open_instance_remembers_an_incident(of: ThresholdRule, samples: list[tuple[Verdict, float]]) -> None:
    instance = FRESH
    for week, (verdict, bad) in enumerate(samples):
        instance, _ = step(of, instance, sample(week, verdict, bad if verdict == "breach" else None), at(week))
        if instance.state in OPEN:
            instance = replace(instance, incident="named")
        assert (instance.incident is not None) == (instance.state in OPEN)
