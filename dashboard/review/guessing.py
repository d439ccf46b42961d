"""Guess first: what a reader expects of the month's figures, asked before the page shows any of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import streamlit as st
from markupsafe import Markup

from config.models import Metric
from dashboard import markup as parts
from dashboard.page_session import PageSession
from dashboard.review import data
from queries.metrics import figure, goal_figure, half_width, interval, is_share, shown, signed_change, unit
from queries.review import EVERYWHERE, MetricStatus, Review
from queries.state import COMPANY, Guess, GuessError, read_guesses, record_guesses, was_shown

_MACROS: Final = parts.macros("review/guesses.html")
MOST: Final = 40
"""So many of a reader's earlier guesses are listed."""
LATE: Final = "You had guessed in another window before. That guess counts; what you entered here was not recorded."


def unguessed(session: PageSession, review: Review) -> tuple[MetricStatus, ...]:
    """The figures that its reader must guess before anything of a review is shown; none where the audience does not."""
    if not _is_asked(session):
        return ()
    known = _known(session)
    return tuple(one for one in _of(review) if not was_shown(known, review.month, one.vertical or COMPANY))


def refuse_unguessed(session: PageSession, review: Review) -> None:
    """Raises GuessError where the reader has to guess before anything of a review is shown."""
    if unguessed(session, review):
        raise GuessError("the review asks for your guess before it shows a figure; open its page and guess first")


def _is_asked(session: PageSession) -> bool:
    audience = session.viewer.audience
    return audience is not None and audience.guess_first


def _known(session: PageSession) -> tuple[Guess, ...]:
    return read_guesses(session.state, session.viewer.name)


def _of(review: Review) -> Iterator[MetricStatus]:
    """The figures that a review is about: its vertical's, or the company's; of who sees a part, each vertical's."""
    of = {one.vertical for one in review.standings}
    places = {review.vertical} if review.vertical else {""} if "" in of else of
    return (
        one
        for one in review.standings
        if one.vertical in places and one.point.status in {"ok", "immature"} and one.point.value is not None
    )


def ask(session: PageSession, review: Review, figures: Iterable[MetricStatus]) -> None:
    """The form, in place of the review."""
    name, figures = f"{review.month}-{review.vertical}", tuple(figures)
    st.html(_header(review))
    entered = {}
    # Enter leads nowhere: what is shown by accident is never asked again.
    with st.form(session.own_key(f"guess-{name}"), border=False, enter_to_submit=False):
        for one in figures:
            key = _key(session, review, one)
            least, most = (0.0, 100.0) if is_share(one.metric) else (None, None)
            label = _label(one, review)
            entered[key] = st.number_input(label, least, most, value=None, step=1.0, format="%g", key=key, width=360)
        if not st.form_submit_button("Show the figures", type="primary"):
            return
    at, made = session.now.replace(tzinfo=None), []
    for one in figures:
        where = review.month, one.vertical or COMPANY, one.metric.name, _scope(session, one.vertical)
        value, low, high = one.point.value or 0.0, one.point.low, one.point.high
        guessed = _read(one, entered[_key(session, review, one)])
        made.append(Guess(session.viewer.name, *where, guessed, value, low, high, review.generation, at))
    session.write(lambda conn: record_guesses(conn, made))


def _key(session: PageSession, review: Review, of: MetricStatus) -> str:
    return session.own_key(f"guess-{of.metric.name}-{of.vertical}-{review.month}")


def _read(of: MetricStatus, entered: float | None) -> float | None:
    """What was entered, in the metric's unit."""
    return None if entered is None else entered / shown(of.metric, 1)


def _scope(session: PageSession, vertical: str) -> str:
    """What the reader may see of a figure, as text."""
    return data.scope_text(session.key.scope.narrowed(vertical or None))


def guess_lines(session: PageSession, review: Review) -> tuple[Markup, ...]:
    """What the reader guessed of a review's figures and what they are, and how far off the earlier guesses were.

    A guess is shown to whoever made it, as long as they may see what they saw then.
    """
    if not _is_asked(session):
        return ()
    known = _known(session)
    places = {one.review: "" if one.review == COMPANY else one.review for one in known}
    scopes = {place: _scope(session, vertical) for place, vertical in places.items()}
    own = [one for one in known if one.scope == scopes[one.review]]
    figures = {(one.vertical or COMPANY, one.metric.name): one for one in _of(review)}
    of_month = {(one.review, one.metric): one for one in own if one.month == review.month}
    now = [of_month[place] for place in figures if place in of_month]
    earlier = [one for one in own if one.month < review.month and one.guessed is not None]
    # What a form's fields hold and nobody recorded was entered while another window was faster.
    entered = {one: st.session_state.get(_key(session, review, figures[one.review, one.metric])) for one in now}
    is_late = any(
        typed is not None and _read(figures[one.review, one.metric], typed) != one.guessed
        for one, typed in entered.items()
    )
    pieces = [parts.notice(LATE, attention=True)] if is_late else []
    metrics = {metric.name: metric for metric in session.catalog.metrics}
    return (*pieces, *_tables(now, earlier[:MOST], metrics))


def _header(review: Review) -> Markup:
    """What stands above the form in which a reader guesses the month's figures."""
    kicker, headline = (
        f"Monthly review · {review.vertical or EVERYWHERE}",
        f"What do you expect of {review.month:%B %Y}?",
    )
    return _MACROS.guess_header(kicker, headline)


def _label(of: MetricStatus, review: Review) -> str:
    """What is asked for: the figure, and where it is not clear from the page, of which vertical."""
    where = f", {of.vertical}" if of.vertical and not review.vertical else ""
    counted = f", in {unit(of.metric)}" if unit(of.metric) else ""
    goal = "" if of.goal is None else f" (goal {goal_figure(of.metric, of.goal)})"
    return f"{of.metric.label}{where}{counted}{goal}"


def _tables(now: Iterable[Guess], earlier: Sequence[Guess], metrics: Mapping[str, Metric]) -> list[Markup]:
    """What was guessed of the month's figures and what they are, and the guesses of earlier months in a table."""
    lines = []
    for one in now:
        if metric := metrics.get(one.metric):
            guessed, value, gap = _guess_words(metric, one)
            said = f"You guessed {guessed}" if guessed else "You made no guess"
            ends = interval(metric, one.low, one.high)
            where = "" if one.review == COMPANY else f", {one.review}"
            lines.append((f"{metric.label}{where}", f"{said}; it is {value}{f' ({ends})' if ends else ''}.", gap))
    rows = []
    for one in earlier:
        if metric := metrics.get(one.metric):
            where = EVERYWHERE if one.review == COMPANY else one.review
            rows.append((f"{one.month:%B %Y}", f"{metric.label}, {where}", *_guess_words(metric, one)))
    inside = sum(one.is_inside for one in earlier if one.metric in metrics)
    return [_MACROS.guesses(lines, rows, inside)] if lines or rows else []


def _guess_words(metric: Metric, guess: Guess) -> tuple[str, str, str]:
    """What was guessed, what it was, and the difference; nothing of the first and the last where nothing was."""
    half = half_width(guess.low, guess.high)
    value = figure(metric, guess.value, half)
    if guess.guessed is None:
        return "", value, ""
    return goal_figure(metric, guess.guessed), value, signed_change(metric, guess.guessed - guess.value, half)
