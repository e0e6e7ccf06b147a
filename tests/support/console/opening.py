"""Opens the console for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from novacron_tui.app import Console
from tests.support.console.looking import SIZE, loaded, until
from tests.support.console.wire import Wire, console


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Any, Console, Wire]]:
    """The pilot of a console that shows the list of VMs, the console, and what it has sent."""
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        yield pilot, app, wire
