"""An image file to upload: its default name and format, and its content in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from novacron_core.errors import InvalidArgument
from novacron_core.values.image_files import Format, read_image_file, why_not_format, why_not_standalone

_PIECE = 1 << 20


def name_for(file: Path) -> str:
    """The default name of the image: the file name without its suffix."""
    return file.stem.lower()


def check_format(file: Path, wanted: Format | None = None) -> Format:
    """The format of the file, by its content. `wanted` is the format that it must have.

    Raises OSError, and InvalidArgument with what to do when it cannot be uploaded as it is.
    """
    found, head = read_image_file(file)
    refused = why_not_format(found, wanted, file.name) or why_not_standalone(head, file.name)
    if refused or found.format is None:
        raise InvalidArgument(refused or f"{file.name} is not an image")
    return found.format


async def pieces(file: Path, on_progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    """The file in pieces. `on_progress` is called with the number of bytes read so far. Raises OSError."""
    sent = 0
    with await asyncio.to_thread(file.open, "rb") as stream:
        while piece := await asyncio.to_thread(stream.read, _PIECE):
            sent += len(piece)
            on_progress(sent)
            yield piece
