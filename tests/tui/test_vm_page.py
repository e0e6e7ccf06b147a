"""The page of a VM by key presses: its tabs, and the actions on what a tab lists."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from novacron_core.values.sizes import MIB
from novacron_tui.app import Console
from novacron_tui.screens.vm_page import TABS, VMPageScreen
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.form import Form
from tests.support.console.looking import home, line_text, loaded, react, text, to, until
from tests.support.console.serial_consoles import SerialEnd, serial
from tests.support.console.storage_looking import accepted, body
from tests.support.console.storage_world import moving
from tests.support.console.vm_page_world import DISKS, page_wire, page_world, with_devices
from tests.support.console.wire import console, ok
from tests.support.console.world import event, fleet, gone, operation

__all__ = ["serial"]
SIZE = (140, 36)


def here(app: Console) -> VMPageScreen:
    assert isinstance(app.screen, VMPageScreen)
    return app.screen


async def reach(pilot: Any, app: Console, name: str = "web-01", tab: str = "") -> VMPageScreen:
    await until(pilot, lambda: loaded(app) and app.session is not None and app.session.store.seq == 12)
    to(app, name)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
    if tab:
        await pilot.press(":", *tab, "enter")
        await until(pilot, lambda: here(app).tab == tab)
    return here(app)


async def test_tab_and_shift_tab_go_round_and_each_tab_shows_its_part(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    shows = {"overview": "192.168.122.21", "charts": "CPU  35%", "disks": "debian-13.iso", "networks": "fe80::1",
             "events": "restart failed", "serial": "tiny#"}  # fmt: skip
    serial.hello()
    serial.output(b"tiny# ")
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        for tab in [*TABS, TABS[0]]:
            await until(pilot, lambda tab=tab: screen.tab == tab.name and shows[tab.name] in text(app), tab.name)  # type: ignore[misc]
            await pilot.press("tab")
        await pilot.press("shift+tab", "shift+tab")
        await until(pilot, lambda: screen.tab == "serial")
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))


async def test_a_tab_is_reached_by_a_click_and_by_its_name() -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="networks")
        await pilot.click("#tabs", offset=(line_text(app, "tabs").index("disks") + 2, 0))
        await until(pilot, lambda: screen.tab == "disks")


async def test_the_next_page_opens_on_the_tab_that_was_left() -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, tab="disks")
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))
        assert (await reach(pilot, app, "db-01")).tab == "disks"


async def test_a_disk_is_moved_from_the_page_of_its_vm() -> None:
    server = page_wire(**{"PUT /api/storage/volumes/vol-1/tier": accepted("volume.move")})
    app = console(server, page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="disks")
        screen.table.move_to([entry.disk.target for entry in screen.table.rows].index("vda"))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press("tab", *"50 MiB", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        (call,) = server.asked("PUT", "/tier")
        assert body(call) == {"tier": "warm", "bandwidth_bytes_s": 50 * MIB}
        assert "Moving" in line_text(app, "status")


async def test_a_disk_that_is_no_volume_says_so_and_the_keys_of_the_vm_still_work() -> None:
    server = page_wire()
    app = console(server, page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="disks")
        screen.table.move_to([entry.disk.target for entry in screen.table.rows].index("sda"))
        await pilot.press("m")
        await until(pilot, lambda: "sda is not a volume of a pool" in line_text(app, "status"))
        await react(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail) and "cdrom" in text(app))
        await pilot.press("escape", "x")
        await until(pilot, lambda: len(server.asked("POST", "/stop")) == 1)


async def test_marked_disks_are_moved_together_and_grown_one_at_a_time() -> None:
    moved = {f"PUT /api/storage/volumes/vol-{n}/tier": accepted("volume.move") for n in (1, 2)}
    server = page_wire(**moved)
    second = replace(DISKS[0], target="vdb", volume="vol-2")
    stream = page_world()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="disks")
        stream.say(event(13, replace(with_devices()[0], disks=[DISKS[0], second, DISKS[1]]), "vm.updated"))
        await until(pilot, lambda: len(screen.table.rows) == 3)
        await pilot.press("*")
        await until(pilot, lambda: "2 disks marked: move and cancel apply to all" in line_text(app, "status"))
        await pilot.press("+")
        await until(pilot, lambda: "grow works on one disk: 2 are marked" in line_text(app, "status"))
        await react(pilot)
        screen.table.move_to([entry.disk.target for entry in screen.table.rows].index("sda"))
        await pilot.press("space")
        await until(pilot, lambda: "this line cannot be marked" in line_text(app, "status"), "a CD is no volume")
        await react(pilot)
        await pilot.press("m")
        await until(pilot, lambda: "Move 2 volumes" in text(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(server.asked("PUT", "/tier")) == 2)


async def test_interfaces_are_not_marked_because_no_action_is_for_several() -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="networks")
        await pilot.press("space")
        await until(pilot, lambda: "nothing to mark here" in line_text(app, "status"))
        assert not screen.table.marks


async def test_events_are_of_this_vm_alone_and_its_running_operation_can_be_cancelled() -> None:
    running = operation("vm.stop", fleet()[0], may_cancel=True)
    server = page_wire(**{f"POST /api/operations/{running.id}/cancel": lambda _: ok(running, 202)})
    app = console(server, page_world(operations=[moving(), running]))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="events")
        await until(pilot, lambda: len([row for row in screen.table.rows if not row.line]) == 2)
        assert {entry.target for entry in screen.table.rows if not entry.line} == {"web-01"}
        await pilot.press("C")
        await until(pilot, lambda: "Cancelling the operation on web-01" in line_text(app, "status"))
        assert len(server.asked("POST", "/cancel")) == 1


async def test_a_key_of_another_tab_is_neither_shown_nor_run() -> None:
    server = page_wire()
    app = console(server, page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        assert "m move" not in line_text(app, "keys")
        await pilot.press("m", "w", "C", "+")
        await pilot.pause()
        assert screen.tab == "overview"
        assert app.screen is screen
        assert not server.asked("PUT", "/tier")


async def test_charts_read_the_history_of_the_vm_while_they_are_shown() -> None:
    server = page_wire()
    app = console(server, page_world())

    def asked() -> list[str]:
        return [call.url.params["subject"] for call in server.asked("GET", "/history")]

    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.pause(0.2)
        assert asked() == []
        await pilot.press("tab")
        await until(pilot, lambda: asked() == [f"vm:{screen.chosen()[0].id}"])
        await until(pilot, lambda: "CPU  35%" in text(app) and "Network" in text(app))
        await pilot.press("w")
        await until(pilot, lambda: len(asked()) == 2 and "-30m" in text(app))
        await pilot.press("tab")
        await until(pilot, lambda: screen.tab == "disks")
        await pilot.press(*["tab"] * (len(TABS) - 1))
        await until(pilot, lambda: screen.tab == "charts" and len(asked()) == 3, "shown again it is read at once")


@pytest.mark.parametrize("tab", [tab.name for tab in TABS])
async def test_deleted_while_a_tab_is_open_the_page_says_so(tab: str) -> None:
    stream = page_world()
    app = console(page_wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab=tab)
        stream.say(gone(13, fleet()[0]))
        await until(pilot, lambda: "no longer exists" in line_text(app, "status"))
        assert screen.chosen() == []
        await pilot.press("x", "m", "enter")
        await pilot.pause()
        if app.screen is not screen:
            await pilot.press("escape")
        await pilot.press("escape")
        await until(pilot, lambda: home(app) is app.screen)


async def test_a_filter_of_a_tab_is_cleared_before_the_page_is_left() -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, tab="disks")
        await pilot.press("/", *"vd", "enter")
        await until(pilot, lambda: len(screen.table.rows) == 1)
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.table.rows) == 2)
        assert app.screen is screen
