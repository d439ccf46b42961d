"""The accounts: whom to call and the portfolio (`/accounts`), and one of them (`/accounts?id=...`)."""

from dataclasses import replace
from functools import partial
from typing import Final

import streamlit as st
from markupsafe import Markup

from dashboard import markup as parts
from dashboard.accounts import charts, data, markup
from dashboard.cache import Changes, Key, shared, until_changed
from dashboard.page_session import PageSession, banner_lines, banners, follow_address
from queries.accounts import PROMISED, STATES
from queries.metrics import YEAR, UnratedRevenueError, count, month_of
from queries.state import share_action

MOST_ACCOUNTS: Final = 20
SHOWN_MONTHS: Final = 18
_WAIT: Final = f"A line: it waited for a reply for more than {PROMISED.days} days."
BANDS: Final = {
    "revenue": ("Revenue", "Thousand {currency} a month."),
    "share": ("Our share of its wallet", "In %."),
    "moments": ("Moments of truth", f"Upwards: from the customer; downwards: from us. Coloured: upset. {_WAIT}"),
    "answers": (
        "Answers",
        "In % of their scale. Round: about the relationship; square: about a contact or journey. Coloured: unhappy.",
    ),
}


def show(session: PageSession) -> None:
    """The account of the link, or all of them."""
    id_ = st.query_params.get("id")
    try:
        page = data.account_page(session.key, session.changes, session.pin, session.state, id_) if id_ else None
        if page is not None:
            _account(session, page)
            return
        if id_:
            # One sentence for both: whoever may not see an account does not learn either that it exists.
            words = "The account in this link does not exist, or you have no access to it."
            st.html(parts.notice(words, attention=True))
        _list(session)
    except UnratedRevenueError as error:
        st.html(parts.section("The accounts cannot be shown") + parts.notice(f"{error}.", attention=True))


def _list(session: PageSession) -> None:
    key, every = session.key, data.portfolio_of_vertical(session.key, session.pin)
    verticals = data.verticals(key, session.pin)
    on_vertical = follow_address("vertical", {name: name for name in verticals}, None)
    vertical = st.session_state.get("vertical")
    audience = session.viewer.audience
    most = audience.issues if audience else MOST_ACCOUNTS
    told = (vertical, most, session.opens("incidents"))
    header, calls = _whom_to_call(key, session.changes, session, told)
    st.html(parts.stacked(header, *banner_lines(session)))
    if len(verticals) > 1:
        st.selectbox(
            "Vertical", verticals, None, key="vertical", on_change=on_vertical, placeholder="All verticals", width=240
        )
    st.html(calls + (_states(key, session, vertical) if every else _nothing()))
    if every is None:
        return
    spec = data.quadrant_spec(key, session.pin, vertical)
    if spec is not None:
        st.vega_lite_chart(spec, width="stretch", alt=data.quadrant_words(key, session.pin, vertical))
    st.html(_legend(key, session, vertical))
    follow = follow_address("state", {state.replace(" ", "-").casefold(): state for state in STATES}, None)
    state = st.selectbox(
        "Quadrant", [*STATES], None, markup.state_name, key="state", on_change=follow, placeholder="All", width=240
    )
    st.html(_accounts(key, session, vertical, state))


def _nothing() -> Markup:
    missing = "No revenue is loaded; fill the table `revenue` from a source, and set [[portfolio]] in goals.toml."
    return parts.section("Portfolio") + parts.notice(missing)


@until_changed
def _whom_to_call(
    key: Key, changes: Changes, _session: PageSession, told: tuple[str | None, int, bool]
) -> tuple[Markup, Markup]:
    """The headline, and the table of those to call: of a vertical, at most so many, with links to incidents or not."""
    vertical, most, has_links = told
    found = data.whom_to_call(key, changes, _session.pin, _session.state)
    found = tuple(call for call in found if vertical in {None, call.vertical})
    names = data.names(key, _session.pin, [call.id for call in found[:most]])
    verticals = data.verticals(key, _session.pin)
    place = vertical or (verticals[0] if len(verticals) == 1 else "All verticals")
    shown = data.portfolio_of_vertical(key, _session.pin, vertical)
    header = markup.list_header(found, names, place, shown, key.currency)
    if not found:
        return header, Markup()
    table = markup.call_table(found[:most], names, key.currency, key.tz, has_links=has_links)
    more = _more(len(found) - most, "more account needs a call", "more accounts need a call")
    return header, parts.section("Whom to call", "By what the account bought in twelve months.") + table + more


