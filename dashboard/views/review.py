"""The monthly review, as Streamlit runs a page; the code is in `dashboard.review`."""

from dashboard.review import show

show()
