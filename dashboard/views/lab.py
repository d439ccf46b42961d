"""The threshold lab, as Streamlit runs a page; the code is in `dashboard.lab`."""

from dashboard.lab import show

show()
