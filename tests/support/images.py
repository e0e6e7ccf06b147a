"""Images for servers of tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def add_image(data_dir: Path) -> None:
    """Put a real, empty qcow2 image named `empty` into a server's images directory."""
    (data_dir / "images").mkdir(exist_ok=True)
    path = data_dir / "images" / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    os.utime(path, (0, 0))  # a new file would be looked at twice, in case it is still being written
