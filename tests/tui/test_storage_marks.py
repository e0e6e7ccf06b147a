"""Marks on the storage screen: what can be done to many is done to all of them, and nothing else is."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from novacron_core.api.operations import Target
from novacron_core.api.volumes import DeletionPreview, Volume
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import answer, line_text, react, text, until
from tests.support.console.storage_looking import accepted, reach
from tests.support.console.storage_world import moving, storage, volume, volumes, wire
from tests.support.console.wire import Stream, Wire, console, ok

SIZE = (120, 40)


def preview(volume: Volume) -> DeletionPreview:
    return DeletionPreview(volume=volume, frees_bytes=volume.allocated_bytes)


async def mark(pilot: Any, screen: StorageScreen, chosen: list[Volume]) -> None:
    for each in chosen:
        screen.table.select(each.id)
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
            lambda: (
                "2 volumes marked: move, pin, cancel, delete and copy apply to all of them" in line_text(app, "status")
            ),
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


async def test_questions_tell_which_marked_volumes_they_leave_out() -> None:
    free = [volume for volume in volumes() if volume.vm is None and volume.tier and not volume.unmanaged]
    in_use = next(volume for volume in volumes() if volume.vm is not None)
    server = wire(**{f"GET /api/storage/volumes/{free[0].id}/deletion": lambda _: ok(preview(free[0]))})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await mark(pilot, screen, [*free[:2], in_use])
        await pilot.press("D")
        await until(pilot, lambda: "Delete 2 volumes?" in text(app))
        assert "1 of the 3 marked volumes is left out: " in text(app)
        await pilot.press("escape")
        await mark(pilot, screen, [free[1]])
        await pilot.press("D")
        await until(pilot, lambda: f"Delete {free[0].name}?" in text(app))
        assert "1 of the 2 marked volumes is left out: " in text(app)


async def test_move_of_the_rest_tells_what_is_moving_already() -> None:
    free = next(volume for volume in volumes() if volume.vm is None and volume.tier and not volume.unmanaged)
    moving_already = next(volume for volume in volumes() if volume.operation_id)
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await mark(pilot, screen, [free, moving_already])
        await pilot.press("m")
        await until(pilot, lambda: f"Move {free.name}" in text(app))
        assert "1 of the 2 marked volumes is left out: " in text(app)


def world_of_moves(count: int) -> tuple[Stream, Wire]:
    """Volumes that are all being moved, one of which cannot be stopped any more."""
    made = [volume(f"data-{n:02d}", 100 + n, operation_id=f"op-{n}") for n in range(count)]
    ops = [
        replace(moving(), id=f"op-{n}", target=Target(type="volume", id=each.id, name=each.name), may_cancel=n > 0)
        for n, each in enumerate(made)
    ]
    routes = {f"POST /api/operations/{op.id}/cancel": lambda _, op=op: ok(op, 202) for op in ops}
    return storage(volumes=made, operations=ops), wire(**routes)


async def test_many_moves_are_cancelled_after_their_number_is_typed() -> None:
    stream, server = world_of_moves(13)
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("*", "C")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "Cancel 12 operations?" in text(app))
        assert "data-01: disk move" in text(app)
        assert not server.asked("POST", "/cancel")
        await answer(pilot, *"12", "enter")
        await until(pilot, lambda: len(server.asked("POST", "/cancel")) == 12)
        await until(pilot, lambda: "Cancelling 12 operations; 1 marked cannot be cancelled" in line_text(app, "status"))


async def test_few_moves_are_cancelled_at_once() -> None:
    stream, server = world_of_moves(4)
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("*", "C")
        await until(pilot, lambda: len(server.asked("POST", "/cancel")) == 3)
