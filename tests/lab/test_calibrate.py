"""How sure a rule must be: the null replay, and where what it found goes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from queries.engine import disposing
from queries.metrics import DesignEffect
from queries.state import calibrations, passing_state, store_calibration
from queries.warehouse import EmbeddedWarehouse
from tests.lab.null_study import DECLARED, KINDS, METRIC, SEGMENTS, subject, world
from tests.support.company import catalog, noon, rows_of, rule, warehouse, weeks
from tests.support.states import NewState
from triggers.commands.rules import LASTS, Checked, calibrated
from triggers.evaluation import EvaluationInput
from triggers.evaluation.kinds import kind_of
from triggers.lab import Replayed
from triggers.lab.calibrate import Size, calibrate
from triggers.lab.simulation import period_counts
from triggers.lab.simulation_inputs import MOST
from triggers.rules import Moment, Subject, read_previous_state, version_of

BASE: Final = 0.05
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
ASKED: Final = [kind for kind in KINDS if kind != "CUSUM"]
SMALL: Final = Size(12, 3)
FIRST: Final = date(2025, 9, 1)


def basis(of: Subject) -> EvaluationInput:
    return world(BASE, 0.0, range(1)).basis(of)


def found(of: Subject, on: EvaluationInput | None = None, **changes: Any) -> Replayed:
    replayed = calibrate(of, on or basis(of), NOW, **changes)
    assert replayed is not None
    return replayed


def bound(of: Subject) -> float:
    return of.rule.false_alarms_per_year / (of.cadence.a_year * SEGMENTS)


@pytest.mark.parametrize("kind", ASKED)
def test_every_kind_keeps_to_what_it_declares(kind: str) -> None:
    of = subject(kind, BASE)
    one = found(of).calibration
    assert one.low <= one.found <= DECLARED
    assert one.alpha <= MOST
    assert one.slices == SEGMENTS
    assert (one.rule_hash, one.calibrated_at) == (of.hash, NOW)


def test_the_same_data_give_the_same_alpha() -> None:
    of = subject("threshold", BASE)
    assert found(of, size=SMALL) == found(of, size=SMALL)
    assert found(of, size=SMALL) != found(of, size=SMALL, seed=2)


def test_what_overlaps_and_must_hold_may_be_less_sure() -> None:
    """Each incident takes several breaches there; the bound counts each for itself."""
    of = subject("threshold, 4 weeks, twice", BASE)
    assert found(of).calibration.alpha > 3 * bound(of)


def test_who_declares_more_may_be_less_sure() -> None:
    goals = (subject("goal, 4 weeks", BASE, false_alarms_per_year=n) for n in (0.5, 2, 8))
    found_ = [found(of, size=SMALL).calibration.alpha for of in goals]
    assert found_[0] < found_[1] < found_[2]


def test_a_tail_that_is_not_exact_is_found_out() -> None:
    """The normal law of a moving average of small counts is skewed: the bound would cry wolf too often."""
    of = subject("EWMA", 0.02)
    on = world(0.02, 0.0, range(1)).basis(of)
    assert found(of, on).calibration.alpha < bound(of)


def test_incidents_that_never_end_hide_no_others() -> None:
    """Nobody recovers from 5% to 0%: counted by the year, three years would show one false alarm a slice at most."""
    easy, never = (subject("threshold", BASE, recover=recover) for recover in (0.9 * BASE, 0.0))
    assert found(never).calibration.alpha <= 1.5 * found(easy).calibration.alpha


def test_rows_that_are_alike_are_drawn_alike() -> None:
    """With the design effect in the gate but not in the draws there would be next to no false alarms."""
    of = subject("threshold", BASE)
    on = basis(of)
    effects = {(METRIC.name, s[0]): DesignEffect(2.5, 400) for s in on.given.counts.slices}
    one = found(of, replace(on, given=replace(on.given, effects=lambda _: effects))).calibration
    assert 0.3 * DECLARED <= one.found <= DECLARED
    assert one.alpha <= 2 * found(of).calibration.alpha


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("CUSUM", {}, "a cusum's limit follows from its run length"),
        ("threshold", {"gate": "none"}, "compares plain values"),
    ],
)
def test_what_is_left_out_says_why(kind: str, changes: dict[str, Any], why: str) -> None:
    of = subject(kind, BASE, **changes)
    assert why in (kind_of(of.rule).uncalibrated or "")
    assert calibrate(of, basis(of), NOW) is None


def test_without_slots_or_rows_there_is_nothing_to_find() -> None:
    of = subject("threshold", BASE)
    assert calibrate(of, replace(basis(of), slots=()), NOW) is None
    assert calibrate(subject("threshold", BASE, min_n=1000), basis(of), NOW) is None
    gap = subject("gap, 4 weeks", BASE)
    on = basis(gap)
    nobody = period_counts(date(2025, 1, 6), 7, (), np.zeros((1, 0, 5)))
    assert calibrate(gap, replace(on, given=replace(on.given, other=nobody)), NOW) is None


@pytest.mark.parametrize("kind", ["threshold", "p-chart"])
def test_data_that_ended_long_ago_are_calibrated_on_their_newest_year(kind: str) -> None:
    """As on the day on which they ended: the slots since then hold nothing."""
    of = subject(kind, BASE)
    ended = basis(of)
    since = tuple(ended.slots[-1] + of.rule.every * (i + 1) for i in range(150))
    late, then = found(of, replace(ended, slots=(*ended.slots, *since)), size=SMALL), found(of, ended, size=SMALL)
    assert replace(late, past=None) == then
    assert late.past == ended.slots[-1]
    assert f"in the year to {late.past}, the newest that has data" in str(late)


def test_slices_that_are_never_judged_do_not_count() -> None:
    one = found(subject("threshold", BASE, min_n=100))
    assert one.calibration.slices == (world(BASE, 0.0, range(1)).counts.sums[1, :, 0] >= 100).sum()
    assert one.n >= 100


def test_no_power_is_said() -> None:
    weak = found(subject("threshold", BASE, false_alarms_per_year=0.01, floor=0.01), size=SMALL)
    strong = found(subject("threshold", BASE, false_alarms_per_year=5, floor=0.05), size=SMALL)
    assert weak.power is not None
    assert weak.power < 0.1
    said = weak.warning or ""
    assert said.startswith("with 0.01 false alarms a year the rule can hardly detect anything at n = 60")
    assert said.endswith("accept more, widen the window or use fewer slices")
    assert strong.warning is None
    assert "of 5 declared, 40 slices with enough rows, median n 60" in str(strong)


def test_where_nothing_says_how_large_a_shift_matters_nothing_is_warned_of() -> None:
    one = found(subject("gap, 4 weeks", BASE), size=SMALL)
    assert (one.power, one.warning) == (None, None)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedWarehouse]:
    rng = np.random.default_rng(5)
    made = [w for name in ("Retail", "Health") for w in weeks(FIRST, rng.binomial(50, 0.2, 40).tolist(), vertical=name)]
    with warehouse(tmp_path_factory.mktemp("made"), catalog(rule()), rows_of(made)) as found_:
        yield found_


def checks(of: EmbeddedWarehouse, now: datetime) -> tuple[Checked, ...]:
    watched = catalog(rule(), rule(name="plain", gate="none"), rule(name="off", enabled=False))
    with of.pin() as pin, disposing(passing_state()) as states, states.connect() as conn:
        moment = Moment(now, pin.generation.number, now, ZoneInfo("UTC"), timedelta(0))
        found = tuple(calibrated(pin.conn, watched, read_previous_state(conn), moment, {}))
        stored = {one.replayed.calibration.rule_hash: one.replayed.calibration for one in found if one.replayed}
        again = tuple(calibrated(pin.conn, watched, read_previous_state(conn), moment, stored))
        assert [one.replayed for one in again] == [None, None]  # what was found of late is kept
        old = replace(moment, now=now + LASTS)
        anew = calibrated(pin.conn, watched, read_previous_state(conn), old, stored)
        assert any(one.replayed for one in anew) == bool(stored)
        return found


def test_a_check_calibrates_what_is_enabled(company: EmbeddedWarehouse) -> None:
    plain, one = checks(company, noon(FIRST + timedelta(weeks=41)))
    why = kind_of(subject("threshold", BASE, gate="none").rule).uncalibrated
    assert list(plain.lines) == [f"plain: not calibrated: {why}"]
    assert one.replayed is not None
    assert one.replayed.calibration.slices == 2
    assert one.replayed.calibration.alpha > 0.5 / 52 / 2
    assert next(one.lines).startswith("defects: alpha ")


def test_a_check_before_the_first_slot_says_so(company: EmbeddedWarehouse) -> None:
    found_ = checks(company, noon(FIRST + timedelta(weeks=2)))
    assert [list(one.lines) for one in found_][1:] == [["defects: not calibrated: no slot has enough rows yet"]]


def test_what_is_stored_is_what_a_tick_reads(company: EmbeddedWarehouse, tmp_path: Path, new_state: NewState) -> None:
    one = checks(company, noon(FIRST + timedelta(weeks=41)))[1].replayed
    assert one is not None
    states = new_state()
    with states.begin() as conn:
        store_calibration(conn, replace(one.calibration, alpha=0.5))
        store_calibration(conn, one.calibration)
    with states.connect() as conn:
        hash_ = version_of(catalog(rule()), rule()).hash
        assert calibrations(conn) == {hash_: one.calibration}
        assert read_previous_state(conn).alphas == {hash_: one.calibration.alpha}
