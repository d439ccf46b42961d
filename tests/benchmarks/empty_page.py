"""A page that shows nothing: what Streamlit itself costs."""

import streamlit as st

st.empty()
