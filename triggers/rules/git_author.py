"""Who wrote the rules as they are now, as far as git or the login can tell."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

RULES: Final = "triggers.toml"
TIMEOUT_S: Final = 10


def author(folder: Path) -> str | None:
    """Who wrote the rules of a config folder last; None where git does not keep them.

    Args:
        folder: the config folder. A `triggers.toml` as it was committed is by who committed it last; one with changes
            is by who is at this machine: git's `user.name`, else the login.
    """
    git = shutil.which("git")
    if git is None or _said(git, folder, "rev-parse", "--is-inside-work-tree") != "true":
        return None
    changes = _said(git, folder, "status", "--porcelain", "--", RULES)
    if changes is None:
        return None
    if not changes:
        return _said(git, folder, "log", "-1", "--format=%an", "--", RULES) or None
    if name := _said(git, folder, "config", "user.name"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _said(git: str, folder: Path, *words: str) -> str | None:
    """What git prints; None where it refuses."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours
            [git, "-C", str(folder), *words],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environ,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
