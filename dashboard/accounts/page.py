"""The accounts: whom to call and the portfolio (`/accounts`), and one of them (`/accounts?id=...`)."""

from datetime import date
from functools import partial
from typing import Final

import streamlit as st

from dashboard import markup as parts
from dashboard.accounts import charts, data, files, markup
from dashboard.page_session import PageSession, banners, follow_address
from queries.accounts import BOUNDARY_STATE, NO_SIGNAL, PROMISED, STATES
from queries.metrics import UnratedRevenueError, count
from queries.review import EVERYWHERE
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
    key, pin, currency = session.key, session.pin, session.key.currency
    every = data.portfolio(key, pin)
    verticals = sorted({one.vertical for one in every.accounts}) if every else []
    on_vertical = follow_address("vertical", {name: name for name in verticals}, None)
    vertical = st.session_state.get("vertical")
    found = data.whom_to_call(key, session.changes, pin, session.state)
    found = tuple(call for call in found if vertical in {None, call.vertical})
    shown = data.in_vertical(every, vertical)
    audience = session.viewer.audience
    most = audience.issues if audience else MOST_ACCOUNTS
    names = data.names(key, pin, [call.id for call in found[:most]])
    place = vertical or (verticals[0] if len(verticals) == 1 else EVERYWHERE)
    st.html(markup.list_header(found, names, place, shown, currency))
    banners(session)
    if len(verticals) > 1:
        with st.container(key="filters", horizontal=True):
            st.selectbox(
                "Vertical", verticals, None, key="vertical", on_change=on_vertical, placeholder=EVERYWHERE, width=240
            )
    if found:
        st.html(parts.section("Whom to call", "By what the account bought in twelve months."))
        st.html(
            markup.call_table(found[:most], names, currency, key.tz, has_links=session.opens("incidents"))
            + _more(len(found) - most, "more account needs a call", "more accounts need a call")
        )
    if shown is None:
        missing = "No revenue is loaded" if not every and not verticals else "No account is in this vertical"
        st.html(parts.section("Portfolio") + parts.notice(f"{missing}; fill the table `revenue` from a source, and set "
                "[[portfolio]] in goals.toml."))  # fmt: skip
        return
    _portfolio(session, vertical)


def _portfolio(session: PageSession, vertical: str | None) -> None:
    key, pin, currency = session.key, session.pin, session.key.currency
    shown = data.in_vertical(data.portfolio(key, pin), vertical)
    if shown is None:
        return
    cut = shown.cutoffs
    growth = f"where revenue is up by {cut.growth:.0%} or more on the year before"
    if not cut.growth:
        growth = "where revenue is not down on the year before"
    lede = (
        f"A relationship is good from {cut.score:g} of 10. Value is high from {cut.share:.0%} of an account's wallet "
    )
    lede += f"or, if that is not known, {growth}."
    moved = data.since_last_quarter(key, pin)
    if vertical is not None:
        kept = {one.id for one in shown.accounts}
        moved = tuple(
            type(move)(move.before, move.now, tuple(one for one in move.accounts if one.id in kept)) for move in moved
        )
    st.html(parts.section("Portfolio", lede) + markup.state_table(shown, moved, currency))
    spec = data.quadrant_spec(key, pin, vertical)
    if spec is not None:
        left_out = sum(not (one.score and one.share) for one in shown.accounts)
        st.vega_lite_chart(spec, width="stretch", alt=charts.describe_quadrants(shown))
        words = ["The larger the dot, the more it buys. Lines: 95% intervals. Coloured: At Risk, or may well be."]
        if left_out:
            accounts = "account is" if left_out == 1 else "accounts are"
            words.append(f"{count(left_out)} {accounts} not drawn: no answer, or no share of wallet is known.")
        st.html(parts.bullets(words))
    _accounts(session, vertical)
    after = data.year_after(key, pin)
    if after is not None and vertical is None:
        lede = (
            "Accounts by what they answered, and by the quadrant that they were in, a year before. It is association."
        )
        st.html(parts.section("What became of their revenue", lede) + markup.kept_table(after, currency))


def _accounts(session: PageSession, vertical: str | None) -> None:
    key, pin = session.key, session.pin
    shown = data.in_vertical(data.portfolio(key, pin), vertical)
    if shown is None:
        return
    labels = {state: state if state not in {BOUNDARY_STATE, NO_SIGNAL} else state.capitalize() for state in STATES}
    st.html(parts.section("Accounts"))
    follow = follow_address("state", {state.replace(" ", "-").casefold(): state for state in STATES}, None)
    state = st.selectbox(
        "Quadrant", [*STATES], None, labels.__getitem__, key="state", on_change=follow, placeholder="All", width=240
    )
    of = shown.accounts if state is None else shown.of(state)
    some = of[:MOST_ACCOUNTS]
    names = data.names(key, pin, [one.id for one in some])
    table = markup.account_table(some, names, key.currency, has_verticals=vertical is None)
    st.html(table + _more(len(of) - len(some), "more account", "more accounts"))


def _more(number: int, one: str, many: str) -> str:
    if number <= 0:
        return parts.bullets([])
    return parts.bullets([f"{count(number)} {one if number == 1 else many}."])


def _account(session: PageSession, page: data.AccountPage) -> None:
    key, pin = session.key, session.pin
    name = data.names(key, pin, [page.story.id])[page.story.id]
    st.html(markup.account_header(page, name, key.currency, key.day))
    since = _months_before(key.day, SHOWN_MONTHS)
    specs = data.story_specs(key, pin, page.story.id, since)
    with st.container(key="bands", gap="small"):
        for band, (title, lede) in BANDS.items():
            if band in specs:
                st.html(markup.band(title, lede.format(currency=key.currency)))
                st.vega_lite_chart(specs[band], width="stretch", alt=charts.describe_band(band, page.story))
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
    st.html(markup.sheet_link(*files.link(page.story.id)))


def _months_before(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
