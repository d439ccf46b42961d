"""A minimal page: eight Altair charts from one table of 4,320 rows, as anybody would write it."""

from datetime import date, timedelta

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st


@st.cache_data
def table() -> pd.DataFrame:
    """540 days x 8 verticals."""
    days = [date(2025, 5, 1) + timedelta(days=i) for i in range(540)]
    rng = np.random.default_rng(1)
    rows = [(day, f"vertical {v}") for day in days for v in range(8)]
    return pd.DataFrame(rows, columns=["day", "vertical"]).assign(score=rng.normal(30, 5, len(rows)))


for name, rows in table().groupby("vertical"):
    monthly = rows.assign(month=pd.to_datetime(rows["day"]).dt.to_period("M").dt.to_timestamp())
    points = monthly.groupby("month", as_index=False)["score"].mean()
    st.altair_chart(alt.Chart(points, title=str(name)).mark_line().encode(x="month:T", y="score:Q"))
