"""What Streamlit runs at each interaction: compiled each time, so the code is in modules, which are compiled once."""

from dashboard.navigation import navigate

navigate()
