"""Everything that speaks SQL: loads, metrics, the state, the review; `python -m queries`.

It may import config alone.
"""

import config
