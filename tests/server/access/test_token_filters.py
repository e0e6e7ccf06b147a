"""API tokens that are limited to the VMs of a filter: what is about others is missing, and no change crosses the filter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import msgspec
import psycopg
import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import api_tokens, history, operations, ownership, quotas, stored_events, usage, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import VM, VMQuery
from novacron_core.client import Client
from novacron_core.rules.visibility import Principal, may_see_vm
from novacron_core.values.roles import OF_SOME_VMS, Permission, Role
from tests.support.access import execute
from tests.support.api_tokens import create, with_token
from tests.support.bulks import items_of, start_bulk
from tests.support.event_stream import frame, open_with, until_frame
from tests.support.images import add_image
from tests.support.requests import create_vm, succeeded, vm_request
from tests.support.server import LiveServer

QUERY = ListQuery()
MISSING = str(uuid4())


@dataclass
class Two:
    """A VM with the tag ci, which the script's token is limited to, and another one."""

    server: LiveServer
    script: Client
    inside: VM
    outside: VM

    async def disk_of(self, vm: VM) -> str:
        found = (await self.server.admin.call(volumes.LIST)).items
        return next(each.id for each in found if each.vm == vm.id)


@pytest_asyncio.fixture
async def two(server: LiveServer) -> AsyncIterator[Two]:
    add_image(server.data_dir)
    inside = await create_vm(server, "ci-01", tags={"ci": "yes"})
    outside = await create_vm(server, "db-01", tags={"prod": "yes"})
    async with await with_token(server, server.admin, filter='tag:"ci"') as script:
        yield Two(server, script, inside, outside)


async def test_lists_and_totals_have_what_matches_alone(two: Two) -> None:
    found = await two.script.call(vms.LIST, query=VMQuery())
    assert ([vm.name for vm in found.items], found.total) == (["ci-01"], 1)
    assert (await two.script.call(vms.LIST, query=VMQuery(q="-tag:ci"))).total == 0
    disks = await two.script.call(volumes.LIST)
    assert ([each.vm for each in disks.items], disks.total) == ([two.inside.id], 1)
    begun = await two.script.call(operations.LIST, query=QUERY)
    assert ([each.target.name for each in begun.items], begun.total) == (["ci-01"], 1)
    told = await two.script.call(stored_events.LIST, query=stored_events.EventQuery(page_size=1000))
    assert "ci-01" in str(told) and "db-01" not in str(told) and told.total == len(told.items)
    top = await two.script.call(usage.TOP)
    assert two.outside.id not in str(top)


def body_of(path: str) -> dict[str, str] | None:
    return {"vm": MISSING} if path.endswith("/attach") else None


async def test_others_answer_as_missing(two: Two) -> None:
    disk, seen = await two.disk_of(two.outside), set()
    operation = next(
        each
        for each in (await two.server.admin.call(operations.LIST, query=QUERY)).items
        if each.target.id == two.outside.id
    )
    headers = {"Authorization": two.script.credentials.authorization}
    async with httpx.AsyncClient(base_url=two.server.url, headers=headers) as http:
        for method, path, foreign in (
            ("GET", "/api/vm/vms/{}", two.outside.id),
            ("DELETE", "/api/vm/vms/{}", two.outside.id),
            ("POST", "/api/vm/vms/{}/start", two.outside.id),
            ("GET", "/api/vm/vms/{}/crash", two.outside.id),
            ("GET", "/api/vm/vms/{}/metrics", two.outside.id),
            ("GET", "/api/monitoring/history?metric=cpu_cores&subject=vm:{}", two.outside.id),
            ("GET", "/api/storage/volumes/{}", disk),
            ("GET", "/api/storage/volumes/{}/deletion", disk),
            ("DELETE", "/api/storage/volumes/{}", disk),
            ("POST", "/api/storage/volumes/{}/detach", disk),
            ("POST", "/api/storage/volumes/{}/attach", disk),
            ("GET", "/api/operations/{}", operation.id),
            ("GET", "/api/operations/{}/children", operation.id),
            ("POST", "/api/operations/{}/cancel", operation.id),
        ):
            answers = set()
            for id_ in (foreign, MISSING):
                answer = await http.request(method, path.format(id_), headers={"If-Match": '"1"'}, json=body_of(path))
                body = answer.json()
                body.pop("request_id")
                answers.add((answer.status_code, json.dumps(body)))
            seen |= answers
            assert len(answers) == 1 and answers.pop()[0] == (403 if path.endswith("/detach") else 404), path
        assert (await http.get("/metrics")).status_code == 401
    assert "db-01" not in str(seen)


