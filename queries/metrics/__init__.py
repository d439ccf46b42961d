"""What a metric is worth: its figures by period and slice, how they are written, and revenue in one currency.

May import queries.warehouse, queries.statistics, queries.engine and config.
"""

from queries.metrics.account_months import YEAR, AccountMonths, MonthlyRevenue, month_of, read_account_months
from queries.metrics.baselines import AgainstBaseline, VerticalChange, read_against_baseline
from queries.metrics.cube import HOUR, Coded, Cube, Ints, cube_of, day_ordinals, read_cube, read_late
from queries.metrics.design_effects import EVERY_VERTICAL, DesignEffect, DesignEffects, write_design_effects
from queries.metrics.formatting import (
    NO_FIGURE,
    SEVERITY_WORDS,
    change_words,
    count,
    csv_cell,
    day_words,
    difference_words,
    figure,
    goal_figure,
    half_width,
    interval,
    is_share,
    largest_word,
    length_words,
    listed,
    moment_words,
    money_change,
    money_figure,
    money_range,
    number_word,
    point_figure,
    private_words,
    shown,
    signed_change,
    span_words,
    unit,
)
from queries.metrics.measure import MetricPoint, measure, measure_all
from queries.metrics.privacy import about_people, private_values
from queries.metrics.query_plan import Ask, Grain, MetricSource, clock_of, dated, known_at, needed, plan
from queries.metrics.revenue import UnratedRevenueError, rank_of, read_revenue, revenue_of
