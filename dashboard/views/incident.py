"""Incidents, as Streamlit runs a page; the code is in `dashboard.incident.page`."""

from dashboard.incident.page import show
from dashboard.navigation import run_page

run_page("incident", show)
