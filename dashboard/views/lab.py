"""The threshold lab, as Streamlit runs a page; the code is in `dashboard.lab.page`."""

from dashboard.lab.page import show
from dashboard.navigation import run_page

run_page("lab", show)
