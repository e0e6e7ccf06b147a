"""Storage by key presses: what a key sends, what it asks before, and what it says when it does nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from novacron_core.api.events import Event
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.api.vms import State
from novacron_core.api.volumes import Deletion, Volume
from novacron_core.client import Lost
from novacron_core.rules.units import GIB, MIB
from novacron_tui.app import Console
from novacron_tui.screens.storage import Storage
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from tests.tui.storage_world import moving, storage, stored, volume, volumes, wire
from tests.tui.world import NOW, VIEWER, Stream, console, fleet, line_text, live, ok, refuse, text, until

SIZE = (140, 36)


def here(app: Console) -> Storage:
    assert isinstance(app.screen, Storage)
    return app.screen


async def reach(pilot: Any, app: Console, name: str = "") -> Storage:
    """The storage screen, with the cursor on a volume."""
    await until(pilot, lambda: app.session is not None and app.session.store.loaded)
    await pilot.press("4")
    await until(pilot, lambda: isinstance(app.screen, Storage) and app.screen.is_mounted)
    screen = here(app)
    if name:
        screen.volumes.want(next(e.id for e in screen.volumes.rows if e.volume.name == name))
        await until(pilot, lambda: screen.volumes.row is not None and screen.volumes.row.volume.name == name)
    return screen


def accepted(kind: str):
    return lambda _: ok(msgspec.structs.replace(moving(), id="op-new", kind=kind, progress=None), 202)


def body(call: Any) -> Any:
    return json.loads(call.content)


def names(screen: Storage) -> list[str]:
    return [entry.volume.name for entry in screen.volumes.rows]


async def test_tiers_stand_side_by_side_with_what_is_free_promised_and_done() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: "r 12.5M/s  w 800K/s" in text(app))
        shown = text(app)
        for words in ("HOT", "WARM", "COLD", "624 GiB free of 1 TiB", "39%", "95%", "same disk as warm"):
            assert words in shown
        assert "200 GiB promised" in shown


async def test_without_an_answer_there_are_no_rates_rather_than_old_ones() -> None:
    tiers = {"GET /api/storage/tiers": lambda _: refuse(503, "host_unavailable", "no")}
    unknown = [msgspec.structs.replace(tier, read_bytes_s=None) for tier in stored().tiers]
    app = console(wire(**tiers), storage(tiers=unknown))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: bool(here(app)._drawn))
        assert "/s" not in text(app).split("NAME")[0]


async def test_a_volume_moves_to_the_tier_that_is_chosen_as_fast_as_is_said() -> None:
    server = wire(**{"PUT /api/storage/volumes/vol-1/tier": accepted("volume.move")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "web-01-1a2b3c4d.qcow2")
        await pilot.press("m")
        await until(pilot, lambda: "It is copied while" in text(app))
        await pilot.press("tab", *"50 MiB", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Storage))
        (call,) = server.asked("PUT", "/tier")
        assert body(call) == {"tier": "warm", "bandwidth_bytes_s": 50 * MIB}
        assert call.headers["Idempotency-Key"]
        assert "moving accepted" in line_text(app, "status")


async def test_what_is_typed_wrong_is_said_at_its_field_and_nothing_is_sent() -> None:
    server = wire()
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("m", "tab", *"fast", "ctrl+s")
        await pilot.pause()
        assert "a size is a number and a unit" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Storage))
        await pilot.press("+")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "it has 8 GiB: it only grows" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Storage))
        await pilot.press("c", *"Bad_Name", "ctrl+s")
        await pilot.pause()
        assert "lower-case letters, digits, dots and hyphens" in text(app)
        assert isinstance(app.screen, Form)
    assert not [
        call for call in server.calls if call.method in ("POST", "PUT", "DELETE") and "storage" in call.url.path
    ]


async def test_a_refusal_of_the_server_stays_in_the_form_with_what_was_typed() -> None:
    taken = lambda _: refuse(409, "conflict", "there is a volume named data already", [FieldError("name", "taken")])  # noqa: E731
    app = console(wire(**{"POST /api/storage/volumes": taken}), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("c", *"data", "ctrl+s")
        await until(pilot, lambda: "there is a volume named data already" in text(app))
        assert isinstance(app.screen, Form)
        assert app.screen.values() == {"name": "data", "size_bytes": "8 GiB", "tier": "hot", "format": "qcow2"}


async def test_a_vm_is_named_to_attach_to_and_a_stranger_is_no_vm() -> None:
    server = wire(**{"POST /api/storage/volumes/vol-6/attach": accepted("volume.attach")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("a", *"nobody", "ctrl+s")
        await pilot.pause()
        assert "there is no such VM on the volume's host" in text(app)
        await pilot.press("ctrl+u", *"stag", "right", "ctrl+s")  # completed
        await until(pilot, lambda: isinstance(app.screen, Storage))
        (call,) = server.asked("POST", "/attach")
        staging = next(vm for vm in fleet() if vm.name == "staging")
        assert body(call) == {"vm": staging.id}


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        ("db-01-data", "m", "db-01-data is busy: volume.move by ada is running"),
        ("debian-13.iso", "D", "was not made by NovaCron"),
        ("web-01-1a2b3c4d.qcow2", "D", "is a disk of web-01: detach it first"),
        ("web-01-1a2b3c4d.qcow2", "n", "web-01 is running: shut it down first"),
        ("scratch", "u", "scratch is not attached"),
        ("scratch", "C", "nothing runs on scratch"),
        ("build-cache", "a", "build-cache is a disk of build-runner-ubuntu-24-04: detach it first"),
    ],
)
async def test_a_refused_key_says_why(name: str, key: str, says: str) -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, name)
        await pilot.press(key)
        await until(pilot, lambda: says in line_text(app, "status"), line_text(app, "status"))
        assert isinstance(app.screen, Storage)


async def test_a_viewer_and_a_lost_line_change_nothing() -> None:
    server = wire()
    server.user = VIEWER
    stream = storage()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("m")
        await until(pilot, lambda: "viewer" in line_text(app, "status"))
        stream.say(Lost("the line was cut", 60.0))
        await until(pilot, lambda: "OFFLINE" in line_text(app, "top"))
        await pilot.press("D")
        await until(pilot, lambda: "offline: changes are refused" in line_text(app, "status"))
        assert len(names(here(app))) == 7


async def test_deleting_shows_what_goes_and_asks_for_the_name() -> None:
    scratch = volume("scratch", 6, "cold")
    server = wire(
        **{
            "GET /api/storage/volumes/vol-6/deletion": lambda _: ok(Deletion(volume=scratch, frees_bytes=196 * 1024)),
            "DELETE /api/storage/volumes/vol-6": accepted("volume.delete"),
        }
    )
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "196 KiB on disk become free" in text(app)
        await pilot.press("y")
        await pilot.pause()
        assert not server.asked("DELETE", "vol-6")
        await pilot.press("ctrl+u", *"scratch", "enter")
        await until(pilot, lambda: bool(server.asked("DELETE", "vol-6")))


async def test_what_the_server_refuses_to_delete_is_said_and_not_asked() -> None:
    refused = Deletion(volume=volume("scratch", 6, "cold"), frees_bytes=0, refused="3 overlays lean on scratch")
    app = console(wire(**{"GET /api/storage/volumes/vol-6/deletion": lambda _: ok(refused)}), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("D")
        await until(pilot, lambda: "3 overlays lean on scratch" in line_text(app, "status"))


async def test_detaching_from_a_running_vm_is_asked_about() -> None:
    server = wire(**{"POST /api/storage/volumes/vol-2/detach": accepted("volume.detach")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "web-02-5e6f7a8b.qcow2")
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "The guest loses the disk at once" in text(app)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Storage))
        assert not server.asked("POST", "/detach")
        await pilot.press("u", "y")
        await until(pilot, lambda: bool(server.asked("POST", "/detach")))


async def test_a_move_is_shown_with_its_progress_and_cancelled() -> None:
    server = wire(**{"POST /api/operations/op-move/cancel": accepted("volume.move")})
    stream = storage()
    app = console(server, stream)
    async with app.run_test(size=(180, 36)) as pilot:
        await reach(pilot, app, "db-01-data")
        assert "37% moving" in text(app)
        assert "48 MiB/s 4m left" in text(app)
        await pilot.press("up", "down")
        await until(pilot, lambda: "copying while the VM runs" in line_text(app, "status"))
        later = msgspec.structs.replace(moving(), progress=0.62)
        target = Target(type="operation", id=later.id)
        value = msgspec.Raw(msgspec.json.encode(later))
        stream.say(Event(seq=11, id="e", type="operation.updated", source="operations", target=target, time=NOW, value=value))  # fmt: skip
        await until(pilot, lambda: "62% moving" in text(app))
        await pilot.press("C")
        await until(pilot, lambda: bool(server.asked("POST", "/cancel")))


async def test_filter_sort_and_cursor_stay_while_data_moves() -> None:
    stream = storage()
    app = console(wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("/", *"tier:hot is:", "f")
        await until(pilot, lambda: not screen.volumes.rows or "hot" in screen.filter.text)
        await pilot.press("escape", "o", "o")
        await until(pilot, lambda: screen.volumes.sort_key == "size")
        assert names(screen)[-1] == "build-cache"
        await pilot.press("/", *"vm:web", "enter")
        await until(pilot, lambda: sorted(names(screen)) == ["web-01-1a2b3c4d.qcow2", "web-02-5e6f7a8b.qcow2"])
        await pilot.press("end")
        name = screen.volumes.row.volume.name if screen.volumes.row else ""
        grown = next(v for v in volumes() if v.name != name and v.name.startswith("web"))
        await _told(stream, msgspec.structs.replace(grown, size_bytes=500 * GIB))
        await until(pilot, lambda: "500 GiB" in text(app))
        assert screen.volumes.row is not None
        assert screen.volumes.row.volume.name == name


async def _told(stream: Stream, value: Volume) -> None:
    target = Target(type="volume", id=value.id, name=value.name)
    raw = msgspec.Raw(msgspec.json.encode(value))
    stream.say(Event(seq=11, id="e", type="volume.updated", source="x", target=target, time=NOW, value=raw))


async def test_pools_are_given_to_tiers_but_not_our_own() -> None:
    server = wire(**{"PUT /api/storage/pools/pool-isos": accepted("pool.set-tier")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("t")  # a key of pools: nothing here
        await pilot.press("tab")
        await until(pilot, lambda: screen.pools.has_focus)
        assert "netfs" in text(app)
        await pilot.press("t", "enter", "up", "enter", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Storage))
        (call,) = server.asked("PUT", "pool-isos")
        assert body(call) == {"tier": "cold"}
        await pilot.press("down", "t")
        await until(pilot, lambda: "is NovaCron's own: its tier is in its name" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: screen.volumes.has_focus)


async def test_an_empty_storage_names_the_next_step() -> None:
    app = console(wire(), Stream(live(), stored(volumes=[], vms=[])))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        assert "no volumes yet" in text(app)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Form))


async def test_hostile_names_stay_text() -> None:
    bad = [volume("[red]x[/red][/]", 1), volume("日本語\u202e\x1b[31m", 2)]
    app = console(wire(), Stream(live(), stored(volumes=bad)))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        assert "[red]x[/red][/]" in text(app)
        assert "\x1b" not in text(app)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, Storage))
        await pilot.press("escape", "m")
        await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=["80x24", "140x45"])
@pytest.mark.parametrize("what", ["volumes", "pools", "move", "create", "volume", "empty"])
def test_pictures(snap_compare: Any, what: str, size: tuple[int, int]) -> None:
    keys = {
        "volumes": ["down", "down"], "pools": ["tab"], "move": ["end", "m"], "create": ["c"], "volume": ["end", "enter"],
        "empty": [],
    }[what]  # fmt: skip
    stream = Stream(live(), stored(volumes=[], vms=[])) if what == "empty" else storage()
    app = console(wire(), stream)

    async def before(pilot: Any) -> None:
        screen = await reach(pilot, app)
        await until(pilot, lambda: bool(screen._rates))
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        if what in ("move", "create", "volume"):
            await until(pilot, lambda: not isinstance(app.screen, Storage))

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_a_stopped_vms_disk_may_be_copied() -> None:
    """The rule that greys the key is the server's own."""
    from novacron_core.rules.volumes import VolumeAction, why_not_volume

    stopped = next(vm for vm in fleet() if vm.state is State.STOPPED)
    assert why_not_volume(VolumeAction.CLONE, volume("x", 9, vm=stopped.id), stopped) is None
