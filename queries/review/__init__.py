"""The monthly review and the incident page: what is read for them, and the documents that are composed of it.

May import queries.accounts, queries.monitoring, queries.metrics, queries.state and what stands below them.
"""

from queries.review.action_effects import ActionEffect, expected_words, outcome_words
from queries.review.business_hours import Timetable, local, solve_by, timetable
from queries.review.document import (
    EVERYWHERE,
    UNCLEAR,
    ActionStatus,
    Facts,
    Issue,
    MetricStatus,
    Money,
    Onset,
    PageBudget,
    Review,
    ReviewIncident,
    reading_days,
)
from queries.review.incident_page import (
    USUAL,
    BoughtMonth,
    IncidentPage,
    Periods,
    Trend,
    actions_of,
    periods_for,
    read_account_name,
    read_bad_rows,
    read_bought,
    read_case_evidence,
    read_evidence,
    read_incident_page,
    read_trend,
)
from queries.review.onset import read_onset
from queries.review.outcomes import EscalationOutcome, by_route, queue_summary, read_escalated
from queries.review.proven_actions import past_actions, worth_repeating
from queries.review.read import (
    Months,
    ReviewContext,
    read_effect,
    read_facts,
    read_meeting,
    read_months,
    read_period,
    read_points,
    read_verticals,
)
from queries.review.readings import (
    Readings,
    Sample,
    aged,
    current_rule,
    figure_name,
    happened_on,
    newest_sample,
    read_present,
    read_window,
    reading_words,
    readings_of,
    slice_words,
    when_found,
    with_sides,
)
from queries.review.review_calendar import ReviewDates, newest_review, review_dates