async def test_what_is_about_no_vm_is_missing(two: Two) -> None:
    with pytest.raises(errors.NotFound):
        await two.script.call(history.HISTORY, query=history.HistoryQuery(subject="fleet", metric="cpu_cores"))
    with pytest.raises(errors.NotFound):
        await two.script.call(quotas.GET, query=quotas.QuotaQuery())
    for path in ("/api/admin/users", "/api/admin/audit", "/api/admin/tokens", "/api/admin/tenants"):
        headers = {"Authorization": two.script.credentials.authorization}
        async with httpx.AsyncClient(base_url=two.server.url, headers=headers) as http:
            assert (await http.get(path)).status_code == 403
    fleet = await two.script.call(usage.NOW)
    assert fleet.fleet.vms <= 1


async def test_changes_of_what_matches_are_made(two: Two) -> None:
    began = await two.script.call(vms.POWER_OFF, vm_id=two.inside.id)
    await succeeded(two.server, began)
    assert (await two.script.call(operations.GET, operation_id=began.id)).state is OperationState.SUCCEEDED
    made = await two.script.call(vms.CREATE, body=vm_request("ci-02", tags={"ci": "2"}))
    await succeeded(two.server, made)
    await succeeded(two.server, await two.script.call(vms.POWER_OFF, vm_id=made.target.id))
    vm = await two.script.call(vms.GET, vm_id=made.target.id)
    gone = await two.script.call(vms.DELETE, vm_id=vm.id, if_match=vm.generation)
    await succeeded(two.server, gone)
    for own in (made, gone):  # their VM is no more, and the token may still see how its own work ended
        assert (await two.script.call(operations.GET, operation_id=own.id)).state is OperationState.SUCCEEDED
    async with await with_token(two.server, two.server.admin, "other", filter="tag:ci") as other:
        with pytest.raises(errors.NotFound):
            await other.call(operations.GET, operation_id=gone.id)


async def test_nothing_is_created_outside_or_taken_across(two: Two) -> None:
    before = {vm.id for vm in (await two.server.admin.call(vms.LIST, query=VMQuery())).items}
    for tags in ({}, {"prod": "1"}, {"cinema": "1"}):
        with pytest.raises(errors.Forbidden, match="limited to VMs that match tag:"):
            await two.script.call(vms.CREATE, body=vm_request("x-01", tags=tags))
    with pytest.raises(errors.Forbidden, match="no disk of one"):
        await two.script.call(volumes.CREATE, body=volumes.VolumeCreate(name="free", size_bytes=1 << 20))
    await succeeded(two.server, await two.server.admin.call(vms.POWER_OFF, vm_id=two.inside.id))
    with pytest.raises(errors.Forbidden, match="no disk of one"):
        await two.script.call(
            volumes.CLONE, body=volumes.VolumeClone(name="copy"), volume_id=await two.disk_of(two.inside)
        )
    with pytest.raises(errors.Forbidden):
        await two.script.call(vms.RELEASE, vm_id=two.inside.id)
    assert before == {vm.id for vm in (await two.server.admin.call(vms.LIST, query=VMQuery())).items}


async def test_name_of_another_vm_is_not_told(two: Two) -> None:
    made = await two.script.call(vms.CREATE, body=vm_request("db-01", tags={"ci": "1"}))
    assert made.target.name.startswith("db-01-")
    await succeeded(two.server, made)


async def test_owner_is_not_changed_across_the_filter(two: Two) -> None:
    await two.server.member("bob", Role.OPERATOR)
    async with await with_token(two.server, two.server.admin, "of-ann", filter='owner:"ann"') as script:
        with pytest.raises(errors.Forbidden, match="would not match"):
            await script.call(vms.HAND_OVER, body=ownership.HandOver(owner="bob"), vm_id=two.inside.id)
    assert (await two.server.admin.call(vms.GET, vm_id=two.inside.id)).owner == "ann"


async def test_vm_is_judged_as_it_is_when_the_change_is_accepted(two: Two, owner_url: str) -> None:
    """The row changes beside the server, as another server would: what this one remembers still matches."""
    await execute(owner_url, f"UPDATE vms SET tags = '{{}}' WHERE id = '{two.inside.id}'")
    assert (await two.script.call(vms.GET, vm_id=two.inside.id)).tags == {"ci": "yes"}
    with pytest.raises(errors.NotFound, match="VM not found"):
        await two.script.call(vms.POWER_OFF, vm_id=two.inside.id)


async def test_bulk_touches_what_matches_and_names_no_other(two: Two) -> None:
    bulk = await start_bulk(two.script, "power-off", [two.inside.id, two.outside.id, MISSING])
    await two.server.ended(bulk)
    items = {each.vm_id: each for each in await items_of(two.script, bulk)}
    assert items[two.inside.id].state == "succeeded"
    assert items[two.outside.id].reason == items[MISSING].reason
    assert items[two.outside.id].name == two.outside.id, "its name is not told"
    with pytest.raises(errors.NotFound):
        await start_bulk(two.script, "power-off", [two.outside.id])
    async with await with_token(two.server, two.server.admin, "of-prod", filter="tag:prod") as other:
        with pytest.raises(errors.NotFound):
            await other.call(operations.GET, operation_id=bulk.id)


