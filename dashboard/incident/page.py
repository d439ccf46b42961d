"""One incident, as the link in Slack opens it (`/incident?id=...`), or the list of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

import streamlit as st
from sqlalchemy import Connection

from config import EarshotError
from dashboard import markup as parts
from dashboard.cache import STATE_ENTRIES, Key, shared
from dashboard.customers import account_name
from dashboard.incident import charts, data, markup
from dashboard.page_session import EVERY_FUNCTION, PageSession, banners, follow_address
from queries.review import (
    IncidentPage,
    by_route,
    current_rule,
    figure_name,
    read_escalated,
    reading_days,
    readings_of,
)
from queries.state import (
    Incident,
    NewAction,
    UnknownIncidentError,
    histories,
    newest_slots,
    parse_effect,
    read_incidents,
)
from triggers.incidents import OverError, acknowledge, complete_action, resolve, take_action

MOST: Final = 200
"""Incidents in the list; older ones are found from the command line."""
OUTCOME_DAYS: Final = 150
"""Outcomes are shown for six months, the present one included."""


def show(session: PageSession) -> None:
    """The incident of the link, or all of them."""
    id_ = st.query_params.get("id")
    if id_ is None:
        _list(session)
        return
    try:
        known = data.recorded(session.key, session.changes, session.pin, session.state, id_)
    except UnknownIncidentError:
        # One sentence for both: whoever may not see an incident does not learn either that it exists.
        words = "The incident in this link does not exist, or you have no access to it."
        st.html(parts.notice(words, attention=True))
        _list(session)
        return
    page = known.page
    function = session.catalog.function_of(page.incident.rule)
    st.html(markup.incident_header(page, _account(session, page.incident), _terms(session), function))
    why = session.own_key(f"why-{id_}")
    typed = st.session_state.get(why, "").strip()
    if page.incident.is_open:
        _buttons(session, page)
    elif typed and typed != page.history[-1].reason:
        # Somebody else was faster: the form is gone, and what was typed into it must not be. Names tell nobody apart
        # where nobody signs in.
        st.session_state[why] = typed
        st.html(parts.notice(f"It was closed meanwhile. What you typed was not recorded: “{typed}”", attention=True))
    link = f"{session.stores.settings.dashboard.public_url}/incident?id={page.incident.id}"
    shown = data.card(session.key, session.pin, page, link, known.standing)
    audience = session.viewer.audience
    verbatims = audience is not None and audience.verbatims
    st.html(markup.case_section(shown, verbatims=verbatims) + markup.evidence_section(page, shown))
    if others := markup.others_section(shown):
        st.html(others)
    with st.expander("How sure?"):
        st.html(parts.bullets(markup.how_sure(page)))
    _draw(session.key, session, page, shown, _grain(session, page.incident))
    if words := markup.what_to_do(page, session.catalog.guard):
        st.html(words)
    _actions(session, page)
    st.html(parts.section("History") + markup.history_section(page.history, _terms(session)))
    has_slack = session.stores.settings.slack.token is not None
    ladder = markup.ladder_section(page, known.told, session.catalog, _terms(session), has_slack=has_slack)
    st.html(parts.section("Who is notified") + ladder)
    banners(session)


def _list(session: PageSession) -> None:
    st.html('<h1 class="e-headline">Incidents</h1>')
    banners(session)
    on_change = follow_address("open", {"true": True, "false": False}, usual=True)
    controls = st.container(key="filters", horizontal=True, vertical_alignment="bottom")
    only_open = controls.toggle("Open only", key="open", on_change=on_change)
    found = read_incidents(session.state, session.viewer.scope, "open" if only_open else None)
    if not found:
        st.html(parts.notice("No incident is open." if only_open else "No rule has detected anything yet."))
        _outcomes(session)
        return
    with controls:
        function = _function(session)
        if function:
            found = tuple(one for one in found if session.catalog.function_of(one.rule) == function)
    words = f"{function} only. " if function else ""
    st.html(parts.notice(words + data.queue_line(session.state, found)))
    with controls:
        found = _chosen(session, found)
    if not found:
        st.html(parts.notice("No incident matches these filters."))
    rows, history = [], histories(session.state, [one.id for one in found[:MOST]])
    slots = {rule: newest.slot for rule, newest in newest_slots(session.state).items()}
    for incident in found[:MOST]:
        rule, metric = current_rule(incident.rule, session.catalog)
        where = markup.incident_where(incident, _account(session, incident))
        # A beginning takes a query: what is over is listed without.
        onset = data.onset(session.key, session.pin, incident) if incident.is_open else None
        now = data.present(session.key, session.pin, incident, slots.get(incident.rule))
        rows.append((incident, rule, metric, where, onset, readings_of(history.get(incident.id, ()), now)))
    st.html(markup.incident_table(rows, _terms(session)))
    if len(found) > MOST:
        st.html(parts.notice(f"{len(found) - MOST} older ones:", command="python -m triggers incidents"))
    _outcomes(session, function)


def _function(session: PageSession) -> str | None:
    """The function of the company to whose incidents the list is narrowed; None where it is not."""
    functions = session.catalog.functions
    if not functions:
        return None
    on_change = follow_address("function", {name: name for name in functions}, None)
    return st.selectbox(
        "Function", functions, None, key="function", on_change=on_change, placeholder=EVERY_FUNCTION, width=220
    )


def _chosen(session: PageSession, found: Sequence[Incident]) -> tuple[Incident, ...]:
    """What the filters above the list leave: the most severe first, and of equals the newest."""
    verticals = sorted({one.vertical for one in found if one.vertical})
    owners = {"nobody": "Nobody", **({"me": "Me"} if session.viewer.email else {})}
    on_vertical = follow_address("vertical", {name: name for name in verticals}, None)
    on_owner = follow_address("owner", {name: name for name in owners}, None)
    vertical = st.selectbox(
        "Vertical", verticals, None, key="vertical", on_change=on_vertical, placeholder="All verticals", width=240
    )
    owner = st.selectbox(
        "Owner", [*owners], None, owners.__getitem__, key="owner", on_change=on_owner, placeholder="Anyone", width=160
    )
    left = (
        one
        for one in found
        if vertical in {None, one.vertical}
        and (owner is None or (one.assigned_to == (session.viewer.name if owner == "me" else None)))
    )
    return tuple(sorted(left, key=lambda one: (not one.is_open, one.severity if one.is_open else 0)))


def _outcomes(session: PageSession, function: str | None = None) -> None:
    since = session.key.day.replace(day=1) - timedelta(days=OUTCOME_DAYS)
    until, zone = session.key.day + timedelta(days=1), session.key.tz
    escalated = read_escalated(
        session.state, session.catalog, session.viewer.scope, since.replace(day=1), until, zone, session.now
    )
    of = session.catalog.function_of
    if outcomes := by_route([one for one in escalated if function in {None, of(one.rule)}]):
        st.html(markup.outcomes_section(outcomes, session.catalog))


def _terms(session: PageSession) -> markup.Terms:
    return markup.Terms(session.catalog.people, session.key.tz, session.key.day)


def _account(session: PageSession, incident: Incident) -> str | None:
    return account_name(session.key, session.pin, incident.account_id) if incident.account_id else None


def _buttons(session: PageSession, page: IncidentPage) -> None:
    id_, scope, author = page.incident.id, session.viewer.scope, session.viewer.name
    with st.container(key="hands", horizontal=True):
        key, is_free = session.own_key("acknowledge"), page.incident.acknowledged_at is None
        if is_free and st.button("Acknowledge", type="primary", key=key):
            _write(session, lambda conn: acknowledge(conn, id_, author, scope, session.now, must_be_first=True))
        slot = st.popover("Close it", key="close", on_change="rerun")
        if slot.open:
            with slot, st.form(session.own_key("closing"), border=False):
                reason = st.text_input("Why", key=session.own_key(f"why-{id_}"), max_chars=300)
                if st.form_submit_button("Close the incident"):
                    _write(
                        session,
                        lambda conn: resolve(conn, id_, author, reason or "", scope, session.now, must_say_why=True),
                    )


@shared({IncidentPage: data.seen}, entries=STATE_ENTRIES)
def _draw(key: Key, _session: PageSession, page: IncidentPage, _shown: data.ShownCard, grain: str | None) -> None:
    """The charts, with what is said of them. What a cached function draws, Streamlit keeps and sends again."""
    del key  # it is a key only
    _chart(_session, page, grain)
    _decline(_session, page)
    _origin(_session, page, _shown)


def _grain(session: PageSession, incident: Incident) -> str | None:
    """The periods that the reader chose for the figures over time; None for those that suit them."""
    offered = data.periods(session.key, incident)
    if len(offered) < 2 or data.trend(session.key, session.pin, incident) is None:
        return None
    on_change = follow_address("by", {name: name for name in offered}, None)
    return st.segmented_control("Figures by", offered, key="by", on_change=on_change)


def _chart(session: PageSession, page: IncidentPage, grain: str | None) -> None:
    readings = readings_of(page.history, page.present)
    reference = markup.reference_of(page.rule, page.sample)
    spec = data.trend_spec(session.key, session.pin, page.incident, grain, reference, readings)
    shown = data.trend(session.key, session.pin, page.incident, grain)
    if spec is None or shown is None or page.metric is None:
        return
    place = markup.incident_where(page.incident, None)
    days = f" The thick line is the figure above, of {reading_days(page.sample)}." if "since" in page.sample else ""
    lede = f"Each dot is a {shown.grain}.{days}"
    st.html(parts.section(f"{figure_name(page.rule, page.metric)} in {place}, by {shown.grain}", lede))
    st.vega_lite_chart(spec, width="stretch", alt=charts.describe_over_time(shown, page.metric, place))


def _decline(session: PageSession, page: IncidentPage) -> None:
    """What the account bought by month, and its share of wallet, each beside the year before."""
    for one in data.decline(session.key, session.pin, page):
        lede = "The months that were compared are marked."
        lede += " Dashed: the same months a year before." if one.has_before else ""
        st.html(parts.section(f"{one.name} by month", lede))
        spec = data.decline_spec(session.key, session.pin, one)
        where = markup.incident_where(page.incident, _account(session, page.incident))
        st.vega_lite_chart(spec, width="stretch", alt=charts.describe_bought(one, where))


def _origin(session: PageSession, page: IncidentPage, shown: data.ShownCard) -> None:
    """Where it comes from: in words, as a chart, by value, and the newest cases."""
    if shown is None or shown.evidence is None:
        return
    drivers, rows = shown.evidence.drivers, data.bad_rows(session.key, session.pin, page)
    if drivers is not None:
        words = data.origin_words(shown)
        st.html(markup.origin_section(drivers, words, page))
        if words and (spec := data.origin_spec(session.key, session.pin, page)):
            st.vega_lite_chart(spec, width="stretch", alt=charts.describe_origin(drivers, words))
    if rows:
        st.html(parts.section("The newest cases") + markup.case_table(rows))


def _actions(session: PageSession, page: IncidentPage) -> None:
    st.html(parts.section("Actions") + ("" if page.actions else parts.bullets(["None recorded."])))
    for action in page.actions:
        words = data.effect_words(session.key, session.pin, action, page.actions)
        st.html(markup.action(action, words, session.key.day, _terms(session)))
        if action.done_at is None and st.button("Done", key=session.own_key(f"done-{action.id}"), type="tertiary"):
            _write(session, partial(complete_action, action=action, now=session.now))
    slot = st.expander("Record an action", key="new-action", on_change="rerun")
    if slot.open:
        with slot:
            _new_action(session, page)


def _new_action(session: PageSession, page: IncidentPage) -> None:
    found, today = page.incident, session.key.day
    with st.form(session.own_key("new-action-form"), border=False):
        what = st.text_input("Action", max_chars=300)
        owner = st.text_input("Owner", max_chars=120)
        started = st.date_input("From", today, format="YYYY-MM-DD")
        due = st.date_input("Due", today + timedelta(days=30), format="YYYY-MM-DD")
        effect = st.text_input("Expected change of the figure", placeholder="-5%", max_chars=20)
        if st.form_submit_button("Record", type="primary"):
            new = NewAction(
                what=what or "",
                owner=owner or "",
                started_on=started,
                due_on=due,
                incident_id=found.id,
                vertical=found.vertical,
                touchpoint=found.touchpoint,
                metric=page.metric.name if page.metric else None,
                function=session.catalog.function_of(found.rule),
            )

            def change(conn: Connection) -> None:
                told = replace(new, expected_effect=parse_effect(effect or ""))
                take_action(conn, told, session.viewer.name, session.now)

            _write(session, change)


def _write(session: PageSession, change: Callable[[Connection], object]) -> None:
    def change_what_is_open(conn: Connection) -> None:
        try:
            change(conn)
        except OverError as error:
            # It was open when the page was drawn: somebody else, or a tick, was faster than the click.
            raise EarshotError("this incident has already ended; reload the page") from error

    session.write(change_what_is_open)
