"""A rule as it is evaluated: its schedule, subject, versions, earlier state and state machine.

It may import queries and config.
"""

from triggers.rules.counts import TALLY, Bools, Counts, History, Slice, slice_history, slices_of, with_late
from triggers.rules.due import Task, tasks
from triggers.rules.git_author import author
from triggers.rules.live_rules import LiveRules, Rules
from triggers.rules.previous_state import FrozenBaseline, PreviousState, read_previous_state, remember
from triggers.rules.schedule import Cadence, Moment, midnight
from triggers.rules.state_machine import FRESH, OPEN, ROUNDING, Event, Instance, Sample, Verdict, step
from triggers.rules.subject import CubeRequest, Subject, subject_of
from triggers.rules.versions import Version, may_hold, read_version, version, version_of