@shared()
def _states(key: Key, _session: PageSession, vertical: str | None) -> Markup:
    """The quadrants: how many accounts each has and had, and what they buy."""
    shown = data.portfolio_of_vertical(key, _session.pin, vertical)
    if shown is None:
        return Markup()
    cut, kept = shown.cutoffs, {one.id for one in shown.accounts}
    growth = f"is up by {cut.growth:.0%} or more" if cut.growth else "is not down"
    lede = f"A relationship is good from {cut.score:g} of 10. Value is high from {cut.share:.0%} of an account's "
    lede += f"wallet or, if that is not known, where revenue {growth} on the year before."
    moved = data.since_last_quarter(key, _session.pin)
    own = [replace(move, accounts=tuple(one for one in move.accounts if one.id in kept)) for move in moved]
    return parts.section("Portfolio", lede) + markup.state_table(shown, own, key.currency)


@shared()
def _legend(key: Key, _session: PageSession, vertical: str | None) -> Markup:
    """What the chart shows, and what it leaves out."""
    shown = data.portfolio_of_vertical(key, _session.pin, vertical)
    left_out = sum(not (one.score and one.share) for one in shown.accounts) if shown else 0
    words = ["The larger the dot, the more it buys. Lines: 95% intervals. Coloured: At Risk, or may well be."]
    if left_out:
        accounts = "account is" if left_out == 1 else "accounts are"
        words.append(f"{count(left_out)} {accounts} not drawn: no answer, or no share of wallet is known.")
    return parts.bullets(words) + parts.section("Accounts")


@shared()
def _accounts(key: Key, _session: PageSession, vertical: str | None, state: str | None) -> Markup:
    """The accounts that buy most, and what became of those of a year before."""
    shown = data.portfolio_of_vertical(key, _session.pin, vertical)
    if shown is None:
        return Markup()
    of = shown.accounts if state is None else shown.of(state)
    some = of[:MOST_ACCOUNTS]
    names = data.names(key, _session.pin, [one.id for one in some])
    table = markup.account_table(some, names, key.currency, has_verticals=vertical is None)
    pieces = table + _more(len(of) - len(some), "more account", "more accounts")
    pieces += markup.cost_section(data.journey_costs(key, _session.pin, vertical), key.currency)
    after = data.year_after(key, _session.pin)
    if after is None or vertical is not None:
        return pieces
    lede = "Accounts by what they answered, and by the quadrant that they were in, a year before: an association."
    return pieces + parts.section("What became of their revenue", lede) + markup.kept_table(after, key.currency)


def _more(number: int, one: str, many: str) -> Markup:
    return parts.bullets([f"{count(number)} {one if number == 1 else many}."] if number > 0 else [])


def _account(session: PageSession, page: data.AccountPage) -> None:
    key, pin = session.key, session.pin
    st.html(markup.account_header(page, key.currency, key.day))
    since = month_of(key.day.year * YEAR + key.day.month - 1 - SHOWN_MONTHS)
    specs = data.story_specs(key, pin, page.story.id, since)
    with st.container(key="bands", gap="small"):
        for band, (title, lede) in BANDS.items():
            if band in specs:
                st.html(markup.band(title, lede.format(currency=key.currency)))
                st.vega_lite_chart(specs[band], width="stretch", alt=charts.describe_band(band, page.story))
        around = data.events_band(key, pin, page.story.vertical, since, page.incidents, page.actions)
        if around:
            st.html(markup.band("Around it", "Conditions, incidents and actions. Coloured: an incident that is open."))
            st.vega_lite_chart(around["spec"], width="stretch", alt=around["words"])
    if page.incidents:
        has_links = session.opens("incidents")
        st.html(parts.section("Incidents") + markup.open_list(page, session.catalog, key.tz, has_links=has_links))
    _actions(session, page)
    banners(session)


def _actions(session: PageSession, page: data.AccountPage) -> None:
    st.html(parts.section("Actions") + ("" if page.actions else parts.bullets(["None recorded."])))
    for action in page.actions:
        st.html(markup.action_line(action, session.catalog, session.key.tz))
        key = session.own_key(f"share-{action.id}")
        if action.shared_at is None and st.button("Shared with the customer", key=key, type="tertiary"):
            session.write(partial(share_action, action_id=action.id, author=session.viewer.name, now=session.now))
    st.html(markup.sheet_link(page.story.id))
