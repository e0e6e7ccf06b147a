"""The order of rows that are equal, and hosts that have the same name: always told, never left to chance."""

from __future__ import annotations

import pytest

from novacron_core.api.vms import NIC, State
from novacron_tui.screens import list_screen
from novacron_tui.vms.pane import VMPane
from tests.support.console.looking import line_text, text, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import (
    HOST_ID,
    OTHER_HOST_ID,
    THIRD_HOST_ID,
    TWINS,
    Clock,
    event,
    host,
    inventory,
    live,
    percent,
    samples,
    vm,
)


async def test_equal_rows_stand_by_name_and_then_host_whatever_came_first_and_whichever_way_it_is_sorted() -> None:
    vms = [
        vm("delta", 4, host=THIRD_HOST_ID),
        vm("alpha", 3),
        vm("charlie", 2, host=OTHER_HOST_ID),
        vm("charlie", 1, host=HOST_ID),
    ]
    stream = Stream(live(), inventory(vms, TWINS))
    app = console(Wire(), stream)
    async with app.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        table = app.screen.query_one(VMPane).table
        order = ["alpha", "charlie", "charlie", "delta"]
        for descending in (False, True):
            table.sort_by("vcpus", descending)
            assert [row.name for row in table.rows] == order
            assert [row.host for row in table.rows][1:3] == [OTHER_HOST_ID, HOST_ID], (
                "by the names shown: 10.0.0.7 and 6f1d"
            )
        stream.say(event(11, vm("alpha", 3, State.STOPPED), "vm.stopped"), event(12, vm("bravo", 9), "vm.created"))
        await until(pilot, lambda: len(table.rows) == 5)
        assert [row.name for row in table.rows] == ["alpha", "bravo", *order[1:]]


async def test_rows_without_a_value_come_last_whichever_way_it_is_sorted() -> None:
    vms = [vm("a-off", 1, State.STOPPED), vm("b-busy", 2), vm("c-quiet", 3), vm("d-off", 4, State.STOPPED)]
    cpu = percent(v2=90.0, v3=5.0)
    app = console(Wire(), Stream(live(), inventory(vms), samples(only=cpu)))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded and "90%" in text(app))
        table = app.screen.query_one(VMPane).table
        await pilot.press("o", "o")
        await until(pilot, lambda: table.sort_key == "cpu" and table.descending)
        assert [row.name for row in table.rows] == ["b-busy", "c-quiet", "a-off", "d-off"]
        await pilot.press("O")
        await until(pilot, lambda: not table.descending)
        assert [row.name for row in table.rows] == ["c-quiet", "b-busy", "a-off", "d-off"]


