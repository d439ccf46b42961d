"""The monthly review, as Streamlit runs a page; the code is in `dashboard.review.page`."""

from dashboard.review.page import show

show()
