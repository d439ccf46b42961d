"""Rules, incidents and delivery: what is watched, and who hears of it; `python -m triggers`.

It may import queries and config, and never the dashboard.
"""

import config