@pytest.mark.parametrize("key", ["disk", "tier", "address", "owner", "tags", "age"])
async def test_a_missing_text_or_date_comes_last_too(key: str) -> None:
    nothing = vm("a-bare", 1, disks=[], tier=None, nics=[], owner=None, tags={}, created_at=None)
    rich = vm("b-full", 2, tags={"t": "x"}, nics=[NIC(mac="52:54:00:00:00:02", network="d", addresses=["10.0.0.9"])])
    app = console(Wire(), Stream(live(), inventory([nothing, rich])))
    async with app.run_test(size=(220, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        table = app.screen.query_one(VMPane).table
        for descending in (False, True):
            table.sort_by(key, descending)
            assert [row.name for row in table.rows] == ["b-full", "a-bare"]


async def test_addresses_stand_in_the_servers_order() -> None:
    """By their numbers, not as text: 10.0.0.9 before 10.0.0.10."""
    nics = [NIC(mac="52:54:00:00:00:01", network="default", addresses=["10.0.0.9", "10.0.0.10"])]
    app = console(Wire(), Stream(live(), inventory([vm("a", 1, nics=nics)])))
    async with app.run_test(size=(200, 30)) as pilot:
        await until(pilot, lambda: "10.0.0.9 10.0.0.10 " in text(app))


async def test_two_hosts_of_one_name_are_told_apart_by_their_address_or_their_id() -> None:
    stream = Stream(
        live(), inventory([vm("a", 1), vm("b", 2, host=OTHER_HOST_ID), vm("c", 3, host=THIRD_HOST_ID)], TWINS)
    )
    app = console(Wire(), stream, now=Clock())
    async with app.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        assert app.session is not None
        names = [app.session.store.host_name(known.id) for known in TWINS]
        assert names == [f"kvm {HOST_ID[:4]}", "kvm 10.0.0.7", "kvm-c"]
        for name in names:
            assert name in text(app)
        stream.say(event(11, host(name="kvm-a"), "host.updated"))
        await until(pilot, lambda: "kvm-a" in text(app))
        assert app.session.store.host_name(OTHER_HOST_ID) == "kvm"


async def test_tiers_are_sorted_from_the_fastest_those_without_one_last() -> None:
    vms = [vm("a", 1, tier="cold"), vm("b", 2, tier=None), vm("c", 3, tier="hot"), vm("d", 5, tier="warm")]
    app = console(Wire(), Stream(live(), inventory(vms, TWINS[:1])))
    async with app.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        table = app.screen.query_one(VMPane).table
        table.sort_by("tier", False)
        assert [row.name for row in table.rows] == ["c", "d", "a", "b"]


async def test_sorting_a_number_begins_with_the_largest_and_shows_the_first_row() -> None:
    vms = [vm(f"vm-{number:03d}", number, vcpus=1 + number % 7) for number in range(200)]
    app = console(Wire(), Stream(live(), inventory(vms, TWINS[:1])))
    async with app.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        table = app.screen.query_one(VMPane).table
        await pilot.press("end")
        await until(pilot, lambda: table.row is not None and table.row.name == "vm-199")
        while table.sort_key != "vcpus":
            await pilot.press("o")
        await until(pilot, lambda: "▾VCPU" in text(app))
        assert {row.vcpus for row in table.rows[:20]} == {7}
        assert table.row is table.rows[0]
        assert table.scroll_offset.y == 0


async def test_rows_stay_in_their_places_after_a_key_and_while_a_question_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vms = [vm("alpha", 1), vm("bravo", 2), vm("charlie", 3)]
    stream = Stream(live(), inventory(vms, TWINS[:1]), samples(only=percent(v1=90.0, v2=50.0, v3=10.0)))
    app = console(Wire(), stream)
    async with app.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: app.session is not None and "90%" in text(app))
        table = app.screen.query_one(VMPane).table
        table.sort_by("cpu", descending=True)
        monkeypatch.setattr(list_screen, "HOLD_ORDER_S", 3600.0)
        await pilot.press("j")
        stream.say(samples(5, only=percent(v1=1.0, v2=50.0, v3=99.0)))
        await until(pilot, lambda: "99%" in text(app) and "order held" in line_text(app, "status"))
        assert "AGE" in text(app).splitlines()[1], "it covers no head of a column"
        assert [row.name for row in table.rows] == ["alpha", "bravo", "charlie"], "eyes are on them"
        stream.say(event(11, vm("aaa", 9), "vm.created"))
        await until(pilot, lambda: len(table.rows) == 4)
        assert [row.name for row in table.rows if row.name != "aaa"] == ["alpha", "bravo", "charlie"]
        await pilot.press("X")
        await until(pilot, lambda: app.screen is not app.screen_stack[-2] and "Power off bravo?" in text(app))
        monkeypatch.setattr(list_screen, "HOLD_ORDER_S", 0.0)
        stream.say(samples(6, only=percent(v1=2.0, v2=50.0, v3=98.0)))
        await until(pilot, lambda: "98%" in text(app))
        assert [row.name for row in table.rows if row.name != "aaa"] == ["alpha", "bravo", "charlie"]
        await pilot.press("escape")
        await until(pilot, lambda: [row.name for row in table.rows][:3] == ["charlie", "bravo", "alpha"])
        assert "order held" not in text(app)
        assert table.row is not None
        assert table.row.name == "bravo"
