"""How sure each enabled rule must be on the data there are: what `python -m triggers check` finds and stores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from config.catalog import Catalog
from queries.references import Calibration
from triggers.calibrate import Replayed, calibrate, uncalibrated
from triggers.memory import Memory
from triggers.rates import reader
from triggers.slots import Moment
from triggers.tasks import Task, tasks
from triggers.watching import effects_at

LASTS: Final = timedelta(days=28)
"""How long a calibration is good for: the numbers of cases change with the months."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A rule, and what its null replay found; `why` says why there is none."""

    rule: str
    replayed: Replayed | None
    why: str = ""

    @property
    def lines(self) -> Iterator[str]:
        """What to tell the analyst."""
        yield f"{self.rule}: {self.replayed or self.why}"
        if self.replayed and self.replayed.warning:
            yield f"{self.rule}: {self.replayed.warning}"


def calibrated(
    conn: Connection, catalog: Catalog, memory: Memory, moment: Moment, known: Mapping[str, Calibration]
) -> Iterator[Checked]:
    """Calibrate every enabled rule that looks at slots, one after the other, where that was not done of late.

    Args:
        conn: the warehouse.
        catalog: its rules as they are now.
        memory: the state; the baselines that charts froze are taken from it.
        moment: now, and the generation.
        known: the calibrations stored before, by the version's name.
    """
    current = [task for task in tasks(catalog, memory, moment) if task.is_current]
    for task in current:
        if why := uncalibrated(task.subject):
            yield Checked(task.subject.rule.name, None, f"not calibrated: {why}")
    due = []
    for task in current:
        before = known.get(task.subject.hash)
        if before and moment.now - before.calibrated_at < LASTS:
            yield Checked(
                task.subject.rule.name, None, f"alpha {before.alpha:.2g}, found {before.calibrated_at:%Y-%m-%d}"
            )
        elif not uncalibrated(task.subject):
            due.append(task)
    whole = [_whole(task) for task in due]
    for task, basis in reader(conn, moment, effects_at(conn, moment)).bases(whole):
        found = calibrate(task.subject, basis, moment.now)
        yield Checked(task.subject.rule.name, found, "not calibrated: no slot has rows to judge yet")


def _whole(task: Task) -> Task:
    """All of the past."""
    return replace(task, first_run=True, slots=(), again=None)
