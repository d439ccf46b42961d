"""Incidents, as Streamlit runs a page; the code is in `dashboard.incident.page`."""

from dashboard.incident.page import show

show()
