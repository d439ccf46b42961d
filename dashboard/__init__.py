"""The pages, for people: Streamlit and its charts live here and nowhere else.

It may import queries, config, and the rooms of triggers that tests/project/test_imports.py names.
"""

import config
