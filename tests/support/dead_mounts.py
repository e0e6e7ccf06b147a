"""A mounted file system that never answers, as NFS whose server is gone."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2


class DeadMount:
    """FUSE whose server reads no request: every call to the mount hangs until `end`. Without the right to mount, the
    test is skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1

    def start(self) -> None:
        try:
            self._handle = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            pytest.skip("no FUSE here")
        options = f"fd={self._handle},rootmode=40000,user_id=0,group_id=0".encode()
        if _LIBC.mount(b"dead", os.fsencode(self.path), b"fuse.dead", 0, options):
            os.close(self._handle)
            self._handle = -1
            pytest.skip("no right to mount here")

    def end(self) -> None:
        """Fail every call that hangs, with ENOTCONN, and unmount it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            _LIBC.umount2(os.fsencode(self.path), _MNT_DETACH)
