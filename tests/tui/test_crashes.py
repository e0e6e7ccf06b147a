"""A crashed VM in the console: found, explained, acknowledged; and what a VM was whose host does not respond."""

from __future__ import annotations

from textual.widgets import Static

from novacron_core.api.vms import State
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.widgets.detail import Detail
from tests.support.console.crashes import CRASH, away
from tests.support.console.looking import line_text, loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import event, fleet, inventory, live, vm

SIZE = (120, 40)
MAIL = fleet()[5]
ROUTE = f"GET /api/vm/vms/{MAIL.id}/crash"


async def test_crashed_vm_is_found_by_its_state_and_acknowledged_by_its_key() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("slash", *"state:crashed", "enter")
        await until(pilot, lambda: "1 of 9" in text(app))
        assert "A acknowledge" in line_text(app, "keys")
        await pilot.press("A")
        await until(pilot, lambda: len(wire.asked("POST", f"{MAIL.id}/acknowledge")) == 1)


async def test_key_of_the_acknowledgement_says_what_has_not_crashed() -> None:
    app = console(Wire(), Stream(live(), inventory([vm("web", 1)])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert "acknowledge" not in line_text(app, "keys")
        await pilot.press("A")
        await until(pilot, lambda: "web is running: it has no crash to acknowledge" in line_text(app, "status"))


async def test_page_of_a_crashed_vm_shows_why_with_harmless_text() -> None:
    app = console(Wire(routes={ROUTE: lambda _: ok(CRASH)}), Stream(live(), inventory([MAIL])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter")
        await until(pilot, lambda: "enter shows why" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        shown = [str(line.render()) for line in app.screen.query(Static)]
        assert any("[red]terminating[/red] on signal 11·[2J" in line for line in shown)
        assert any("ended unexpectedly" in line for line in shown)


async def test_crash_that_cannot_be_read_says_why() -> None:
    gone = refuse(404, "not_found", "mail has not crashed since it was started last")
    app = console(Wire(routes={ROUTE: lambda _: gone}), Stream(live(), inventory([MAIL])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter")
        await until(pilot, lambda: "enter shows why" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "has not crashed since" in line_text(app, "status"))


async def test_vm_of_a_lost_host_says_what_it_was_and_shows_no_old_numbers() -> None:
    app = console(Wire(), away())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await until(pilot, lambda: "? unknown, was running" in text(app))
        row = next(line for line in text(app).splitlines() if "db-01" in line)
        assert "%" not in row
        assert "M/" not in row
        await pilot.press("slash", *"state:unknown", "enter")
        await until(pilot, lambda: "9 of 9" in text(app))


async def test_crash_that_comes_by_event_is_red_and_counted() -> None:
    stream = Stream(live(), inventory([vm("web", 1)]))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        stream.say(event(11, vm("web", 1, State.CRASHED, reason="ended unexpectedly"), "vm.crashed"))
        await until(pilot, lambda: "1 crashed" in line_text(app, "top"))
        assert "ended unexpectedly" in line_text(app, "status")


async def test_crashed_guest_that_holds_its_memory_says_what_leads_out() -> None:
    app = console(Wire(), Stream(live(), inventory([vm("web", 1, State.CRASHED, preserved=True)])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter")
        await until(pilot, lambda: "in memory: T resets, X powers off" in text(app))
        await pilot.press("A")
        await until(pilot, lambda: "reset it, or power it off instead" in line_text(app, "status"))


async def test_page_of_a_crashed_vm_opens_on_the_overview_and_the_tab_is_kept_for_others() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("enter", ":", *"disks", "enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen) and app.screen.tab == "disks")
        for name, tab in (("mail", "overview"), ("web-02", "disks")):
            await pilot.press("escape")
            await until(pilot, lambda: loaded(app))
            to(app, name)
            await pilot.press("enter")
            await until(pilot, lambda t=tab: isinstance(app.screen, VMPageScreen) and app.screen.tab == t)  # type: ignore[misc]


async def test_events_of_a_vm_that_has_none_are_called_events() -> None:
    app = console(Wire(), Stream(live(), inventory([vm("web", 1)])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter", ":", *"events", "enter")
        await until(pilot, lambda: "no events of this VM yet" in line_text(app, "status"))
