"""Customers one by one: the portfolio of all accounts by relationship and value, and what each account lives through.

May import queries.monitoring, queries.metrics, queries.state, queries.warehouse, queries.engine and config.
"""

from queries.accounts.calls import Call, calls
from queries.accounts.contact_costs import JourneyCost, read_journey_costs
from queries.accounts.headroom import Growth, Headroom, growth_of
from queries.accounts.kept_revenue import (
    KeptDifference,
    KeptRevenue,
    a_year_before,
    difference,
    kept_by_answers,
    kept_by_quadrant,
    months_known,
)
from queries.accounts.portfolio import (
    BOUNDARY_STATE,
    NO_SIGNAL,
    STATES,
    AccountFacts,
    Move,
    Portfolio,
    PortfolioAccount,
    Position,
    in_vertical,
    moves,
    newest_month,
    portfolio_before,
    portfolio_of,
    read_account_facts,
)
from queries.accounts.quadrants import BOUNDARY, QUADRANTS
from queries.accounts.sheet import AccountSheet, Told, is_unhappy, is_unshared, sheet_of
from queries.accounts.timeline import PROMISED, AccountAnswer, AccountStory, MomentOfTruth, read_story
