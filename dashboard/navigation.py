"""The pages: what each is called and who may open it. Its address, its file and its door follow from here."""

from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st
from markupsafe import Markup

from config import ConfigError
from dashboard import markup
from dashboard.page_session import SEE_AS, PageSession, banners, begin_page, page_session
from dashboard.viewer import NotKnownError, NotSignedInError
from queries.operations import refusal
from queries.warehouse import NoWarehouseError

FOLDER: Final = Path(__file__).parent
ICON: Final = f"data:image/png;base64,{b64encode((FOLDER / 'assets' / 'favicon.png').read_bytes()).decode('ascii')}"
"""Not as a file: Streamlit forgets a session's files at each run, and the browser may ask for one in between."""


def _lab_refusal(session: PageSession) -> str:
    scope = session.viewer.scope
    # A replay reads every row that the rule reads: narrowed to a scope, its figures would be of another rule.
    if any(limit is not None for limit in (scope.verticals, scope.touchpoints, scope.accounts)):
        return "The lab replays rules over everybody's data, and you may see a part of it."
    return ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page. It is open to the audiences that have its `word` in audiences.toml.

    `refusal` says why a viewer may not open it all the same, or nothing.
    """

    name: str
    word: str
    title: str
    icon: str
    is_first: bool = False
    refusal: Callable[[PageSession], str] = lambda _session: ""

    @property
    def view(self) -> Path:
        """What Streamlit runs."""
        return FOLDER / "views" / f"{self.name}.py"

    def refused(self, session: PageSession) -> str:
        """Why its viewer may not open it, or nothing."""
        if not session.opens(self.word):
            return f"This page is not for you: audiences.toml does not list “{self.word}” among your pages."
        return self.refusal(session)

    @property
    def link(self) -> str:
        """Its address, as links in Slack and elsewhere have it."""
        return "/" if self.is_first else f"/{self.name}"


PAGES: Final = (
    Page("review", "review", "Review", ":material/article:", is_first=True),
    Page("incident", "incidents", "Incidents", ":material/notifications:"),
    Page("accounts", "accounts", "Accounts", ":material/domain:"),
    Page("lab", "lab", "Lab", ":material/science:", refusal=_lab_refusal),
)


_opened: Final = ContextVar[PageSession]("opened")


def navigate() -> None:
    """Route to a page. What stops a page is said on the page: where it is wrong and what to do."""
    # Before the pages are named: a browser would ask the internet for the icon of the one that is open.
    st.set_page_config(page_icon=ICON, layout="wide")
    with ExitStack() as stack:
        session, problem = None, None
        try:
            session = stack.enter_context(page_session())
        except Exception as error:  # noqa: BLE001 - said on the page, or raised there
            problem = error
        chosen = _chosen(session, is_told_nothing=isinstance(problem, NotSignedInError | NotKnownError))
        st.set_page_config(page_title=f"{chosen.title} – Earshot")
        with st.container(key="page"):
            if session is not None:
                _opened.set(session)
                try:
                    begin_page(chosen.title)
                    chosen.run()
                except Exception as error:  # noqa: BLE001
                    problem = error
            if problem is not None and not _said(problem):
                raise problem
            if session and session.viewer.email:
                _foot(session, session.viewer.email)


def _chosen(session: PageSession | None, *, is_told_nothing: bool) -> st.Page:
    """The page that the address asks for. What its reader may not open is not listed, and says so if asked for."""
    # Paths, not functions: a page's imports wait until it is opened, and the tests' `switch_page` needs a file.
    pages = {
        page: st.Page(
            page.view,
            title=page.title,
            icon=page.icon,
            default=page.is_first,
            visibility="hidden" if session and page.refused(session) else "visible",
        )
        for page in PAGES
    }
    chosen = st.navigation([*pages.values()], position="hidden" if is_told_nothing else "top")
    if session:
        session.pages.update((page.name, made) for page, made in pages.items())
    if session and chosen is pages[PAGES[0]] and chosen.visibility == "hidden":
        for page in pages.values():
            if page.visibility == "visible":
                st.switch_page(page)
    return chosen


def _said(error: Exception) -> bool:
    """Say on the page what stops it, and what to do; False for what nobody foresaw."""
    if isinstance(error, ConfigError):
        st.html(markup.section("The configuration has mistakes", "Correct these lines; the page reads them again."))
        st.html(markup.mistake_list(error.mistakes))
    elif isinstance(error, NoWarehouseError):
        st.html(markup.section("No data yet", "Load some with one of these commands."))
        st.html(markup.notice("A made-up company, to look around:", command="python -m queries demo"))
        st.html(markup.notice("Your own files:", command="python -m queries load SOURCE --data DIR"))
        st.html(markup.notice("Then evaluate the rules:", command="python -m triggers run --once"))
    elif isinstance(error, NotSignedInError | NotKnownError):
        st.html(markup.section("Earshot", str(error)))
        if isinstance(error, NotKnownError):
            st.button("Sign in as somebody else", on_click=st.logout, type="primary")
        elif error.can_sign_in:
            st.button("Sign in", on_click=st.login, type="primary")
    elif (told := refusal(error)) is not None:
        st.html(markup.section("This page cannot be shown"))
        st.html(markup.notice(str(told), attention=True))
    else:
        return False
    return True


def _foot(session: PageSession, email: str) -> None:
    """Who is signed in, and for analysts as whom else to see the pages."""
    with st.container(key="signed-in", horizontal=True, vertical_alignment="center"):
        st.html(Markup('<p class="e-lede">Signed in as {}</p>').format(email))
        st.button("Sign out", on_click=st.logout, type="tertiary")
        if session.viewer.can_see_as:
            # With their names: of two who are labelled alike Streamlit would choose the other one.
            labels = {person.name: f"{person.label} ({person.name})" for person in session.catalog.people}
            others = [name for name in labels if name != session.viewer.name]
            st.selectbox("See as", others, None, labels.__getitem__, SEE_AS, placeholder="yourself", width=260)


def run_page(name: str, show: Callable[[PageSession], None]) -> None:
    """One page run, for whoever may open the page; others are told why not."""
    session = _opened.get()
    page = next(page for page in PAGES if page.name == name)
    if refused := page.refused(session):
        banners(session)
        st.html(markup.notice(refused, attention=True))
        return
    show(session)
