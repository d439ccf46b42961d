"""One page served by Streamlit alone: `python tests/benchmarks/streamlit_alone.py PAGE PORT COLLECTS`.

COLLECTS is `as-is` or `never`: whether Streamlit collects garbage after each run, as it does by itself.
"""

import sys
from pathlib import Path

import streamlit as st

if __name__ == "__main__":
    page, port, collects = sys.argv[1:]
    options = {"server.port": int(port), "server.address": "127.0.0.1", "server.headless": True}
    options |= {"browser.gatherUsageStats": False, "server.fileWatcherType": "none"}
    if collects == "never":
        options["runner.postScriptGC"] = False
    st.App(Path(page).resolve()).run(config=options)
