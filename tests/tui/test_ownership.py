"""Handing over, adopting and releasing in the console: whom it names, what it sends, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec

from novacron_core.api import quotas, tenants
from novacron_core.api.people import Person
from novacron_core.api.problem import FieldError
from novacron_core.api.vms import VM, Disk
from novacron_core.values.roles import Role
from novacron_tui.app import Console
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from tests.support.console.looking import answer, line_text, loaded, react, text, to, until
from tests.support.console.storage_world import stored, volume, volumes
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import ADMIN, NOW, VIEWER, fleet, inventory, live, operation

SIZE = (120, 34)
BOB = Person(id="p-bob", username="bob", role=Role.OPERATOR, tenant="default", created_at=NOW)
EVE = Person(id="p-eve", username="eve", role=Role.OPERATOR, tenant="default", created_at=NOW)


QUOTA = quotas.Quota(
    tenant="default", vms=quotas.Amount(used=2), vcpus=quotas.Amount(used=2), memory_bytes=quotas.Amount(used=1 << 30)
)


def page(*items: Any) -> dict[str, Any]:
    return {"items": msgspec.to_builtins(list(items)), "total": len(items), "page": 1, "page_size": 1000}


def wire(two_tenants: Any = True, **routes: Any) -> Wire:
    known = [tenants.Tenant(id="default", name="default", created_at=NOW, members=3)]
    known += [tenants.Tenant(id="red", name="red", created_at=NOW, members=1)] if two_tenants else []
    answers: dict[str, Any] = {
        "GET /api/admin/users": lambda _: httpx.Response(200, json=page(BOB, EVE)),
        "GET /api/admin/tenants": lambda _: httpx.Response(200, json=page(*known)),
    }
    return Wire(routes={**answers, **routes})


def owned() -> list[VM]:
    """Two VMs of eve, one with two disks, one that nobody manages."""
    disks = [Disk(target="vda", source="hot/web-01.qcow2"), Disk(target="vdb", source="cold/data.qcow2")]
    first, second, third, *others = fleet()
    return [
        msgspec.structs.replace(first, owner="eve", tenant="default", disks=disks),
        msgspec.structs.replace(second, owner="eve", tenant="default"),
        msgspec.structs.replace(third, owner=None, tenant=None, unmanaged=True),
        *others,
    ]


def opened(made: Wire) -> Console:
    first, vms = inventory(owned()), owned()
    boot = {"host": vms[0].host, "vm": vms[0].id, "owner": "eve"}
    first.things["volumes"] = [
        volume("web-01-kernel", 1, role="kernel", **boot),
        volume("web-01-initrd", 2, role="initrd", **boot),
        volume("hidden-kernel", 3, role="kernel", **boot | {"tenant": "red"}),
    ]
    return console(made, Stream(live(), first))


def accepted(kind: str, vm: VM) -> Any:
    return lambda _: ok(operation(kind, vm), 202)


def sent(made: Wire, path: str) -> list[dict[str, Any]]:
    return [json.loads(call.content or b"null") for call in made.calls if f"{call.method} {call.url.path}" == path]


async def command(pilot: Any, name: str) -> None:
    await pilot.press(":", *name, "enter")


async def form(pilot: Any) -> Form[Any]:
    await until(pilot, lambda: isinstance(pilot.app.screen, Form))
    await react(pilot)
    found: Form[Any] = pilot.app.screen
    return found


async def test_vm_is_handed_over_with_its_disks_named_and_the_name_completed() -> None:
    vm = owned()[0]
    path = f"POST /api/vm/vms/{vm.id}/hand-over"
    made = wire(**{path: accepted("vm.hand-over", vm)})
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, vm.name)
        await command(pilot, "hand-over")
        await form(pilot)
        shown = text(app)
        for word in (
            f"Hand over {vm.name}",
            "eve in default",
            "2 disks with it",
            "hot/web-01.qcow2",
            "cold/data.qcow2",
            "2 boot files with it: web-01-initrd, web-01-kernel",
        ):
            assert word in shown, word
        await pilot.press("b")
        await pilot.pause(0.2)
        await pilot.press("right", "ctrl+s")
        await until(pilot, lambda: sent(made, path) == [{"owner": "bob"}])
        await until(pilot, lambda: f"Handing over {vm.name}" in line_text(app, "status"))


async def test_refusal_stays_at_its_field_and_nothing_typed_is_lost() -> None:
    vm = owned()[0]
    sentence = "zoe is not a member of the tenant default, or the account is disabled"

    def refused(_: httpx.Request) -> httpx.Response:
        return refuse(422, "validation_failed", sentence, [FieldError(field="owner", message=sentence)])

    made = wire(**{f"POST /api/vm/vms/{vm.id}/hand-over": refused})
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, vm.name)
        await command(pilot, "hand-over")
        shown = await form(pilot)
        shown.fields["owner"].value = "zoe"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: shown.fields["owner"].sentence == sentence)
        assert shown.fields["owner"].value == "zoe"


async def test_marked_vms_go_as_one_bulk_to_another_tenant() -> None:
    made = wire(**{"POST /api/vm/vms/bulk": accepted("vm.bulk", owned()[0])})
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        for vm in owned()[:2]:
            to(app, vm.name)
            await pilot.press("space")
        await command(pilot, "hand-over")
        shown = await form(pilot)
        assert "Hand over 2 VMs" in text(app)
        shown.fields["owner"].value, shown.fields["tenant"].value = "rob", "red"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(sent(made, "POST /api/vm/vms/bulk")))
        (body,) = sent(made, "POST /api/vm/vms/bulk")
        assert (body["action"], sorted(body["ids"])) == ("hand-over", sorted(vm.id for vm in owned()[:2]))
        assert (body["options"]["owner"], body["options"]["tenant"]) == ("rob", "red")


async def test_unmanaged_vm_is_adopted_and_a_managed_one_is_refused() -> None:
    managed, vm = owned()[0], owned()[2]
    path = f"POST /api/vm/vms/{vm.id}/adopt"
    made = wire(**{path: accepted("vm.adopt", vm)})
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, managed.name)
        await command(pilot, "adopt")
        await until(
            pilot, lambda: f"{managed.name} is managed already: hand it over instead" in line_text(app, "status")
        )
        to(app, vm.name)
        await command(pilot, "adopt")
        shown = await form(pilot)
        shown.fields["tenant"].value, shown.fields["owner"].value = "red", "rob"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(made, path) == [{"tenant": "red", "owner": "rob"}])


async def test_marked_vms_are_released_one_by_one_with_the_failures_told() -> None:
    first, second = owned()[:2]
    routes: dict[str, Any] = {
        f"POST /api/vm/vms/{first.id}/release": accepted("vm.release", first),
        f"POST /api/vm/vms/{second.id}/release": lambda _: refuse(409, "conflict", f"{second.name} is busy"),
    }
    made = wire(**routes)
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        for vm in (first, second):
            to(app, vm.name)
            await pilot.press("space")
        await command(pilot, "release")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "belong to nobody" in text(app)
        await answer(pilot, "y")
        await until(pilot, lambda: f"Releasing 1 VM; 1 refused: {second.name} is busy" in line_text(app, "status"))


async def test_only_administrators_adopt_and_viewers_hand_nothing_over() -> None:
    made = wire()
    made.user = msgspec.structs.replace(ADMIN, role=Role.OWNER)
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await command(pilot, "adopt")
        await until(pilot, lambda: "your role (owner) lacks the permission access:admin" in line_text(app, "status"))
    made = wire()
    made.user = VIEWER
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await command(pilot, "hand-over")
        await until(pilot, lambda: "your role (viewer) lacks the permission vm:change" in line_text(app, "status"))


async def test_volume_that_no_vm_has_is_handed_over() -> None:
    free = next(volume for volume in volumes() if volume.vm is None and not volume.unmanaged)
    path = f"POST /api/storage/volumes/{free.id}/hand-over"
    made = wire(False, **{path: accepted("volume.hand-over", fleet()[0])})
    app = console(made, Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("4")
        await until(pilot, lambda: bool(app.screen.query("#tiers")))
        screen: Any = app.screen
        screen.volumes.select(free.id)
        await pilot.pause()
        await command(pilot, "hand-over")
        shown = await form(pilot)
        assert list(shown.fields) == ["owner"]
        shown.fields["owner"].value = "bob"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(made, path) == [{"owner": "bob"}])


async def test_deletion_of_who_owns_vms_says_how_many_and_offers_the_handover_first() -> None:
    path = "POST /api/admin/users/p-eve/hand-over"
    made = wire(
        **{
            path: accepted("vm.bulk", owned()[0]),
            "GET /api/admin/invitations": lambda _: httpx.Response(200, json=page()),
            "GET /api/quota": lambda _: ok(QUOTA),
        }
    )
    app = opened(made)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("6")
        await until(pilot, lambda: "eve" in text(app))
        screen: Any = app.screen
        screen.table.select("p-eve")
        await pilot.pause()
        await pilot.press("D")
        await until(pilot, lambda: "eve owns 2 VMs" in text(app))
        await answer(pilot, "n")
        await until(pilot, lambda: "Delete the account eve?" in text(app))
        assert "2 VMs then belong to “former user eve”." in text(app)
        await react(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        await pilot.press("D")
        await until(pilot, lambda: "eve owns 2 VMs" in text(app))
        await answer(pilot, "y")
        shown = await form(pilot)
        assert "Hand over everything of eve" in text(app)
        shown.fields["owner"].value = "bob"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(made, path) == [{"to": "bob"}])
    assert not [call for call in made.calls if call.method == "DELETE"]
