"""Where a review is closed: by whom, and what is kept of it."""

from dataclasses import replace
from typing import Final

import streamlit as st
from markupsafe import Markup
from sqlalchemy import Connection

from dashboard import markup as parts
from dashboard.cache import Key
from dashboard.page_session import PageSession
from dashboard.review import data
from dashboard.viewer import Viewer
from queries.engine import naive
from queries.review import Review
from queries.review.compose import within
from queries.review.stored_document import StoredDocument, document_json
from queries.state import COMPANY, ClosedReview, ClosedReviewError, record_closed_review, refuse_closed

ALL: Final = 1_000_000
"""More than any review holds: each reader sees of the document what their own page may show."""


def may_close(viewer: Viewer, vertical: str | None) -> bool:
    """Whether a reader may close the review of a vertical, or the company's where that is None.

    The company's is closed by an executive or an analyst who sees everything, a vertical's by its general manager.
    """
    scope, audience = viewer.scope, viewer.audience
    if audience is None or "review" not in audience.pages:
        return False
    if vertical is None:
        return scope.is_everything and scope.role in {"executive", "analyst"}
    # An analyst who looks at the page as somebody else sees it closes nothing in that one's place.
    is_own = scope.verticals is not None and vertical in scope.verticals and not viewer.can_see_as
    return is_own and scope.role == "gm" and scope.touchpoints is None and scope.accounts is None


def close_form(session: PageSession, key: Key, review: Review) -> Markup:
    """Draw the form that closes the review, for who may, or return why it cannot be closed yet."""
    if not may_close(session.viewer, review.vertical):
        return Markup()
    if not review.financials_open:
        return parts.notice("The review can be closed once every key issue has an owner and a decision.")
    slot = st.expander("Close the review", key=f"closing-{review.month}-{review.vertical}", on_change="rerun")
    if slot.open:
        with (
            slot,
            st.form(session.own_key(f"close-{review.month}-{review.vertical}"), border=False, enter_to_submit=False),
        ):
            _form(session, key, review)
    return Markup()


def _form(session: PageSession, key: Key, review: Review) -> None:
    name = f"{review.month}-{review.vertical}"
    # What is closed is what was looked at: the page may have changed since.
    seen = session.own_key(f"seen-{name}")
    st.session_state.setdefault(seen, _text(review, key))
    st.html(
        parts.bullets(
            (
                "The figures, the decisions and who was present are kept as they stand. This cannot be undone.",
                "What is decided later is recorded in a later month's review.",
            )
        )
    )
    present = st.text_input("Who was present", key=session.own_key(f"present-{name}"), max_chars=500) or ""
    if not st.form_submit_button("Close the review", type="primary"):
        return

    def close(conn: Connection) -> None:
        refuse_closed(conn, review.month, review.vertical or COMPANY)
        # Made anew in this transaction, in which nobody else decides anything: and no figure of it is left out.
        made = data.review(key, session.pin, conn, replace(data.budget_of(key), figures=ALL, charts=ALL))
        text = _text(within(made, data.budget_of(key)), key)
        if text != st.session_state[seen]:
            st.session_state[seen] = text
            raise ClosedReviewError("the review has changed since you opened this form; check it, then close it again")
        if not made.financials_open:
            raise ClosedReviewError("an issue still needs an owner and a decision; record them first")
        kept = ClosedReview(
            review.month,
            review.vertical or COMPANY,
            data.scope_text(key.scope),
            naive(session.now),
            session.viewer.name,
            present.strip(),
            made.generation,
            _text(made, key),
        )
        record_closed_review(conn, kept)
        st.toast("The review is closed.")

    session.write(close)


def _text(review: Review, key: Key) -> str:
    return document_json(StoredDocument(review, key.currency))
