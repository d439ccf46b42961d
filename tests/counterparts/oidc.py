"""An OpenID Connect provider, as far as the tests need it: npm's oidc-provider, on loopback.

Its own pages ask for an address and a password (any will do), then for consent. Claims stand in the ID token.
"""

import json
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
CLIENT: Final = {"id": "earshot", "secret": "only-for-tests"}


def missing() -> str | None:
    """Why the provider cannot run here, or None."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (HERE / "node_modules" / "oidc-provider").is_dir():
        return "the provider is not installed: npm ci --prefix tests/counterparts"
    return None


@contextmanager
def provider(redirect: str, unverified: Collection[str] = (), seconds: int = 3600) -> Iterator[str]:
    """Start it on a free loopback port, and give its address. It ends with the `with`, and when this process dies."""
    settings = {"redirect": redirect, "client": CLIENT, "unverified": [*unverified], "seconds": seconds}
    command = ["node", "oidc.mjs", json.dumps(settings)]
    with subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            lines = (line for line in process.stdout if line.startswith("{"))
            yield json.loads(next(lines))["url"]
        finally:
            process.stdin.close()
            process.wait(10)
