"""What may stand where a file should."""

import errno
import stat
from pathlib import Path

from config.errors import EarshotError


def refuse_irregular(file: Path) -> None:
    """Refuse what cannot be read to its end.

    Raises:
        OSError: it is a folder, or a pipe or a device, for whose end one may wait without end.
        FileNotFoundError: nothing is there.
    """
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(file))


def refuse_stray(file: Path, folder: Path) -> None:
    """Refuse a file that a link inside a folder puts elsewhere. The folder may itself be a link.

    Raises:
        EarshotError: whoever may write to the folder would decide what else is read or written.
    """
    target = file.resolve()
    if not target.is_relative_to(folder.resolve()):
        raise EarshotError(f"{file} is a link to {target}, outside {folder}; put the file itself there")
