"""Sending an image file to the server: what it is called there, what it is, and its bytes as they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

_PIECE = 1 << 20


def name_for(file: Path) -> str:
    """The image's name where nobody says another: the file's, without its ending."""
    return file.stem.lower()


def format_for(file: Path) -> Literal["qcow2", "raw"]:
    """What the file's name says it is. The server looks into it."""
    return "raw" if file.suffix in (".img", ".raw") else "qcow2"


async def pieces(file: Path, told: Callable[[int], None]) -> AsyncIterator[bytes]:
    """The file's bytes. `told` hears how many were taken so far. Raises OSError."""
    sent = 0
    with await asyncio.to_thread(file.open, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, _PIECE):
            sent += len(piece)
            told(sent)
            yield piece
