"""The pages, and what every page begins with."""

from pathlib import Path

import streamlit as st

from config.errors import ConfigError, EarshotError
from dashboard import markup
from queries.warehouse.generations import NoWarehouseError

HERE = Path(__file__).parent


def navigate() -> None:
    """Route to a page. What stops a page is said on the page: where it is wrong and what to do."""
    st.set_page_config(page_title="Earshot", page_icon=str(HERE / "assets" / "favicon.png"), layout="wide")
    st.html(HERE / "assets" / "look.css")
    pages = [
        st.Page(HERE / "views" / "review.py", title="Review", icon=":material/article:", default=True),
        st.Page(HERE / "views" / "incident.py", title="Incidents", icon=":material/notifications:"),
        st.Page(HERE / "views" / "lab.py", title="Lab", icon=":material/science:"),
    ]
    page = st.navigation(pages, position="top")
    with st.container(key="page"):
        _shown(page)


def _shown(page: st.Page) -> None:
    try:
        page.run()
    except ConfigError as error:
        st.html(markup.section("The configuration has mistakes", "Correct these lines; the page reads them again."))
        st.html(markup.mistake_list(error.mistakes))
    except NoWarehouseError:
        _nothing_loaded()
    except EarshotError as error:
        st.html(markup.section("This page cannot be shown"))
        st.html(markup.notice(str(error), attention=True))


def _nothing_loaded() -> None:
    st.html(markup.section("Nothing is loaded yet", "Earshot shows what it has been given. Fill it with one of these."))
    st.html(markup.notice("A made-up company, to look around:", command="python -m queries demo"))
    st.html(markup.notice("Your own files:", command="python -m queries load SOURCE --data DIR"))
    st.html(markup.notice("Then let the rules look at it:", command="python -m triggers run --once"))
