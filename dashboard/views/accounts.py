"""The accounts, as Streamlit runs a page; the code is in `dashboard.accounts.page`."""

from dashboard.accounts.page import show
from dashboard.navigation import run_page

run_page("accounts", show)
