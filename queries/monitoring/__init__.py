"""What the rules are evaluated on besides metrics: activity, revenue coverage, severe cases, row profiles, evidence.

May import queries.metrics, queries.warehouse, queries.statistics, queries.engine and config.
"""

from queries.monitoring.asked_rows import BadRow, Question, newest_bad_rows
from queries.monitoring.case_file import CaseFile, Score, read_case
from queries.monitoring.drivers import DIMENSIONS, Cell, Dimension, Drivers, question_of
from queries.monitoring.evidence import MOST, Evidence, Overlap, gather, gather_case, overlaps, with_revenue
from queries.monitoring.people import Who, how_many, may_quote, people_by_day

__all__ = [
    "DIMENSIONS",
    "MOST",
    "BadRow",
    "CaseFile",
    "Cell",
    "Dimension",
    "Drivers",
    "Evidence",
    "Overlap",
    "Question",
    "Score",
    "Who",
    "gather",
    "gather_case",
    "how_many",
    "may_quote",
    "newest_bad_rows",
    "overlaps",
    "people_by_day",
    "question_of",
    "read_case",
    "with_revenue",
]
