"""What a backup holds: its files with their hashes, and what was erased by then."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from config.errors import EarshotError
from config.files import refuse_irregular

NAME: Final = "manifest.json"
FORMAT: Final = 1
JOURNAL, STATE_DUMP, WAREHOUSE_DUMP = "state.db", "state.dump", "warehouse.dump"
_BLOCK: Final = 1 << 20


class BadBackupError(EarshotError):
    """A folder is no backup, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup.

    Args:
        made_at: when it was begun, aware UTC: it holds everything up to then.
        state: `sqlite` or `postgresql`.
        warehouse: `duckdb` or `postgresql`; empty where nothing was loaded.
        generation: the warehouse's, 0 where nothing was loaded.
        files: the SHA-256 of each file.
        erased: the hashes of what was erased, with when (ISO, naive UTC).
    """

    made_at: datetime
    state: str
    warehouse: str
    generation: int
    files: Mapping[str, str]
    erased: Mapping[str, str]


def hash_file(file: Path) -> str:
    """The SHA-256 of a file's content."""
    known = sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            known.update(block)
    return known.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it beside its files."""
    raw = {"format": FORMAT, **asdict(manifest), "made_at": manifest.made_at.isoformat()}
    (folder / NAME).write_text(json.dumps(raw, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """A backup's manifest.

    Raises:
        BadBackupError: there is none, or it is of another format.
    """
    try:
        refuse_irregular(folder / NAME)
        raw = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if raw.pop("format") != FORMAT:
            raise BadBackupError(f"{folder}: written by another version of Earshot; restore it with that one")
        return Manifest(**{**raw, "made_at": datetime.fromisoformat(raw["made_at"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadBackupError(
            f"{folder} is no backup ({NAME}: {type(error).__name__}); name a folder that is"
        ) from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises BadBackupError where a file is missing or was changed."""
    for name, known in sorted(manifest.files.items()):
        if not (folder / name).is_file():
            raise BadBackupError(f"{folder / name} is missing; take another backup")
        if hash_file(folder / name) != known:
            raise BadBackupError(f"{folder / name} is not as it was written; take another backup")