async def test_bulk_of_a_token_goes_on_with_its_filter(two: Two, owner_url: str) -> None:
    """Its operations are in the name of the token, and each is judged by the row of its VM at that moment."""
    await execute(owner_url, f"UPDATE vms SET tags = '{{}}' WHERE id = '{two.inside.id}'")
    bulk = await start_bulk(two.script, "power-off", [two.inside.id])
    await two.server.ended(bulk)
    assert [each.state for each in await items_of(two.script, bulk)] == ["refused"]


async def test_stream_tells_of_what_matches_alone(two: Two) -> None:
    async with open_with(two.script, two.server) as narrow, open_with(two.server.admin, two.server) as wide:
        inventory = await until_frame(narrow, lambda f: f["frame"] == "inventory")
        assert [vm["name"] for vm in inventory["vms"]] == ["ci-01"] and inventory["hosts"]
        assert "db-01" not in str(inventory) and two.outside.id not in str(inventory)
        await until_frame(wide, lambda f: f["frame"] == "inventory" and f["last"])
        await narrow.send(json.dumps({"frame": "subscribe", "samples": {"targets": "*", "interval_s": 1}}))
        for vm in (two.outside, two.inside):
            await succeeded(two.server, await two.server.admin.call(vms.POWER_OFF, vm_id=vm.id))
        told = []
        while True:
            told.append(await frame(narrow))
            if told[-1]["frame"] == "event" and told[-1]["type"] == "operation.succeeded":
                break
        assert two.outside.id not in str(told) and "db-01" not in str(told)
        assert "vm.stopped" in str(told) and two.inside.id in str(told)


async def test_vm_that_leaves_the_filter_is_gone_for_the_stream(two: Two) -> None:
    await two.server.member("bob", Role.OPERATOR)
    limited = await with_token(two.server, two.server.admin, "of-ann", filter='owner:"ann"')
    async with limited as script, open_with(script, two.server) as socket:
        await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
        handed = ownership.HandOver(owner="bob")
        await succeeded(two.server, await two.server.admin.call(vms.HAND_OVER, body=handed, vm_id=two.inside.id))
        gone = await until_frame(
            socket, lambda f: f["frame"] == "event" and f["target"]["id"] == two.inside.id and f["type"] == "vm.deleted"
        )
        assert gone["value"] is None and "bob" not in str(gone)
        assert (await script.call(vms.LIST, query=VMQuery())).total == 1


async def test_filters_that_a_vm_could_leave_by_itself_are_refused(server: LiveServer) -> None:
    for text in ("state:running", "cpu>80", "ip:10.0.0.1", "is:busy", "host:kvm-a", "tenant:red", "name:", "x" * 501):
        with pytest.raises(errors.ValidationFailed):
            await create(server.admin, filter=text)
    with pytest.raises(errors.ValidationFailed, match="not about VMs"):
        await create(server.admin, filter="tag:ci", permissions=[Permission.PEOPLE_READ])
    made = await create(server.admin, filter=" tag:ci ", read_only=True)
    assert made.api_token.filter == "tag:ci"
    listed = (await server.admin.call(api_tokens.LIST, query=QUERY)).items
    assert [each.filter for each in listed] == ["tag:ci"]


async def test_filter_that_no_version_knows_lets_nothing_through(two: Two, owner_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute("UPDATE api_tokens SET vm_filter = 'colour:red'")
    async with await with_token(two.server, two.server.admin, "fresh", filter="tag:ci") as script:
        await execute(owner_url, "UPDATE api_tokens SET vm_filter = 'colour:red' WHERE name = 'fresh'")
        assert (await script.call(vms.LIST, query=VMQuery())).total == 0


def test_scope_is_a_part_of_who_sees_the_same() -> None:
    now = datetime(2090, 1, 1, tzinfo=UTC)
    whole = Principal("u", "ann", Role.OPERATOR, "red", "s", now)
    limited = Principal("u", "ann", Role.OPERATOR, "red", "t", now, vm_filter="tag:ci")
    assert whole.audience != limited.audience
    row = VM(
        id="1", name="a", host="h", state=vms.State.STOPPED, vcpus=1, memory_bytes=1, tenant="red", tags={"ci": ""}
    )
    assert may_see_vm(limited, row) and may_see_vm(whole, row)
    assert not may_see_vm(limited, msgspec.structs.replace(row, tags={}))
    assert not may_see_vm(limited, msgspec.structs.replace(row, tenant="blue"))
    assert Permission.PEOPLE_READ not in OF_SOME_VMS
