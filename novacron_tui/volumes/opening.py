"""Shows the details of a volume: what is known here, and what the server tells of its heat and its moves over time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from textual.app import App

from novacron_core.api import tiering, volumes
from novacron_core.errors import NovaCronError
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.detail import move_lines, of_volume
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.heat import history_lines
from novacron_tui.widgets.detail import Detail, Lines

_WIDEST, _AROUND = 60, 24
"""Cells of the chart of its heat, and those of the dialog beside it: borders, scrollbar and label."""


async def show_volume(app: App[object], session: Session, glyphs: Glyphs, entry: VolumeEntry) -> None:
    """Show the details, and below them what the server answers; what it does not know is left out."""
    volume, name = entry.volume, session.store.host_name
    detail = Detail(one_line(volume.name), of_volume(entry, glyphs, name, session.now, session.policy.value))
    await app.push_screen(detail)
    if volume.unmanaged:
        return
    width = min(_WIDEST, int(app.size.width * 0.96) - _AROUND)
    for lines in await asyncio.gather(_heat(session, glyphs, entry, width), _moves(session, glyphs, entry)):
        detail.add(lines)


async def _heat(session: Session, glyphs: Glyphs, entry: VolumeEntry, width: int) -> Lines:
    if session.may(tiering.OF_VOLUME):
        with suppress(NovaCronError):
            history = await session.client.call(tiering.OF_VOLUME, volume_id=entry.id)
            return history_lines(history, plain=glyphs.ascii, width=width)
    return []


async def _moves(session: Session, glyphs: Glyphs, entry: VolumeEntry) -> Lines:
    if session.may(volumes.MOVES):
        with suppress(NovaCronError):
            return move_lines(await session.client.call(volumes.MOVES, volume_id=entry.id), session.now, glyphs)
    return []
