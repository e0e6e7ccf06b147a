"""An image file to upload: its default name and format, and its content in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

_PIECE = 1 << 20


def name_for(file: Path) -> str:
    """The default name of the image: the file name without its suffix."""
    return file.stem.lower()


def format_for(file: Path) -> Literal["qcow2", "raw"]:
    """The format by file name. The server checks the content."""
    return "raw" if file.suffix in (".img", ".raw") else "qcow2"


async def pieces(file: Path, on_progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    """The file in pieces. `on_progress` is called with the number of bytes read so far. Raises OSError."""
    sent = 0
    with await asyncio.to_thread(file.open, "rb") as stream:
        while piece := await asyncio.to_thread(stream.read, _PIECE):
            sent += len(piece)
            on_progress(sent)
            yield piece
