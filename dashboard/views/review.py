"""The monthly review, as Streamlit runs a page; the code is in `dashboard.review.page`."""

from dashboard.navigation import run_page
from dashboard.review.page import show

run_page("review", show)
