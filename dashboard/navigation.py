"""The pages: what each is called and who may open it. Its address, its file and its door follow from here."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st

from config import ConfigError
from dashboard import markup
from dashboard.page_session import PageSession, banners, page_session
from queries.operations import refusal
from queries.warehouse import NoWarehouseError

FOLDER: Final = Path(__file__).parent
ICON: Final = f"data:image/png;base64,{b64encode((FOLDER / 'assets' / 'favicon.png').read_bytes()).decode('ascii')}"
"""Not as a file: Streamlit forgets a session's files at each run, and the browser may ask for one in between."""
LOOK: Final = f"<style>{(FOLDER / 'assets' / 'look.css').read_text(encoding='utf-8')}</style>"


def _lab_refusal(session: PageSession) -> str:
    scope = session.viewer.scope
    pages = {audience.name: audience.pages for audience in session.catalog.audiences}
    if "lab" not in pages.get(scope.role, ()):
        return "The lab is for analysts; audiences.toml says who opens it."
    # A replay reads every row that the rule reads: narrowed to a scope, its figures would be of another rule.
    if any(limit is not None for limit in (scope.verticals, scope.touchpoints, scope.accounts)):
        return "The lab replays rules over everybody's data, and you may see a part of it."
    return ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `refusal` says why a viewer may not open it, or nothing; without one it is open to all."""

    name: str
    title: str
    icon: str
    is_first: bool = False
    refusal: Callable[[PageSession], str] | None = None

    @property
    def view(self) -> Path:
        """What Streamlit runs."""
        return FOLDER / "views" / f"{self.name}.py"

    @property
    def link(self) -> str:
        """Its address, as links in Slack and elsewhere have it."""
        return "/" if self.is_first else f"/{self.name}"


PAGES: Final = (
    Page("review", "Review", ":material/article:", is_first=True),
    Page("incident", "Incidents", ":material/notifications:"),
    Page("lab", "Lab", ":material/science:", refusal=_lab_refusal),
)


def navigate() -> None:
    """Route to a page. What stops a page is said on the page: where it is wrong and what to do."""
    # Before the pages are named: a browser would ask the internet for the icon of the one that is open.
    st.set_page_config(page_icon=ICON, layout="wide")
    # Paths, not functions: a page's imports wait until it is opened, and the tests' `switch_page` needs a file.
    pages = [st.Page(page.view, title=page.title, icon=page.icon, default=page.is_first) for page in PAGES]
    chosen = st.navigation(pages, position="top")
    st.set_page_config(page_title=f"{chosen.title} – Earshot")
    st.html(LOOK)
    with st.container(key="page"):
        try:
            chosen.run()
        except ConfigError as error:
            st.html(markup.section("The configuration has mistakes", "Correct these lines; the page reads them again."))
            st.html(markup.mistake_list(error.mistakes))
        except NoWarehouseError:
            lede = "Load some with one of these commands."
            st.html(markup.section("No data yet", lede))
            st.html(markup.notice("A made-up company, to look around:", command="python -m queries demo"))
            st.html(markup.notice("Your own files:", command="python -m queries load SOURCE --data DIR"))
            st.html(markup.notice("Then evaluate the rules:", command="python -m triggers run --once"))
        except Exception as error:
            told = refusal(error)
            if told is None:
                raise
            st.html(markup.section("This page cannot be shown"))
            st.html(markup.notice(str(told), attention=True))


def run_page(name: str, show: Callable[[PageSession], None]) -> None:
    """One page run, for whoever may open the page; others are told why not."""
    page = next(page for page in PAGES if page.name == name)
    with page_session() as session:
        refusal = page.refusal(session) if page.refusal else ""
        if refusal:
            banners(session)
            st.html(markup.notice(refusal, attention=True))
            return
        show(session)
