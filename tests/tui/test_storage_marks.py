"""Marks on the storage screen: what can be done to many is done to all of them, and nothing else is."""

from __future__ import annotations

from typing import Any

from novacron_core.api.volumes import Volume
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import answer, line_text, react, text, until
from tests.support.console.storage_looking import accepted, reach
from tests.support.console.storage_world import storage, volumes, wire
from tests.support.console.wire import console

SIZE = (120, 40)


async def mark(pilot: Any, screen: StorageScreen, chosen: list[Volume]) -> None:
    for volume in chosen:
        screen.table.select(volume.id)
        await pilot.press("space")


async def test_marked_volumes_are_moved_together() -> None:
    free = [volume for volume in volumes() if volume.vm is None and volume.tier and not volume.unmanaged]
    routes = {f"PUT /api/storage/volumes/{volume.id}/tier": accepted("volume.move") for volume in free}
    server = wire(**routes)
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await mark(pilot, screen, free[:2])
        await until(
            pilot,
            lambda: "2 volumes marked: move, cancel, delete and copy apply to all of them" in line_text(app, "status"),
        )
        await pilot.press("+")
        await until(pilot, lambda: "grow works on one volume: 2 are marked" in line_text(app, "status"))
        await react(pilot)  # what follows a refused key at once is not meant
        await pilot.press("m")
        await until(pilot, lambda: "Move 2 volumes" in text(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(server.asked("PUT", "/tier")) == 2)
        assert len({call.headers["Idempotency-Key"] for call in server.asked("PUT", "/tier")}) == 2
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))


async def test_marked_volumes_are_deleted_after_their_number_is_typed() -> None:
    free = [volume for volume in volumes() if volume.vm is None and not volume.unmanaged]
    routes = {f"DELETE /api/storage/volumes/{volume.id}": accepted("volume.delete") for volume in free}
    server = wire(**routes)
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await mark(pilot, screen, free[:2])
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "Delete 2 volumes?" in text(app))
        await answer(pilot, "2", "enter")
        await until(pilot, lambda: len([call for call in server.calls if call.method == "DELETE"]) == 2)


async def test_escape_unmarks_before_it_leaves_and_says_so() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("*")
        await until(pilot, lambda: "marked:" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: "unmarked" in line_text(app, "status"))
        assert app.screen is screen
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)


async def test_a_filter_that_hides_marked_rows_says_that_they_are_unmarked() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("space", "space")
        await until(pilot, lambda: "2 volumes marked" in line_text(app, "status"))
        await pilot.press("/", *"zzz")
        await until(pilot, lambda: "unmarked 2 volumes that the filter hides" in line_text(app, "status"))
        assert not screen.table.marks
