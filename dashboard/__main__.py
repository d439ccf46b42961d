"""`python -m dashboard`: serve the pages."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("config", "queries", "triggers", "dashboard")


def main() -> int:
    """Serve until interrupted. Returns the exit status: 0 done, 1 refused."""
    os.umask(0o077)
    # Another installation may hold packages of these names.
    origins = {name: spec.origin if (spec := find_spec(name)) else None for name in PACKAGES}
    foreign = [name for name, at in origins.items() if at is None or Path(at).resolve().parents[1] != CHECKOUT]
    if foreign:
        print(f"{', '.join(foreign)} would come from another installation; run this in {CHECKOUT}", file=sys.stderr)
        return 1
    from dashboard.server import serve  # noqa: PLC0415 - nothing of ours is imported before that is known to be ours

    return serve()


if __name__ == "__main__":
    sys.exit(main())
