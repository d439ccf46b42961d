"""Incidents, as Streamlit runs a page; the code is in `dashboard.incident`."""

from dashboard.incident import show

show()
