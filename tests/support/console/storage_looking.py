"""What a test of the storage screen looks at, and how it gets there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from novacron_tui.app import Console
from novacron_tui.screens.storage import StorageScreen
from tests.support.console.looking import until
from tests.support.console.storage_world import moving
from tests.support.console.wire import ok

SIZE = (140, 36)


def here(app: Console) -> StorageScreen:
    assert isinstance(app.screen, StorageScreen)
    return app.screen


async def reach(pilot: Any, app: Console, name: str = "") -> StorageScreen:
    """The storage screen, with the cursor on a volume."""
    await until(pilot, lambda: app.session is not None and app.session.store.loaded)
    await pilot.press("4")
    await until(pilot, lambda: isinstance(app.screen, StorageScreen) and app.screen.is_mounted)
    screen = here(app)
    if name:
        screen.volumes.select(next(e.id for e in screen.volumes.rows if e.volume.name == name))
        await until(pilot, lambda: screen.volumes.row is not None and screen.volumes.row.volume.name == name)
    return screen


def accepted(kind: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: ok(msgspec.structs.replace(moving(), id="op-new", kind=kind, progress=None), 202)


def body(call: Any) -> Any:
    return json.loads(call.content)


def names(screen: StorageScreen) -> list[str]:
    return [entry.volume.name for entry in screen.volumes.rows]
