"""A config folder with one rule and one route, and the variables that point a process at it."""

import shutil
from pathlib import Path
from typing import Final

from tests.company import CONFIG

RULE: Final = """
[guard]
every = "7d"
window = "56d"
severity = 3
route = "delivery"
owner = "delivery-lead"

[[rule]]
name = "defects"
label = "Journeys with a defect"
kind = "threshold"
metric = "defect-rate"
by = ["vertical"]
limit = 0.25
recover = 0.20
floor = 0
keep_firing = "0d"
window = "28d"
every = "7d"
false_alarms_per_year = 6
severity = 2
route = "delivery"
owner = "delivery-lead"
"""
ROUTES: Final = """
[[route]]
name = "delivery"
{channel}

[[person]]
name = "delivery-lead"
label = "Head of delivery"
audience = "analyst"
"""


def configure(data: Path, channel: str | None = None, rules: str = RULE) -> dict[str, str]:
    """Write DATA/config, and return the variables of an installation whose stores lie in `data`."""
    config = data / "config"
    shutil.copytree(CONFIG, config, ignore=shutil.ignore_patterns("*.py", "__pycache__", "sources"))
    (config / "triggers.toml").write_text(rules, encoding="utf-8")
    named = f'channel = "{channel}"' if channel else ""
    (config / "routing.toml").write_text(ROUTES.format(channel=named), encoding="utf-8")
    return {"EARSHOT_CONFIG": str(config), "EARSHOT_DATA": str(data)}
