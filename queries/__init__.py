"""Everything that speaks SQL: loads, metrics, the state, the review; `python -m queries`.

It may import config alone.
"""

import config  # noqa: F401 - it says how many threads numpy may use, before numpy is imported
