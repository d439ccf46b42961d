"""The monthly review: the meeting runs on this page. Issues and actions first, financials last."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Any, Final

import streamlit as st
from markupsafe import Markup
from sqlalchemy import Connection
from streamlit.delta_generator import DeltaGenerator

from dashboard import markup as parts
from dashboard.cache import STATE_ENTRIES, Key, shared
from dashboard.page_session import EVERY_FUNCTION, PageSession, banner_lines, banners, follow_address
from dashboard.review import charts, closing, data, files, guessing, markup, meeting
from queries.metrics import count, moment_words
from queries.review import EVERYWHERE, Issue, Review
from queries.state import COMPANY, NewAction, Override, parse_effect, record_override
from triggers.incidents import take_action

DRAFTS: Final = "drafts"
"""Where it is kept what each form of an issue held when it was last drawn."""
FORWARD: Final = ":material/arrow_forward:"


def show(session: PageSession) -> None:
    """The page: one month, all of it or one vertical's or function's part (`?month=2026-10&vertical=Payments`)."""
    top = st.container(key=meeting.controls(), horizontal=True, vertical_alignment="bottom")
    key, function = _choose(session, top)
    if key is None:
        banners(session)
        st.html(parts.notice("There is no month of data you have access to.", command="python -m queries status"))
        return
    newest = st.query_params.get("figures") == markup.NEWEST
    written = data.written_review(key, session.changes, session.pin, session.state, newest=newest, function=function)
    review, is_open = written.review, written.closed is None
    screen = meeting.screen_of(review)
    metric = None
    if figures := guessing.unguessed(session, review):
        guessing.ask(session, review, figures)
        banners(session)
        return
    if lost := _unrecorded(review, is_open=is_open):
        meeting.close_form()
        st.html(parts.stacked(*lost))
    if screen is not None:
        meeting.bar(review, screen)
    with meeting.stage(screen):
        if not screen:
            said = [] if screen == 0 else banner_lines(session)
            guessed = guessing.guess_lines(session, review)
            st.html(parts.stacked(*said, written.above, *guessed, written.heading))
        if screen is None or 0 < screen < meeting.last_screen(review):
            _issues(session, review, written.issues, screen, is_open=is_open)
        if screen in {None, meeting.last_screen(review)}:
            metric = _after_issues(session, key, written)
    if screen is not None:
        banners(session)
    # The downloads stand at the top and are made last: they hold the chart's metric, which is chosen on its way.
    with top:
        _downloads(review, metric, markup.NEWEST if newest else None)


def _after_issues(session: PageSession, key: Key, written: data.WrittenReview) -> str | None:
    """The goals, what improved, the financials, and the form that closes the review. Returns the chart's metric."""
    review, is_open = written.review, written.closed is None
    metric = _against_goals(written.key, review)
    st.html(written.below)
    # The company's financials are opened by who sees the company; a vertical's on the page of the vertical.
    whole = is_open and not review.function  # the part of one function opens and closes nothing
    if whole and not review.financials_open and (review.vertical or key.scope.is_everything):
        _override(session, review)
    # In one element: each that a run draws is sent to every viewer at every click.
    note = closing.close_form(session, key, review) if whole else Markup()
    st.html(parts.stacked(note, written.calendar))
    return metric


def _choose(session: PageSession, top: DeltaGenerator) -> tuple[Key | None, str | None]:
    """The month, the vertical and the function of the link, or the newest full month of all of them."""
    months = data.months(session.key, session.pin)
    if not months.all or months.usual is None:
        return None, None
    named = {f"{month:%Y-%m}": month for month in reversed(months.all)}
    verticals = data.verticals(session.key, session.pin)
    on_month = follow_address("month", {name: name for name in named}, f"{months.usual:%Y-%m}")
    on_vertical = follow_address("vertical", {name: name for name in verticals}, None)
    functions, function = session.catalog.functions, None
    on_function = follow_address("function", {name: name for name in functions}, None)

    def chosen(follow: Callable[[], None]) -> Callable[[], None]:
        def change() -> None:
            follow()
            st.query_params.pop("figures", None)  # the newest figures were asked for of one review

        return change

    with top:
        month = st.selectbox(
            "Month",
            [*named],
            key="month",
            on_change=chosen(on_month),
            width=190,
            format_func=lambda name: f"{named[name]:%B %Y}",
        )
        vertical = st.selectbox(
            "Vertical",
            verticals,
            None,
            key="vertical",
            on_change=chosen(on_vertical),
            placeholder=EVERYWHERE,
            width=280,
        )
        if functions:
            function = st.selectbox(
                "Function",
                functions,
                None,
                key="function",
                on_change=chosen(on_function),
                placeholder=EVERY_FUNCTION,
                width=220,
            )
    return session.key.of(named.get(month or "", months.usual), vertical), function


