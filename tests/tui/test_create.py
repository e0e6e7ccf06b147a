"""The form that makes a VM: what it offers, what it refuses and where it says so, and what it sends."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import msgspec
import pytest
from textual.widgets import Select

from novacron_core.api.images import Image
from novacron_core.api.problem import FieldError
from novacron_core.values.sizes import GIB, MIB
from novacron_tui.app import Console
from novacron_tui.connection.store import Store
from novacron_tui.vms.create import CreateVMForm
from novacron_tui.vms.draft import VMDraft
from tests.support.console.looking import answer, line_text, text, until
from tests.support.console.storage_world import storage
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import OTHER_HOST_ID, Clock, fleet, host, inventory, live

SIZE = (100, 32)


@pytest.fixture
def draft() -> VMDraft:
    store = Store(Clock())
    store.set_connected(live().hello)
    store.apply(inventory(fleet()))
    draft = VMDraft(store, "default")
    draft.images = {"alpine": Image(name="alpine", format="qcow2", size_bytes=GIB, file_bytes=61 * MIB)}
    return draft


@pytest.mark.parametrize(
    ("ask", "typed", "refused"),
    [
        (lambda d, t: d.why_not_name(t, host().id), "web-1", None),
        (lambda d, t: d.why_not_name(t, host().id), "web-01", "A VM named web-01 already exists on kvm-a"),
        (lambda d, t: d.why_not_name(t, OTHER_HOST_ID), "web-01", None),
        (lambda d, t: d.why_not_name(t, ""), "Web", "lower-case"),
        (lambda d, t: d.why_not_vcpus(t), " 4 ", None),
        (lambda d, t: d.why_not_vcpus(t), "0", "from 1 to 512"),
        (lambda d, t: d.why_not_vcpus(t), "²", "from 1 to 512"),
        (lambda d, t: d.why_not_vcpus(t), "99999999", "from 1 to 512"),
        (lambda d, t: d.why_not_memory(t), "1.5 GiB", None),
        (lambda d, t: d.why_not_memory(t), "8M", "8 MiB is less than the minimum of 16 MiB"),
        (lambda d, t: d.why_not_memory(t), "512", "512 B is less than the minimum of 16 MiB. Add a unit, such as 512M"),
        (lambda d, t: d.why_not_memory(t), "65T", "65 TiB is more than the maximum of 64 TiB"),
        (lambda d, t: d.why_not_memory(t), "lots", "Enter a size as a number and a unit"),
        (lambda d, t: d.why_not_disk(t, "alpine"), "", None),
        (lambda d, t: d.why_not_disk(t, "alpine"), "2G", None),
        (
            lambda d, t: d.why_not_disk(t, "alpine"),
            "20",
            "20 B is less than the minimum of 1 MiB. Add a unit, such as 20G",
        ),
        (lambda d, t: d.why_not_disk(t, "alpine"), "512M", "smaller than the image (1 GiB)"),
    ],
)
def test_rules_of_the_fields(
    draft: VMDraft, ask: Callable[[VMDraft, str], str | None], typed: str, refused: str | None
) -> None:
    answer = ask(draft, typed)
    assert (answer is None) if refused is None else (answer is not None and refused in answer)


def ready(app: Console) -> bool:
    return isinstance(app.screen, CreateVMForm) and bool(app.screen._draft.images)


async def opened(pilot: object, app: Console) -> CreateVMForm:
    await until(pilot, lambda: app.session is not None and app.session.store.loaded)
    await pilot.press("c")  # type: ignore[attr-defined]
    await until(pilot, lambda: ready(app))
    assert isinstance(app.screen, CreateVMForm)
    return app.screen


async def test_a_name_is_all_it_needs() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await pilot.press(*"new-01", "ctrl+s")
        await until(pilot, lambda: "Creating new-01…" in line_text(app, "status"))
        (call,) = wire.asked("POST", "/vms")
        sent = {"name": "new-01", "image": "alpine-3.23", "memory_bytes": 512 * MIB, "network": "default"}
        assert json.loads(call.content) == sent
        assert len(call.headers["Idempotency-Key"]) == 36


async def test_how_to_log_in_is_shown_and_stays_with_the_vm() -> None:
    said = "login root, password k7wq4mzrtn; serial console"
    alpine = Image(
        name="alpine",
        format="qcow2",
        size_bytes=GIB,
        file_bytes=MIB,
        description=f"Alpine; {said}",
        source="demo extra",
    )
    uploaded = msgspec.structs.replace(alpine, name="other", source="images directory")
    wire = Wire(images=[alpine, uploaded])
    app = console(wire)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await opened(pilot, app)
        await until(pilot, lambda: said in text(app))
        await pilot.press(*"new-01", "ctrl+s")
        await until(pilot, lambda: bool(wire.asked("POST", "/vms")))
        (call,) = wire.asked("POST", "/vms")
        expected = "login root, password k7wq4mzrtn; novacron console new-01"
        assert json.loads(call.content)["description"] == expected
        assert form._draft._how_to_log_in("other", "new-01") == "", "an upload can be described like that"


async def test_a_tier_is_chosen_by_the_room_it_has() -> None:
    wire = Wire()
    app = console(wire, storage())
    async with app.run_test(size=SIZE) as pilot:
        form = await opened(pilot, app)
        assert "hot: 624 GiB free" in text(app)
        await pilot.press(*"new-02")
        form.query_one("#tier Select").focus()
        await pilot.press("enter", "down", "down", "enter")
        await until(pilot, lambda: "cold: 196 GiB free" in text(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(wire.asked("POST", "/vms")))
        (call,) = wire.asked("POST", "/vms")
        assert json.loads(call.content)["tier"] == "cold"


async def test_a_disk_that_is_promised_more_than_there_is_is_told_and_sent() -> None:
    wire = Wire()
    app = console(wire, storage())
    async with app.run_test(size=SIZE) as pilot:
        form = await opened(pilot, app)
        form.fields["disk_bytes"].value = "2 TiB"
        await until(pilot, lambda: "2 TiB is promised, and only 624 GiB is free in hot" in text(app))
        form.fields["disk_bytes"].value = "20 GiB"
        await until(pilot, lambda: "is promised" not in text(app))
        form.fields["disk_bytes"].value = "2 TiB"
        await pilot.press(*"new-03", "ctrl+s")
        await until(pilot, lambda: bool(wire.asked("POST", "/vms")))


async def test_what_is_wrong_stands_at_its_field_and_is_not_sent() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        form = await opened(pilot, app)
        form.query_one("#name Input").value = "web-01"  # type: ignore[attr-defined]
        form.query_one("#memory Input").value = "lots"  # type: ignore[attr-defined]
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "A VM named web-01 already exists on kvm-a" in text(app))
        form.query_one("#name Input").value = "web-09"  # type: ignore[attr-defined]
        await until(pilot, lambda: "already exists" not in text(app), "the rule is asked again while typing")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Enter a size as a number and a unit" in text(app))
        assert not wire.asked("POST", "/vms")


async def test_a_servers_refusal_stands_at_its_field_or_below() -> None:
    wire = Wire(
        routes={
            "POST /api/vm/vms": lambda _: refuse(
                422, "validation_failed", "not valid", [FieldError(field="memory_bytes", message="more than kvm-a has")]
            )
        }
    )
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        form = await opened(pilot, app)
        await pilot.press(*"n1", "ctrl+s")
        await until(pilot, lambda: "more than kvm-a has" in text(app))
        assert form.query_one("#memory").has_class("-wrong")
        wire.routes["POST /api/vm/vms"] = lambda _: refuse(409, "conflict", "the name n1 is taken")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "the name n1 is taken" in text(app))


async def test_the_same_request_again_keeps_its_key_and_another_gets_its_own() -> None:
    wire = Wire()

    def cut(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("cut")

    wire.routes["POST /api/vm/vms"] = cut
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await pilot.press(*"n1", "ctrl+s")
        await until(pilot, lambda: "did not respond" in text(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(wire.asked("POST", "/vms")) == 2)
        await until(pilot, lambda: "did not respond" in text(app))
        await pilot.press("2", "ctrl+s")
        await until(pilot, lambda: len(wire.asked("POST", "/vms")) == 3)
        first, again, other = [call.headers["Idempotency-Key"] for call in wire.asked("POST", "/vms")]
        assert first == again != other


async def test_escape_asks_only_when_something_was_typed() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await pilot.press("escape")
        await until(pilot, lambda: type(app.screen).__name__ == "VMListScreen")
        await opened(pilot, app)
        await pilot.press("x", "escape")
        await answer(pilot, "n")
        await until(pilot, lambda: ready(app))
        await pilot.press("escape")
        await answer(pilot, "y")
        await until(pilot, lambda: type(app.screen).__name__ == "VMListScreen")


async def test_no_image_says_so() -> None:
    app = console(Wire(images=[]))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        await pilot.press("c")
        await until(pilot, lambda: "The server has no image" in text(app))


async def test_with_several_hosts_one_is_chosen_with_its_networks() -> None:
    wire = Wire()
    hosts = [host(), host(id=OTHER_HOST_ID, name="kvm-b", networks=["lab"])]
    app = console(wire, Stream(live(), inventory(fleet(), hosts)))
    async with app.run_test(size=SIZE) as pilot:
        form = await opened(pilot, app)
        form.query_one("#host Select", Select).value = OTHER_HOST_ID
        await until(pilot, lambda: form.query_one("#network Select", Select).value == "lab")
        await pilot.press(*"n1", "ctrl+s")
        await until(pilot, lambda: len(wire.asked("POST", "/vms")) == 1)
        sent = json.loads(wire.asked("POST", "/vms")[0].content)
        assert (sent["host"], sent["network"]) == (OTHER_HOST_ID, "lab")


async def test_the_cancel_button_closes_the_form() -> None:
    wire = Wire()
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await pilot.click("#cancel")
        await until(pilot, lambda: not isinstance(app.screen, CreateVMForm))
        assert not wire.asked("POST", "/vms")
