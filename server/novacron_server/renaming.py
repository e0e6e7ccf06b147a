"""Gives a file its final name, which no other file has."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links answer: FAT, CIFS, many on FUSE."""
_NO_FLAG = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def rename_without_replacing(old: Path, new: Path) -> None:
    """Rename a file; a link is renamed itself. Raises FileExistsError when `new` exists, OSError."""
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_without_links(old, new)
    else:
        old.unlink()


def _rename_without_links(old: Path, new: Path) -> None:
    """rename(2) with RENAME_NOREPLACE; on a file system that lacks it, look first."""
    renameat2 = getattr(_LIBC, "renameat2", None)  # missing in some C libraries
    if renameat2 is not None:
        ctypes.set_errno(0)
        if renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE) == 0:
            return
        if (number := ctypes.get_errno()) not in _NO_FLAG:
            raise OSError(number, os.strerror(number), str(old), None, str(new))
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    old.rename(new)