def _issues(
    session: PageSession, review: Review, written: Iterable[Markup], screen: int | None, *, is_open: bool
) -> None:
    """The issues, or the one of a meeting's screen."""
    for number, (issue, html) in enumerate(zip(review.issues, written, strict=True), start=1):
        if screen not in {None, number}:
            continue
        st.html(html)
        if issue.incidents and session.opens("incidents"):
            link, about = {"id": issue.incidents[0]}, f"{issue.what}, {issue.where}"
            st.page_link(
                session.pages["incident"],
                label="Evidence and history",
                icon=FORWARD,
                help=about,
                query_params=link,
            )
        if is_open and screen is None:
            _decide(session, review, issue)
        elif is_open and meeting.is_deciding():
            with st.form(session.own_key(f"form-{issue.id}-{review.month}"), border=False):
                _decision_form(session, review, issue)
    if screen is not None:
        return
    if review.further and session.opens("incidents"):
        st.page_link(
            session.pages["incident"],
            label=f"{review.further} more, less pressing: see the incidents",
            icon=FORWARD,
            query_params={"function": review.function} if review.function else None,
        )
    elif review.further:
        st.html(parts.bullets([f"{count(review.further)} more, less pressing."]))


def _decide(session: PageSession, review: Review, issue: Issue) -> None:
    """Where the meeting types the owner and the decision."""
    # A page has ten issues: forms that nobody opens would be sent to the browser at each interaction.
    # The same words and key whatever was decided: a form that changes them loses what somebody has typed into it.
    key = f"deciding-{issue.id}-{review.month}"
    slot = st.expander("Record owner and decision", key=key, on_change="rerun")
    if slot.open:
        with slot, st.form(session.own_key(f"form-{issue.id}-{review.month}"), border=False):
            _decision_form(session, review, issue)


def _decision_form(session: PageSession, review: Review, issue: Issue) -> None:
    """The form of one issue. What was typed stays, also where somebody else was faster."""
    made, begun = issue.decision, session.own_key(f"begun-{issue.id}-{review.month}")
    fields: dict[str, Any] = {"owner": issue.suggested_owner, "decision": "", "due": None, "effect": ""}
    if made:
        known = "" if made.expected_effect is None else f"{made.expected_effect:g}"
        fields = {"owner": made.owner, "decision": made.what, "due": made.due_on, "effect": known}
    keys = {name: session.own_key(f"{name}-{issue.id}-{review.month}") for name in fields}
    if begun not in st.session_state:
        st.session_state[begun] = made.id if made else None
    for name, key in keys.items():
        st.session_state.setdefault(key, fields[name])
    owner = st.text_input("Owner", key=keys["owner"], max_chars=120)
    text = st.text_area("Decision", key=keys["decision"], max_chars=1000, height=90)
    due = st.date_input("Due", key=keys["due"], format="YYYY-MM-DD")
    effect = st.text_input("Expected change of the figure", key=keys["effect"], placeholder="-5%", max_chars=20)
    pressed = st.form_submit_button("Record", type="primary")
    drafts = st.session_state.setdefault(DRAFTS, {})
    drafts[review.month, issue.id] = (
        f"{issue.what}, {issue.where}",
        {key: st.session_state[key] for key in keys.values()},
    )
    if made is not None and made.id != st.session_state[begun]:
        at = moment_words(made.recorded_at, session.key.tz)
        theirs = f"{made.author} recorded a decision meanwhile ({at}): {made.owner}, “{made.what}”."
        st.warning(
            f"{theirs} Yours is not recorded{'. Press Record once more to put it in its place' if pressed else ''}."
        )
        if pressed:
            st.session_state[begun] = made.id
    elif pressed:
        new = NewAction(
            what=text or "",
            owner=owner or "",
            started_on=session.key.day,
            due_on=due,
            incident_id=issue.incidents[0] if issue.incidents else None,
            vertical=issue.vertical,
            metric=issue.metric,
            month=review.month,
            review=review.vertical or COMPANY,
            issue=issue.id,
            function=issue.function,
        )
        left = review.undecided - (made is None)

        def change(conn: Connection) -> None:
            told = replace(new, expected_effect=parse_effect(effect or ""))
            by = session.viewer.name
            taken = take_action(conn, told, by, session.now, catalog=session.catalog, zone=session.key.tz)
            st.session_state[begun] = taken.id
            meeting.close_form()
            rest = (
                f"{count(left)} {'issue' if left == 1 else 'issues'} left to decide"
                if left
                else "Every issue is decided"
            )
            st.toast(f"Recorded. {rest}.")

        session.write(change)


