"""The audit screen: who did what is found by the filter language, older entries come by scrolling, and others are refused."""

from __future__ import annotations

from typing import Any

from novacron_core.api.audit import AuditCheck, ChainCheck
from novacron_tui.app import Console
from novacron_tui.screens.audit import AuditScreen
from tests.support.console.audit_world import DAY, audit_wire, entry, night
from tests.support.console.looking import line_text, loaded, text, until
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import VIEWER, fleet, inventory, live

SIZE = (140, 30)


def asked(wire: Wire) -> list[Any]:
    return [call.url.params for call in wire.calls if call.url.path == "/api/admin/audit"]


def opened(wire: Wire) -> Console:
    return console(wire, Stream(live(), inventory(fleet())))


async def open_audit(pilot: Any, app: Console) -> AuditScreen:
    await until(pilot, lambda: loaded(app))
    await pilot.press(":", *"audit", "enter")
    await until(pilot, lambda: isinstance(app.screen, AuditScreen) and bool(app.screen.table.rows))
    assert isinstance(app.screen, AuditScreen)
    return app.screen


async def test_who_stopped_a_vm_from_where_is_found_by_the_filter() -> None:
    wire = audit_wire()
    app = opened(wire)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_audit(pilot, app)
        await pilot.press("/", *"user:eve action:vm.stop target:db-01", "enter")
        await until(pilot, lambda: any(call.get("q") == "user:eve action:vm.stop target:db-01" for call in asked(wire)))
        await until(pilot, lambda: [row.entry.seq for row in screen.table.rows if row.entry] == [DAY + 5])
        assert "eve (operator) from 198.51.100.7: vm.stop db-01, accepted" in line_text(app, "status")
        await pilot.press("enter")
        await until(pilot, lambda: "previous hash" in text(app))
        shown = text(app)
        stop = next(each for each in night() if each.seq == DAY + 5)
        for word in ("eve", "operator", "198.51.100.7", "vm.stop", stop.request_id, stop.hash, stop.previous):
            assert word in shown, word


async def test_filter_that_matches_nothing_says_so_and_how_to_clear_it() -> None:
    app = opened(audit_wire())
    async with app.run_test(size=SIZE) as pilot:
        await open_audit(pilot, app)
        await pilot.press("/", *"user:nobody", "enter")
        await until(pilot, lambda: "no entry matches the filter" in text(app) and "esc clears" in text(app))
        await until(pilot, lambda: f"0 of {DAY + 7}" in text(app))


async def test_older_entries_come_as_one_scrolls_and_each_once() -> None:
    wire = audit_wire()
    app = opened(wire)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_audit(pilot, app)
        assert len(screen.table.rows) < 150
        for _ in range(8):
            await pilot.press("end")
            await pilot.pause(0.05)
        await until(pilot, lambda: not [row for row in screen.table.rows if row.id == "more"])
        found = [row.entry.seq for row in screen.table.rows if row.entry]
        assert found == list(range(DAY + 7, 0, -1))


async def test_new_entries_come_by_themselves_above_the_cursor() -> None:
    entries = night()
    wire = audit_wire(entries)
    app = opened(wire)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_audit(pilot, app)
        await pilot.press("down")
        row = screen.table.row
        entries.insert(0, entry(DAY + 8, "vm.reset", 1))
        await pilot.press("r")
        await until(pilot, lambda: "vm.reset" in text(app))
        assert screen.table.row == row


async def test_verification_tells_entries_head_and_where_it_is_broken() -> None:
    broken = AuditCheck(
        chains=[
            ChainCheck(tenant="default", entries=41, first=1, last=41, bad_seq=42, reason="edited: its content does not have its hash",
                       head=60, head_hash="ab" * 32),
        ]
    )  # fmt: skip
    for check, words in (
        (None, ["The audit log is whole", f"{DAY + 7} entries, whole", f"signed head {DAY + 7}"]),
        (broken, ["41 entries, broken at entry 42: edited", "signed head 60", "ab" * 32, "the audit log was changed"]),
    ):
        app = opened(audit_wire(check=check) if check else audit_wire())
        async with app.run_test(size=SIZE) as pilot:
            await open_audit(pilot, app)
            await pilot.press("V")
            await until(pilot, lambda: "novacron audit export" in text(app))
            for word in words:
                assert word in text(app), word


async def test_those_who_may_not_read_it_get_no_screen_and_are_told_why() -> None:
    wire = audit_wire()
    wire.user = VIEWER
    app = opened(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press(":", *"audit", "enter")
        await until(pilot, lambda: "your role (viewer) lacks the permission audit:read" in line_text(app, "status"))
        await pilot.press("7")
        await until(pilot, lambda: type(app.screen).__name__ == "ActivityScreen")
        await pilot.press("tab")
        await until(pilot, lambda: "lacks the permission audit:read" in line_text(app, "status"))
        assert asked(wire) == []


async def test_tab_goes_to_and_fro_between_activity_and_audit() -> None:
    app = opened(audit_wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("7")
        await until(pilot, lambda: type(app.screen).__name__ == "ActivityScreen")
        await pilot.press("tab")
        await until(pilot, lambda: isinstance(app.screen, AuditScreen) and bool(app.screen.table.rows))
        await pilot.press("tab")
        await until(pilot, lambda: type(app.screen).__name__ == "ActivityScreen")


async def test_log_that_cannot_be_read_says_why_and_is_read_again() -> None:
    wire = audit_wire()
    whole = wire.routes["GET /api/admin/audit"]
    wire.routes["GET /api/admin/audit"] = lambda _: refuse(503, "database_unavailable", "the database is down")
    app = opened(wire)
    async with app.run_test(size=SIZE) as pilot:
        await open_audit(pilot, app)
        await until(pilot, lambda: "the database is down" in text(app))
        wire.routes["GET /api/admin/audit"] = whole
        await pilot.press("enter")
        await until(pilot, lambda: "vm.stop" in text(app))
