"""What the accounts page reads, each result once: see `dashboard.cache`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dashboard.accounts import charts, events
from dashboard.cache import Changes, Key, copied, shared, until_changed
from dashboard.customers import account_facts, account_name, portfolio
from queries.accounts import (
    AccountSheet,
    AccountStory,
    Call,
    JourneyCost,
    KeptDifference,
    KeptRevenue,
    Move,
    Portfolio,
    PortfolioAccount,
    a_year_before,
    calls,
    difference,
    in_vertical,
    is_unshared,
    kept_by_answers,
    kept_by_quadrant,
    months_known,
    moves,
    read_journey_costs,
    read_story,
    sheet_of,
)
from queries.engine import aware, day_of
from queries.monitoring import Overlap, overlaps
from queries.state import Action, Incident, read_actions, read_incidents
from queries.warehouse import Pin


def portfolio_of_vertical(key: Key, pin: Pin, vertical: str | None = None) -> Portfolio | None:
    """The newest portfolio, of one vertical or of all."""
    return in_vertical(portfolio(key, pin), vertical)


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


@shared()
def journey_costs(key: Key, _pin: Pin, vertical: str | None) -> tuple[JourneyCost, ...]:
    """What journeys cost in the portfolio's twelve months; nothing where no cost of a contact is configured."""
    of, costs = portfolio(key, _pin), key.catalog.contact_costs
    if of is None or not costs:
        return ()
    return read_journey_costs(_pin.conn, costs, of.until, key.scope.narrowed(vertical), key.as_of)


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
    found = portfolio_of_vertical(key, _pin, vertical)
    if found is None or not any(account.score and account.share for account in found.accounts):
        return None
    labelled = charts.labelled(found)
    return charts.quadrants(found, names(key, _pin, labelled), key.currency)


@shared()
def quadrant_words(key: Key, _pin: Pin, vertical: str | None) -> str:
    """The chart of the portfolio in words."""
    found = portfolio_of_vertical(key, _pin, vertical)
    return charts.describe_quadrants(found) if found else ""


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


def event_spans(
    conditions: Iterable[Overlap],
    incidents: Iterable[Incident],
    actions: Iterable[Action],
    labels: Mapping[str, str],
    span: tuple[date, date],
    zone: ZoneInfo,
) -> tuple[events.Span, ...]:
    """What happened around an account in `span` (both ends included).

    An action lasts until it is done, else until today.
    """
    today = span[1]
    found = [
        events.Span("Condition", one.name, day_of(one.since, zone), day_of(one.until, zone) if one.until else today)
        for one in conditions
    ]
    for one in incidents:
        over = day_of(one.resolved_at, zone) if one.resolved_at else today
        found.append(
            events.Span("Incident", labels.get(one.rule, one.rule), day_of(one.opened_at, zone), over, one.is_open)
        )
    for action in actions:
        done = day_of(aware(action.done_at), zone) if action.done_at else today
        found.append(events.Span("Action", action.what, action.started_on, done, action.done_at is None))
    return events.chosen(found, span)


@copied({tuple: repr})
def events_band(
    key: Key, _pin: Pin, vertical: str, since: date, incidents: tuple[Incident, ...], actions: tuple[Action, ...]
) -> dict[str, Any]:
    """What happened around an account since a day: the finished chart (`spec`) and its words; empty without any."""
    span, labels = (since, key.day), {rule.name: rule.label or rule.name for rule in key.catalog.rules}
    conditions = overlaps(_pin.conn, since, key.day + timedelta(days=1), (vertical or None, None), key.as_of)
    found = event_spans(conditions, incidents, actions, labels, span, key.tz)
    drawn = events.events(found, span)
    return {"spec": drawn, "words": events.describe_events(found)} if drawn else {}


@copied()
def story_specs(key: Key, _pin: Pin, account: str, since: date) -> dict[str, Any]:
    """The finished charts of one account, by the band that each is, on one axis of time from `since`."""
    known = story(key, _pin, account)
    if known is None:
        return {}
    return charts.bands(known, since, key.day, key.currency, key.tz)