def _unrecorded(review: Review, *, is_open: bool) -> list[Markup]:
    """What was typed into a form that is no more: the review was closed meanwhile, or the issue is over."""
    drafts: dict[tuple[date, str], tuple[str, dict[str, Any]]] = st.session_state.setdefault(DRAFTS, {})
    drawn = {(review.month, issue.id) for issue in review.issues} if is_open else set()
    lines = []
    for place in [place for place in drafts if place not in drawn]:
        what, before = drafts.pop(place)
        typed = {key: st.session_state.get(key, value) for key, value in before.items()}
        # A form that was only left has what it was drawn with.
        if typed != before:
            words = ", ".join(str(value) for value in typed.values() if value not in {None, ""})
            why = f"“{what}” is no key issue any more" if is_open else "The review was closed meanwhile"
            lines.append(parts.notice(f"{why}. What you typed was not recorded: {words}", attention=True))
    return lines


def _against_goals(key: Key, review: Review) -> str | None:
    """The chart; returns the metric it shows, None for all metrics of one vertical."""
    title = f"{review.vertical} against its goals" if review.vertical else "Verticals against their goals"
    st.html(parts.section(title))
    metrics = {s.metric.name: s.metric.label for s in review.standings}
    if not metrics:
        st.html(parts.notice("No metric of the review has data.", command="python -m queries status"))
        return None
    chosen = None
    if not review.vertical:
        # The most missed, and of those the configuration's first: the chart must not change with a hash's order.
        missed = [s.metric.name for s in review.standings if s.verdict == "missed" and s.vertical]
        first = max(metrics, key=lambda name: (missed.count(name), -[*metrics].index(name)))
        on_change = follow_address("metric", {name: name for name in metrics}, first)
        chosen = st.segmented_control(
            "Metric",
            [*metrics],
            required=True,
            format_func=lambda name: metrics.get(name, name),
            key="metric",
            on_change=on_change,
            label_visibility="collapsed",
        )
        chosen = chosen or first
    _draw_goals(key, review, chosen)
    return chosen


@shared(entries=STATE_ENTRIES)
def _draw_goals(key: Key, _review: Review, metric: str | None) -> None:
    """The chart, and its figures for a phone. What a cached function draws, Streamlit keeps and sends again."""
    drawn = data.shown_standings(_review, metric)
    st.html(markup.goals(charts.figures(drawn, one_scale=metric is not None)))
    alt = charts.describe(drawn, _review.month)
    st.vega_lite_chart(data.goals_spec(key, _review, metric), width="content", alt=alt)


def _override(session: PageSession, review: Review) -> None:
    """Where the financials are opened with issues undecided."""
    name = f"overrule-{review.month}-{review.vertical}"
    slot = st.popover("Show anyway", key=name, type="tertiary", on_change="rerun")
    if slot.open:
        with slot, st.form(session.own_key("overrule"), border=False):
            reason = st.text_input("Why (it is kept with the review)", max_chars=300) or ""
            if st.form_submit_button("Open the financials"):
                new = Override(session.viewer.name, reason, session.now.replace(tzinfo=None))
                session.write(lambda conn: record_override(conn, review.month, review.vertical, new))


def _downloads(review: Review, metric: str | None, figures: str | None) -> None:
    """The chart that is shown as PNG and SVG, and every table as CSV."""
    slot = st.popover("Download", icon=":material/download:", key="downloads", type="tertiary", on_change="rerun")
    if not slot.open:
        return
    names = {**files.DOCUMENTS, **(files.CHARTS if review.standings else {}), **files.TABLES}
    if review.financials_open and not review.no_money:
        names |= files.REVENUE
    with slot:
        shown = {"vertical": review.vertical, "function": review.function, "metric": metric, "figures": figures}
        st.html(markup.downloads(files.links(names, f"{review.month:%Y-%m}", **shown)))
