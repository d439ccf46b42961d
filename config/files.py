"""What may stand where a file should."""

import errno
import stat
from pathlib import Path


def refuse_irregular(file: Path) -> None:
    """Refuse what cannot be read to its end.

    Raises:
        OSError: it is a folder, or a pipe or a device, for whose end one may wait without end.
        FileNotFoundError: nothing is there.
    """
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder and no file", str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device and no file", str(file))
