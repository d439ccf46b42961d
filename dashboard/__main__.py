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
    if foreign := [name for name in PACKAGES if not _is_ours(name)]:
        print(f"{', '.join(foreign)} would come from another installation; run this in {CHECKOUT}", file=sys.stderr)
        return 1
    from dashboard.server import serve  # noqa: PLC0415 - nothing of ours is imported before that is known to be ours

    return serve()


def _is_ours(package: str) -> bool:
    """Whether a package comes from this checkout: another one of that name may be installed."""
    found = find_spec(package)
    return found is not None and found.origin is not None and Path(found.origin).resolve().parents[1] == CHECKOUT


if __name__ == "__main__":
    sys.exit(main())
