"""A rule over its slots: the same incidents however the slots are cut up, and never more than they should be."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import ThresholdRule
from queries.state import incident_id, slice_key
from tests.support.company import rule, subject
from triggers.evaluation import EvaluatedRule, EvaluatedWindow, StateChange
from triggers.evaluation.kinds import VERDICTS, Windows, kind_of
from triggers.evaluation.replay import replay
from triggers.rules import FRESH, OPEN, TALLY, Instance, Slice, Subject, step

MONDAY: Final = date(2026, 3, 2)
WEEK: Final = timedelta(weeks=1)
NO_ROWS: Final = 4
"""A code of these tests: nothing to judge, and not even a row."""

CODES: Final = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, NO_ROWS), min_size=width, max_size=width), min_size=1, max_size=40)
)
RULES: Final = st.builds(
    rule,
    consecutive=st.integers(1, 3),
    keep_firing=st.sampled_from(["0d", "7d", "14d", "28d"]),
    no_data=st.sampled_from(["keep", "close"]),
    **{"for": st.sampled_from(["0d", "7d", "21d"])},
)


def judged(codes: list[list[int]], seed: int = 0, first: int = 0) -> EvaluatedRule:
    """A panel that says so, with figures that are made up; `first` is the number of its first week."""
    shown = np.array(codes, dtype=np.int8)
    shape, dice = shown.shape, np.random.default_rng(seed)
    counts = np.zeros((*shape, TALLY))
    counts[..., 0] = np.where(shown == NO_ROWS, 0, 50)
    bad = np.round(dice.uniform(0, 0.3, (first + len(codes), shape[1]))[first:], 3)
    slots = tuple(MONDAY + (first + i) * WEEK for i in range(len(codes)))
    slices = tuple((name,) for name in "ABC"[: shape[1]])
    full, ones = np.full(shape, 0.25), np.ones(shape)
    some = shown > 0
    parts: tuple[Any, ...] = (counts, full + bad, full, bad, some, some, ones, some, ones)
    return EvaluatedRule(
        Windows(slots, slices, *parts), np.full(len(codes), 0.01), np.where(shown == NO_ROWS, 0, shown)
    )


def stepped(
    of: Subject, judged_: EvaluatedRule
) -> tuple[dict[Slice, Instance], list[tuple[str, str, Any, EvaluatedWindow]]]:
    """The same by the letter: every slot of every slice from its first row on, one step after the other."""
    after, found = dict[Slice, Instance](), list[tuple[str, str, Any, EvaluatedWindow]]()
    for slot, at in enumerate(judged_.panel.slots):
        for column, slice_ in enumerate(judged_.panel.slices):
            if slice_ not in after and not judged_.panel.counts[slot, column, 0]:
                continue
            before, key, reading = after.get(slice_, FRESH), slice_key(of.by, slice_), judged_.reading(slot, column)
            recovery = kind_of(of.rule).recovery(of.metrics[0])
            now, events = step(of.rule, before, reading.sample, of.cadence.as_of(at), recovery)
            id_ = incident_id(of.rule.name, key, at) if before.incident is None else before.incident
            after[slice_] = replace(now, incident=id_) if now.state in OPEN else now
            found += [(key, id_, event, reading) for event in events]
    return after, found


def told(findings: tuple[StateChange, ...]) -> list[tuple[str, str, Any, EvaluatedWindow]]:
    return [(f.slice, f.incident, f.event, f.reading) for f in findings]


@given(RULES, CODES, st.integers(0, 99))
def test_what_is_skipped_would_have_changed_nothing(of: ThresholdRule, codes: list[list[int]], seed: int) -> None:
    made, panel = subject(of), judged(codes, seed)
    after, findings = replay(made, panel, {}, made.cadence.as_of)
    assert (after, told(findings)) == stepped(made, panel)


@given(RULES, CODES, st.integers(0, 99), st.integers(1, 10))
def test_slots_at_once_and_in_parts_come_to_the_same(
    of: ThresholdRule, codes: list[list[int]], seed: int, size: int
) -> None:
    made, found, parts = subject(of), list[StateChange](), dict[Slice, Instance]()
    whole = replay(made, judged(codes, seed), {}, made.cadence.as_of)
    for start in range(0, len(codes), size):
        part = judged(codes[start : start + size], seed, start)
        parts, some = replay(made, part, parts, made.cadence.as_of)
        found += some
    assert (parts, tuple(found)) == whole


@given(RULES, CODES, st.integers(0, 99))
def test_evaluating_the_newest_slot_again_changes_nothing(of: ThresholdRule, codes: list[list[int]], seed: int) -> None:
    made, panel = subject(of), judged(codes, seed)
    after, _ = replay(made, panel, {}, made.cadence.as_of)
    again = judged(codes[-1:], seed, len(codes) - 1)
    assert replay(made, again, after, made.cadence.as_of) == (after, ())


@given(RULES, CODES, st.integers(0, 99), st.permutations(range(3)))
def test_the_order_of_slices_does_not_matter(
    of: ThresholdRule, codes: list[list[int]], seed: int, order: list[int]
) -> None:
    made, panel = subject(of), judged(codes, seed)
    kept = [place for place in order if place < len(panel.panel.slices)]
    arrays: dict[str, Any] = {
        name: part[:, kept]
        for name in Windows.__dataclass_fields__
        if isinstance(part := getattr(panel.panel, name), np.ndarray)
    }
    turned = replace(panel.panel, slices=tuple(panel.panel.slices[i] for i in kept), **arrays)
    other = EvaluatedRule(turned, panel.alpha, panel.codes[:, kept])
    assert replay(made, panel, {}, made.cadence.as_of) == replay(made, other, {}, made.cadence.as_of)


@given(RULES, CODES, st.integers(0, 99))
def test_one_open_incident_a_slice_and_everything_happens_to_it(
    of: ThresholdRule, codes: list[list[int]], seed: int
) -> None:
    made = subject(of)
    after, findings = replay(made, judged(codes, seed), {}, made.cadence.as_of)
    opened, present = set[str](), dict[str, str]()
    for one in findings:
        if one.event.change == "opened":
            assert one.slice not in present
            assert one.incident not in opened
            opened.add(one.incident)
            present[one.slice] = one.incident
        assert present[one.slice] == one.incident
        if one.event.change in ("resolved", "closed"):
            del present[one.slice]
    assert present == {slice_key(made.by, s): i.incident for s, i in after.items() if i.state in OPEN}


@given(RULES, CODES, st.integers(0, 99))
def test_no_incident_opens_without_its_run_of_breaches(of: ThresholdRule, codes: list[list[int]], seed: int) -> None:
    made, panel = subject(of), judged(codes, seed)
    for one in replay(made, panel, {}, made.cadence.as_of)[1]:
        if one.event.change == "opened":
            column = panel.panel.slices.index(one.reading.slice)
            slot = panel.panel.slots.index(one.reading.slot)
            run = list(_run(panel, column, slot))
            assert len(run) >= of.consecutive
            assert (len(run) - 1) * WEEK >= of.for_


def _run(panel: EvaluatedRule, column: int, slot: int) -> Iterator[int]:
    """The slots of the unbroken run of breaches that ends in a slot."""
    while slot >= 0 and VERDICTS[panel.codes[slot, column]] == "breach":
        yield slot
        slot -= 1


@given(RULES, CODES, st.integers(0, 99))
def test_no_data_resolves_nothing(of: ThresholdRule, codes: list[list[int]], seed: int) -> None:
    made = subject(of)
    for one in replay(made, judged(codes, seed), {}, made.cadence.as_of)[1]:
        if one.reading.verdict == "no_data":
            assert (one.event.change, of.no_data) == ("closed", "close")
        assert one.event.change != "resolved" or one.reading.verdict == "safe"


FLAPPING: Final = st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=120)


@pytest.mark.parametrize("keep", [7, 14, 28, 56])
@given(codes=FLAPPING, seed=st.integers(0, 99))
def test_what_flaps_is_told_at_most_once_in_keep_firing(keep: int, codes: list[int], seed: int) -> None:
    """A figure may cross its limit in any way: an incident, and its end, can follow the one before only after that."""
    made = subject(rule(keep_firing=f"{keep}d", floor=1))
    _, findings = replay(made, judged([[code] for code in codes], seed), {}, made.cadence.as_of)
    days = len(codes) * 7
    for change in ("opened", "resolved"):
        assert sum(one.event.change == change for one in findings) <= days / keep + (change == "opened")
    assert {one.event.change for one in findings} <= {"opened", "resolved"}


@given(RULES, CODES, st.integers(0, 99))
def test_what_gets_worse_is_told_only_by_its_band(of: ThresholdRule, codes: list[list[int]], seed: int) -> None:
    """Each message of an incident is at least the rule's band worse than the one before it."""
    made, last = subject(of), dict[str, float]()
    for one in replay(made, judged(codes, seed), {}, made.cadence.as_of)[1]:
        if one.event.change == "worsened":
            assert one.reading.bad - last[one.incident] >= of.band - 1e-9
        if one.event.change in ("opened", "worsened"):
            last[one.incident] = one.reading.bad


def test_the_slices_of_another_version_are_left_alone() -> None:
    made = subject(rule())
    panel = judged([[1, 1]])
    after, findings = replay(made, panel, {}, made.cadence.as_of, lambda slice_: slice_ != ("A",))
    assert list(after) == [("B",)]
    assert [one.slice for one in findings] == ["vertical=B"]


def test_a_slice_is_known_from_its_first_row_on() -> None:
    made = subject(rule())
    assert replay(made, judged([[NO_ROWS], [NO_ROWS]]), {}, made.cadence.as_of) == ({}, ())
    after, _ = replay(made, judged([[NO_ROWS], [0], [NO_ROWS]]), {}, made.cadence.as_of)
    assert after == {("A",): Instance(health="no_data")}
