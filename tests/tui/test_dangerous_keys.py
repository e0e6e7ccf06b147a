"""What a key that destroys asks before, by key presses: the name, the host, the number, and no is the default."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from novacron_core.api.vms import VM, State
from novacron_tui.actions import MANY
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.vms.actions import DELETE, POWER_OFF, RESET, STOP, Verb
from novacron_tui.vms.disk_chains import chain_words
from novacron_tui.vms.perform import question
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import SIZE, answer, line_text, loaded, text, to, until
from tests.support.console.opening import opened
from tests.support.console.storage_world import storage, volume
from tests.support.console.storage_world import wire as storage_wire
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import HOST_ID, event, fleet, inventory, live, vm


async def test_power_off_names_vm_and_host_and_no_is_the_default() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "web-01")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        shown = "".join(str(widget.render()) for widget in app.screen.query("Static"))
        assert "web-01" in shown
        assert "kvm-a" in shown
        await answer(pilot, "enter")
        await until(pilot, lambda: loaded(app))
        assert not wire.asked("POST", "/power-off")
        await pilot.press("X")
        await answer(pilot, "y")
        await until(pilot, lambda: len(wire.asked("POST", "/power-off")) == 1)


async def test_while_the_question_stands_the_world_goes_on() -> None:
    wire, stream = Wire(), Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        stream.say(event(11, msgspec.structs.replace(fleet()[0], state=State.STOPPED), "vm.stopped"))
        await until(pilot, lambda: app.session is not None and app.session.store.seq == 11)
        await answer(pilot, "y")
        await until(pilot, lambda: loaded(app) and "is already powered off" in line_text(app, "status"))
        assert not wire.asked("POST", "/power-off")


async def test_a_transient_vm_is_shown_as_such_and_stopped_only_after_a_question() -> None:
    first, *others = fleet()
    wire = Wire()
    app = console(wire, Stream(live(), inventory([msgspec.structs.replace(first, transient=True), *others])))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: loaded(app) and "web-01 transient" in text(app))
        to(app, "web-01")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "transient: it is gone" in text(app))
        await answer(pilot, "enter")
        await until(pilot, lambda: loaded(app))
        assert not wire.asked("POST", "/stop")
        await pilot.press("x")
        await answer(pilot, "y")
        await until(pilot, lambda: loaded(app) and len(wire.asked("POST", "/stop")) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: "transient: it is gone when it stops" in text(app), "the VM page")


def test_only_what_stops_a_transient_vm_names_its_end() -> None:
    gone, stays = vm("gone", 1, transient=True), vm("stays", 2)
    said = {verb: shown(verb, [gone, stays]) for verb in (STOP, POWER_OFF, RESET, DELETE)}
    assert [words.count("it is gone when it stops") for words in said.values()] == [1, 1, 0, 0]
    many = [vm(f"vm-{number}", number) for number in range(MANY)]
    assert "some of them are transient: they are gone when they stop" in shown(POWER_OFF, [*many, gone])
    assert "transient" not in shown(POWER_OFF, [*many, stays])


async def test_an_action_on_more_than_ten_vms_asks_for_their_number_and_tells_what_they_are() -> None:
    vms = [vm(f"dns-{number:02d}", number, host=HOST_ID) for number in range(MANY + 1)]
    wire = Wire()
    app = console(wire, Stream(live(), inventory(vms)))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        shown_now = text(app)
        for part in (
            "Shut down 11 VMs?",
            "11 VMs: 11 running",
            "on 1 host: kvm-a (11)",
            "ada (11)",
            "Type 11 to confirm",
        ):
            assert part in shown_now, part
        await answer(pilot, "enter")
        assert isinstance(app.screen, Confirm), "nothing is typed yet"
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))
        assert not changes(wire)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await answer(pilot, "1", "1", "enter")
        await until(pilot, lambda: loaded(app) and bool(changes(wire)))


@pytest.mark.parametrize(
    ("key", "others", "said"),
    [
        ("X", [State.STOPPED] * 3, "3 of the 12 marked VMs are already stopped and are left out"),
        ("X", [State.STOPPED], "1 of the 12 marked VMs is already stopped and is left out"),
        ("T", [State.STOPPED, State.SAVED], "2 of the 12 marked VMs are left out: vm-10 is stopped"),
    ],
)
async def test_the_question_counts_the_marked_vms_that_it_leaves_out(key: str, others: list[State], said: str) -> None:
    states = [*[State.RUNNING] * (12 - len(others)), *others]
    vms = [vm(f"vm-{n:02d}", n, state) for n, state in enumerate(states)]
    app = console(Wire(), Stream(live(), inventory(vms)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("*", key)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        shown = " ".join(str(widget.render()) for widget in app.screen.query("Static"))
        assert said in " ".join(shown.split())


@pytest.mark.parametrize(("key", "asks"), [("x", "Shut down"), ("t", "Restart"), ("p", "Pause"), ("T", "Reset")])
async def test_what_stops_or_restarts_a_guest_of_a_production_server_asks(key: str, asks: str) -> None:
    wire = Wire()
    place = ServerRef("https://kvm.example:8090", "prod-eu", True)
    app = console(wire, Stream(live(), inventory(fleet())), place=place)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert f" prod-eu  {asks} web-01?" in text(app)
        assert "web-01 on kvm-a, running" in text(app)
        assert "y yes   n no" in text(app)
        assert app.screen.has_class("-production")
        await answer(pilot, "n")
        await until(pilot, lambda: loaded(app))
        assert not changes(wire)


async def test_elsewhere_reversible_actions_on_few_vms_do_not_ask() -> None:
    wire = Wire()
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("x")
        await until(pilot, lambda: bool(changes(wire)))
        assert loaded(app)


def changes(wire: Wire) -> list[str]:
    """The paths of the changes of VMs that were asked for."""
    return [call.url.path for call in wire.calls if call.method == "POST" and call.url.path.startswith("/api/vm/")]


def shown(verb: Verb, vms: Sequence[VM]) -> str:
    return "\n".join("".join(piece.text for piece in line) for line in question(verb, vms, str).lines)


def test_the_disks_that_would_go_are_named() -> None:
    disk = fleet()[7].disks[0]
    disks = [msgspec.structs.replace(disk, target=target) for target in ("vda", "vdb")]
    one = question(DELETE, [vm("one", 1, disks=disks)], str)
    assert one.option == "also delete its 2 disks: vda, vdb"
    several = question(DELETE, [vm("one", 1, disks=disks), vm("two", 2, disks=disks)], str)
    assert several.option == "also delete their 4 disks"


async def test_bases_and_overlays_that_go_with_the_disks_are_named() -> None:
    staging, other = fleet()[7], fleet()[4]
    chain = [
        volume("staging.qcow2", 1, vm=staging.id, role="backing file"),
        volume("staging.s1", 2, vm=staging.id, role="backing file", unmanaged=True, backing_file="staging.qcow2"),
        volume("staging.s2", 3, vm=staging.id, role="disk", unmanaged=True, backing_file="staging.s1"),
        volume("golden.qcow2", 4, vm=staging.id, role="backing file", unmanaged=True),
        volume("on-golden", 5, vm=staging.id, role="disk", unmanaged=True, backing_file="golden.qcow2"),
        volume("data", 6, vm=staging.id, role="disk"),
        volume("others.s1", 7, vm=other.id, role="disk", unmanaged=True, backing_file="staging.qcow2"),
    ]
    app = console(storage_wire(), storage(volumes=chain))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        named = "".join(str(widget.render()) for widget in app.screen.query("Static"))
        assert "With its disks go staging.qcow2 (base), staging.s1 (overlay), staging.s2 (overlay)" in named
        assert not [name for name in ("golden", "data", "others") if name in named]
    assert chain_words([staging, other], chain).startswith("With their disks go staging.qcow2 (base)")
    assert chain_words([other], chain) == ""
    many = [*chain, *(volume(f"b{n}", 10 + n, vm=staging.id, role="backing file") for n in range(9))]
    assert chain_words([staging], many).endswith(" and 7 more")


async def test_delete_keeps_disks_unless_ticked_and_the_name_typed() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "staging")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("space")
        await until(pilot, lambda: app.screen.query_one("#yes").disabled)
        await answer(pilot, *"stagin", "enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("g", "enter")
        await until(pilot, lambda: bool(wire.asked("DELETE", fleet()[7].id)))
        (call,) = wire.asked("DELETE", fleet()[7].id)
        assert call.url.query == b"disks=true"
        assert call.headers["If-Match"] == '"3"'
        to(app, "win-test")
        await until(pilot, lambda: loaded(app))
        await pilot.press("D")
        await answer(pilot, "tab", "tab", "enter")
        await until(pilot, lambda: bool(wire.asked("DELETE", fleet()[8].id)))
        assert b"true" not in wire.asked("DELETE", fleet()[8].id)[0].url.query


async def test_many_at_once_ask_for_their_number() -> None:
    wire = Wire()
    many = [vm(f"web-{n:02}", n) for n in range(12)]
    app = console(wire, Stream(live(), inventory(many)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk", "X")
        await answer(pilot, "1", "enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("2", "enter")
        await until(pilot, lambda: len(wire.items.get("bulk-1", [])) == 12)


@pytest.mark.parametrize("size", [(20, 5), (59, 30), (100, 14)])
async def test_nothing_is_done_that_the_terminal_is_too_small_to_show(size: tuple[int, int]) -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("p", "X", "D", "t")
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)
        assert not wire.asked("POST", "/")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: not app.screen.has_class("-too-low") and not app.screen.has_class("-too-narrow"))
        to(app, "web-01")
        await pilot.pause(0.3)
        await pilot.press("p")
        await until(pilot, lambda: len(wire.asked("POST", "/pause")) == 1)
