"""`python -m dashboard`: serve the pages."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("config", "queries", "triggers", "dashboard")


HELP = """Serve the pages until Ctrl+C. The port, the address and who may look are settings: `port`, `host` and
`open_mode` under [dashboard] in settings.toml, or EARSHOT_DASHBOARD__PORT and so on in the environment."""


def main(arguments: Sequence[str] = ()) -> int:
    """Serve until interrupted. Returns the exit status: 0 done, 1 refused."""
    ArgumentParser("python -m dashboard", description=HELP).parse_args(arguments)
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
    sys.exit(main(sys.argv[1:]))
