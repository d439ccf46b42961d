"""Meeting mode: the review one screen at a time, in large type, moved through by keyboard; the financials come last."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import streamlit as st

from queries.review import Review

SCREEN: Final = "meeting"
"""The parameter of the address: 0 is the summary, then come the issues, and then everything that follows them."""


def last_screen(review: Review) -> int:
    """The number of the screen after the issues."""
    return len(review.issues) + 1


def screen_of(review: Review) -> int | None:
    """The screen that the address asks for; None where the whole review is one page."""
    asked = st.query_params.get(SCREEN)
    if asked is None:
        return None
    return min(int(asked), last_screen(review)) if asked.isascii() and asked.isdigit() else 0


def controls() -> str:
    """The key of what chooses month, vertical and downloads: a meeting has them out of sight."""
    return "controls" if st.query_params.get(SCREEN) is None else "meeting-controls"


def stage(screen: int | None) -> AbstractContextManager[Any]:
    """What a screen is drawn in: larger than a page."""
    return nullcontext() if screen is None else st.container(key="meeting-stage")


def bar(review: Review, screen: int) -> None:
    """The buttons that lead through the meeting, each with its key."""
    last = last_screen(review)
    # While somebody types, no key leads away from what is typed.
    left, right, out = (None, None, None) if st.session_state.get(DECIDING) else ("Left", "Right", "Esc")
    with st.container(key="meeting-bar", horizontal=True, vertical_alignment="center"):
        st.button("Back", shortcut=left, on_click=_go, args=(screen - 1,), disabled=screen == 0)
        st.button("Next", shortcut=right, on_click=_go, args=(screen + 1,), disabled=screen == last, type="primary")
        st.button("Leave", shortcut=out, on_click=_go, args=(None,), type="tertiary")


def _go(screen: int | None) -> None:
    if screen is None:
        st.query_params.pop(SCREEN, None)
    else:
        st.query_params[SCREEN] = str(screen)
    close_form()


DECIDING: Final = "meeting-deciding"
"""Where it is kept whether the form of the screen's issue is open."""


def is_deciding() -> bool:
    """Whether the form of the screen's issue is open; the key that opens it is D."""
    if st.session_state.get(DECIDING):
        return True
    st.button("Decide", shortcut="D", on_click=_decide)
    return False


def close_form() -> None:
    """Have the screen without its form."""
    st.session_state.pop(DECIDING, None)


def _decide() -> None:
    st.session_state[DECIDING] = True
