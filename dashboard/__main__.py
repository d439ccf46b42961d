"""`python -m dashboard`: serve the pages."""

import sys
from pathlib import Path

import config
import dashboard
import queries
import triggers
from config.errors import EarshotError
from config.settings import Settings, read_settings

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Serve until interrupted. Returns the exit code."""
    foreign = [
        p.__name__
        for p in (config, dashboard, queries, triggers)
        if Path(str(p.__file__)).resolve().parents[1] != HERE.parent
    ]
    if foreign:
        print(f"dashboard: {', '.join(foreign)} would come from another installation; run this from {HERE.parent}")
        return 2
    try:
        settings = read_settings()
    except EarshotError as error:
        print(f"dashboard: the settings have mistakes\n{error}")
        return 2
    _serve(settings)
    return 0


def _serve(settings: Settings) -> None:
    from dashboard.serving import app, options  # noqa: PLC0415 - the settings are checked before Streamlit is imported

    print(f"dashboard: {settings.dashboard.public_url} (Ctrl+C stops it)", flush=True)
    app().run(config=options(settings))


if __name__ == "__main__":
    sys.exit(main())
