"""One incident, as the link in Slack opens it (`/incident?id=...`), or the list of them."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import streamlit as st
from sqlalchemy import Connection

from config.errors import EarshotError
from dashboard import markup as parts
from dashboard.incident import charts, data, markup
from dashboard.session import PageSession, banners, page_session
from queries.metrics.formatting import figure
from queries.review.incident_page import IncidentPage, current_rule, read_incident_page
from queries.state.actions import NewAction, finish_action, record_action
from queries.state.incidents import Incident, UnknownIncidentError, incidents
from triggers.incidents.actions import OverError, acknowledge, resolve

MOST: Final = 200
"""Incidents in the list; older ones are found from the command line."""


def show() -> None:
    """The incident of the link, or all of them."""
    with page_session() as now:
        id_ = st.query_params.get("id")
        if id_ is None:
            _list(now)
            return
        try:
            it = read_incident_page(now.state, now.catalog, id_, now.viewer.scope)
        except UnknownIncidentError:
            st.html(parts.notice("The link asks for an incident that is not here or not yours to see.", attention=True))
            _list(now)
            return
        _one(now, it)


def _list(now: PageSession) -> None:
    st.html('<h1 class="e-headline">Incidents</h1>')
    banners(now)
    only_open = st.toggle("Open only", value=True, key="open", bind="query-params")
    found = incidents(now.state, now.viewer.scope, "open" if only_open else None)
    if not found:
        st.html(parts.notice("No incident is open." if only_open else "No rule has found anything yet."))
        return
    st.html(markup.incident_table([_summary(now, one) for one in found[:MOST]], _terms(now)))
    if len(found) > MOST:
        st.html(parts.notice(f"{len(found) - MOST} older ones:", command="python -m triggers incidents"))


def _terms(now: PageSession) -> markup.Terms:
    return markup.Terms(now.catalog.people, ZoneInfo(now.pin.generation.zone))


def _summary(now: PageSession, one: Incident) -> tuple[Incident, str, str, str]:
    rule, metric = current_rule(one, now.catalog)
    value = figure(metric, one.value) if metric and one.value is not None else ""
    return one, markup.incident_title(one, rule), markup.incident_where(one, _account(now, one)), value


def _account(now: PageSession, one: Incident) -> str | None:
    return data.account_name(now.key, now.pin, one.account_id) if one.account_id else None


def _one(now: PageSession, it: IncidentPage) -> None:
    st.html(markup.incident_header(it, _account(now, it.incident), _terms(now)))
    if it.incident.is_open:
        _buttons(now, it)
    link = f"{now.stores.settings.dashboard.public_url}/incident?id={it.incident.id}"
    st.html(markup.evidence_section(it, data.card(now.key, now.pin, it, link)))
    _chart(now, it)
    if it.rule and it.rule.runbook:
        st.html(parts.section("What to do") + markup.runbook(it.rule))
    _actions(now, it)
    st.html(parts.section("History") + markup.history_section(it.history, _terms(now)))
    st.html(parts.section("Who is told") + markup.ladder_section(it.incident, now.catalog, _terms(now)))
    banners(now)


def _buttons(now: PageSession, it: IncidentPage) -> None:
    id_, scope, author = it.incident.id, now.viewer.scope, now.viewer.name
    with st.container(key="hands", horizontal=True):
        if it.incident.acknowledged_at is None and st.button("I take this on", type="primary", key="acknowledge"):
            _write(now, lambda conn: acknowledge(conn, id_, author, scope, now.now, must_be_first=True))
        slot = st.popover("Close it", key="close", on_change="rerun")
        if slot.open:
            with slot, st.form("closing", border=False):
                reason = st.text_input("Why", max_chars=300)
                if st.form_submit_button("Close the incident"):
                    _write(
                        now,
                        lambda conn: resolve(conn, id_, author, reason or "", scope, now.now, must_say_why=True),
                    )


def _chart(now: PageSession, it: IncidentPage) -> None:
    spec = data.trend_spec(now.key, now.pin, it.incident, markup.reference_of(it.rule, it.sample))
    shown = data.trend(now.key, now.pin, it.incident)
    if spec is None or shown is None or it.metric is None:
        return
    place = markup.incident_where(it.incident, None)
    st.html(parts.section(f"{it.metric.label} in {place}, by {shown.grain}"))
    st.vega_lite_chart(spec, width="stretch", alt=charts.describe_over_time(shown, it.metric, place))


def _actions(now: PageSession, it: IncidentPage) -> None:
    st.html(parts.section("Actions") + ("" if it.actions else parts.bullets(["None recorded."])))
    for action in it.actions:
        words = data.effect_words(now.key, now.pin, action, it.actions)
        st.html(markup.action(action, words, now.key.day))
        if action.done_at is None and st.button("Done", key=f"done-{action.id}", type="tertiary"):
            _write(now, partial(finish_action, action_id=action.id, now=now.now))
    slot = st.expander("Record an action", key="new-action", on_change="rerun")
    if slot.open:
        with slot:
            _new_action(now, it)


def _new_action(now: PageSession, it: IncidentPage) -> None:
    found, today = it.incident, now.key.day
    with st.form("new-action-form", border=False):
        what = st.text_input("What is done", max_chars=300)
        owner = st.text_input("Who sees to it", max_chars=120)
        started = st.date_input("From", today, format="YYYY-MM-DD")
        due = st.date_input("Due", today + timedelta(days=30), format="YYYY-MM-DD")
        if st.form_submit_button("Record", type="primary"):
            new = NewAction(
                what=what or "",
                owner=owner or "",
                started_on=started,
                due_on=due,
                incident_id=found.id,
                vertical=found.vertical,
                touchpoint=found.touchpoint,
                metric=it.metric.name if it.metric else None,
            )
            _write(now, lambda conn: record_action(conn, new, now.viewer.name, now.now))


def _write(now: PageSession, change: Callable[[Connection], object]) -> None:
    try:
        with now.stores.writing() as conn:
            change(conn)
    except OverError:
        # It was open when the page was drawn: somebody else, or a tick, was faster than the click.
        st.error("this incident is over already; reload the page")
    except EarshotError as error:
        st.error(str(error))
        return
    st.rerun()
