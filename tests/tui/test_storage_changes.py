"""Changes to storage by key presses: what a form sends, what it asks before, and what it says when it does nothing."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest

from novacron_core.api.events import Event
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.api.volumes import DeletionPreview
from novacron_core.values.sizes import GIB, MIB
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from tests.support.console.looking import answer, line_text, text, until
from tests.support.console.storage_looking import SIZE, accepted, body, reach
from tests.support.console.storage_world import TIERS, moving, storage, volume, wire
from tests.support.console.wire import console, ok, refuse
from tests.support.console.world import NOW, fleet


async def test_a_volume_moves_to_the_tier_that_is_chosen_as_fast_as_is_said() -> None:
    server = wire(**{"PUT /api/storage/volumes/vol-1/tier": accepted("volume.move")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "web-01-1a2b3c4d.qcow2")
        await pilot.press("m")
        await until(pilot, lambda: "It is copied while" in text(app))
        await pilot.press("tab", *"50 MiB", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        (call,) = server.asked("PUT", "/tier")
        assert body(call) == {"tier": "warm", "bandwidth_bytes_s": 50 * MIB}
        assert call.headers["Idempotency-Key"]
        assert "Moving" in line_text(app, "status")


async def test_what_is_typed_wrong_is_said_at_its_field_and_nothing_is_sent() -> None:
    server = wire()
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("m", "tab", *"fast", "ctrl+s")
        await pilot.pause()
        assert "Enter a size as a number and a unit" in text(app)
        await pilot.press("escape")
        await answer(pilot, "y")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        await pilot.press("+")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "Enter more than 8 GiB; volumes cannot shrink" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        await pilot.press("c", *"Bad_Name", "ctrl+s")
        await pilot.pause()
        assert "Use lower-case letters, digits" in text(app)
        assert isinstance(app.screen, Form)
    assert not [
        call for call in server.calls if call.method in ("POST", "PUT", "DELETE") and "storage" in call.url.path
    ]


async def test_a_refusal_of_the_server_stays_in_the_form_with_what_was_typed() -> None:
    sentence = "there is a volume named data already"
    taken = partial(refuse, 409, "conflict", sentence, [FieldError("name", sentence)])
    app = console(wire(**{"POST /api/storage/volumes": lambda _: taken()}), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("c", *"data", "ctrl+s")
        await until(pilot, lambda: "there is a volume named data already" in text(app))
        assert isinstance(app.screen, Form)
        assert app.screen.form.values() == {"name": "data", "size_bytes": "8 GiB", "tier": "hot", "format": "qcow2"}


async def test_a_vm_is_named_to_attach_to_and_a_stranger_is_no_vm() -> None:
    server = wire(**{"POST /api/storage/volumes/vol-6/attach": accepted("volume.attach")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("a", *"nobody", "ctrl+s")
        await until(pilot, lambda: "ctrl+s attaches" in text(app))
        await pilot.pause()
        assert "No VM with this name on the volume's host" in text(app)
        await pilot.press("ctrl+u", *"stag", "right", "ctrl+s")  # completed
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        (call,) = server.asked("POST", "/attach")
        staging = next(vm for vm in fleet() if vm.name == "staging")
        assert body(call) == {"vm": staging.id}


async def test_deleting_shows_what_goes_and_asks_for_the_name() -> None:
    scratch = volume("scratch", 6, "cold")
    server = wire(
        **{
            "GET /api/storage/volumes/vol-6/deletion": lambda _: ok(
                DeletionPreview(volume=scratch, frees_bytes=196 * 1024)
            ),
            "DELETE /api/storage/volumes/vol-6": accepted("volume.delete"),
        }
    )
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "frees 196 KiB on disk" in text(app)
        await answer(pilot, "y")
        await pilot.pause()
        assert not server.asked("DELETE", "vol-6")
        await pilot.press("ctrl+u", *"scratch", "enter")
        await until(pilot, lambda: bool(server.asked("DELETE", "vol-6")))


async def test_what_the_server_refuses_to_delete_is_said_and_not_asked() -> None:
    refused = DeletionPreview(volume=volume("scratch", 6, "cold"), frees_bytes=0, refused="3 overlays lean on scratch")
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
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "Unmount it in the guest first" in text(app)
        await answer(pilot, "n")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        assert not server.asked("POST", "/detach")
        await pilot.press("f")
        await answer(pilot, "y")
        await until(pilot, lambda: bool(server.asked("POST", "/detach")))


async def test_a_move_is_shown_with_its_progress_and_cancelled() -> None:
    server = wire(**{"POST /api/operations/op-move/cancel": accepted("volume.move")})
    stream = storage()
    app = console(server, stream)
    async with app.run_test(size=(180, 36)) as pilot:
        await reach(pilot, app, "db-01-data")
        assert "37% moving" in text(app)
        assert "4m left  48 MiB/s" in text(app)
        await pilot.press("up", "down")
        await until(pilot, lambda: "copying while the VM runs" in line_text(app, "status"))
        later = msgspec.structs.replace(moving(), progress=0.62)
        target = Target(type="operation", id=later.id)
        value = msgspec.Raw(msgspec.json.encode(later))
        stream.say(Event(seq=11, id="e", type="operation.updated", source="operations", target=target, time=NOW, value=value))  # fmt: skip
        await until(pilot, lambda: "62% moving" in text(app))
        await pilot.press("C")
        await until(pilot, lambda: bool(server.asked("POST", "/cancel")))


async def test_pools_are_given_to_tiers_but_not_our_own() -> None:
    server = wire(**{"PUT /api/storage/pools/pool-isos": accepted("pool.set-tier")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("tab", "tab")
        await until(pilot, lambda: screen.pools.has_focus)
        assert "netfs" in text(app)
        await pilot.press("m", "enter", "up", "enter", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        (call,) = server.asked("PUT", "pool-isos")
        assert body(call) == {"tier": "cold"}
        await pilot.press("down", "m")
        await until(pilot, lambda: "is managed by NovaCron: its tier cannot change" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: screen.volumes.has_focus)


async def test_a_volume_that_is_promised_more_than_there_is_is_told() -> None:
    full = [*TIERS[1:], msgspec.structs.replace(TIERS[0], provisioned_bytes=2040 * GIB)]
    app = console(wire(), storage(tiers=full))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("c")
        await until(pilot, lambda: "Create an empty volume" in text(app))
        await until(pilot, lambda: "With it, hot promises 2 TiB, more than" in text(app))
        await pilot.press("tab", *"2T")
        await until(pilot, lambda: "2 TiB is promised, and only 624 GiB is free in hot" in text(app))
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: "is promised" not in text(app))


async def test_a_form_that_is_sent_twice_on_a_slow_line_is_sent_once_and_closes() -> None:
    line = wire(**{"POST /api/storage/volumes": accepted("volume.create")})
    app = console(line, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("c")
        await until(pilot, lambda: "Create an empty volume" in text(app))
        await pilot.press(*"vol-9", "tab", *"1G")
        line.hold = asyncio.Event()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Sending…" in text(app))
        await pilot.press("ctrl+s", "enter")
        line.hold.set()
        await until(pilot, lambda: "Create an empty volume" not in text(app))
        assert len(line.asked("POST", "/storage/volumes")) == 1


@pytest.mark.parametrize(("keys", "title"), [("c", "Create an empty volume"), ("i", "Upload an image")])
async def test_the_cancel_button_closes_a_form(keys: str, title: str) -> None:
    line = wire()
    app = console(line, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press(keys)
        await until(pilot, lambda: title in text(app))
        await pilot.click("#cancel")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        assert not [call for call in line.calls if call.method in ("POST", "PUT")]
