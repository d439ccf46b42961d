"""What the accounts page reads, each result once: see `dashboard.cache`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from dashboard.accounts import charts, events
from dashboard.cache import Changes, Key, copied, shared, until_changed
from dashboard.customers import account_facts, account_name, in_vertical, portfolio
from queries.accounts import (
    AccountSheet,
    AccountStory,
    Call,
    KeptDifference,
    KeptRevenue,
    Move,
    PortfolioAccount,
    a_year_before,
    calls,
    difference,
    is_unshared,
    kept_by_answers,
    kept_by_quadrant,
    months_known,
    moves,
    read_story,
    sheet_of,
)
from queries.monitoring import overlaps
from queries.state import Action, Incident, read_actions, read_incidents
from queries.warehouse import Pin


@shared()
def since_last_quarter(key: Key, _pin: Pin) -> tuple[Move, ...]:
    """Who moved since the quarter before."""
    now = portfolio(key, _pin)
    return moves(account_facts(key, _pin), now) if now else ()


@dataclass(frozen=True, slots=True)
class YearAfter:
    """What became of the revenue of a year before: by answers, by quadrant, and how far the best answers lie ahead."""

    by_answers: tuple[KeptRevenue, ...]
    by_quadrant: tuple[KeptRevenue, ...]
    ahead: KeptDifference | None


@shared()
def year_after(key: Key, _pin: Pin) -> YearAfter | None:
    """What became of the accounts of a year before; None where two years of revenue are not known."""
    facts, now = account_facts(key, _pin), portfolio(key, _pin)
    if now is None or not months_known(facts, now.until):
        return None
    before = a_year_before(facts, now.cutoffs, now.until)
    answers = kept_by_answers(before, now)
    return YearAfter(answers, kept_by_quadrant(before, now), difference(answers[-1], answers[0]))


@until_changed
def whom_to_call(key: Key, changes: Changes, _pin: Pin, _state: Connection) -> tuple[Call, ...]:
    """The accounts that need a call, as the state is now."""
    del changes
    actions = [action for action in read_actions(_state, key.scope) if is_unshared(action, key.as_of)]
    # Most incidents are over: they are asked for only where the customer of one was not told what is being done.
    found = read_incidents(_state, key.scope, None if actions else "open")
    return calls(portfolio(key, _pin), found, actions, key.catalog, key.as_of)


def names(key: Key, pin: Pin, accounts: Sequence[str]) -> dict[str, str]:
    """Accounts by name, or by pseudonym where the reader may not have the name."""
    return {account: account_name(key, pin, account) for account in accounts}


@copied({tuple: repr})
def quadrant_spec(key: Key, _pin: Pin, vertical: str | None) -> dict[str, Any] | None:
    """The finished chart of the portfolio."""
    shown = in_vertical(portfolio(key, _pin), vertical)
    if shown is None or not any(account.score and account.share for account in shown.accounts):
        return None
    labelled = charts.labelled(shown)
    return charts.quadrants(shown, names(key, _pin, labelled), key.currency)


@shared()
def quadrant_words(key: Key, _pin: Pin, vertical: str | None) -> str:
    """The chart of the portfolio in words."""
    shown = in_vertical(portfolio(key, _pin), vertical)
    return charts.describe_quadrants(shown) if shown else ""


@shared()
def verticals(key: Key, _pin: Pin) -> tuple[str, ...]:
    """The verticals that have accounts in the portfolio."""
    of = portfolio(key, _pin)
    return tuple(sorted({one.vertical for one in of.accounts})) if of else ()


@dataclass(frozen=True, slots=True)
class AccountPage:
    """One account: what it lived through, where it stands, what was found and what is being done."""

    story: AccountStory
    place: PortfolioAccount | None
    incidents: tuple[Incident, ...]
    actions: tuple[Action, ...]


@shared()
def story(key: Key, _pin: Pin, account: str) -> AccountStory | None:
    """What an account lived through; None where the reader has no such account."""
    audience = key.catalog.audience(key.scope.role)
    found = read_story(
        _pin.conn,
        account,
        key.scope,
        key.as_of,
        key.currency,
        has_rows=audience is not None and audience.rows,
        has_verbatims=audience is not None and audience.verbatims,
    )
    # Whatever is drawn or said of it has this name: nobody is sent another one.
    return replace(found, name=names(key, _pin, [account])[account]) if found else None


@until_changed
def account_page(key: Key, changes: Changes, _pin: Pin, _state: Connection, account: str) -> AccountPage | None:
    """One account as it is now; None where the reader has no such account."""
    del changes
    known = story(key, _pin, account)
    if known is None:
        return None
    of = portfolio(key, _pin)
    place = next((one for one in of.accounts if one.id == account), None) if of else None
    found = tuple(one for one in read_incidents(_state, key.scope) if one.account_id == account)
    mine = {one.id for one in found}
    actions = tuple(action for action in read_actions(_state, key.scope) if action.incident_id in mine)
    return AccountPage(known, place, found, actions)


def account_sheet(page: AccountPage, as_of: datetime) -> AccountSheet:
    """What is shared with the customer."""
    return sheet_of(page.story, page.actions, as_of)


@copied({tuple: repr})
def events_band(
    key: Key, _pin: Pin, vertical: str, since: date, incidents: tuple[Incident, ...], actions: tuple[Action, ...]
) -> dict[str, Any]:
    """What happened around an account since a day: the finished chart (`spec`) and its words; empty without any."""
    span = (since, key.day)
    conditions = overlaps(_pin.conn, since, key.day + timedelta(days=1), (vertical or None, None), key.as_of)
    found = events.spans(conditions, incidents, actions, key.catalog.rules, span, key.tz)
    drawn = events.events(found, span)
    return {"spec": drawn, "words": events.describe_events(found)} if drawn else {}


@copied()
def story_specs(key: Key, _pin: Pin, account: str, since: date) -> dict[str, Any]:
    """The finished charts of one account, by the band that each is, on one axis of time from `since`."""
    known = story(key, _pin, account)
    if known is None:
        return {}
    return charts.bands(known, since, key.day, key.currency, key.tz)
