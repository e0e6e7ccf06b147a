"""VMs through a whole server on libvirt's test driver: actions, refusals and permissions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import hosts, operations, vms, volumes
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM, State
from novacron_core.values.roles import Role
from novacron_server.operations import repository as rows_of_operations
from novacron_server.operations import retries
from novacron_server.volumes import repository as rows_of_volumes
from tests.support.fair_clock import fair_now
from tests.support.requests import create_vm, succeeded, three_pools, vm_request
from tests.support.server import LiveServer


async def test_simulated_host_is_marked_as_simulated(server: LiveServer) -> None:
    page = await server.admin.call(hosts.LIST)
    assert [(host.simulated, host.virtualization, host.status) for host in page.items] == [(True, "test", "up")]
    assert (await server.vm("test")).simulated


async def test_created_vm_runs_and_its_disk_is_its_volume(server: LiveServer, image: str) -> None:
    vm = await create_vm(server, tags={"role": "web"}, description="the first")
    assert (vm.state, vm.tenant, vm.owner, vm.tier, vm.unmanaged) == (State.RUNNING, "default", "ann", "hot", False)
    assert (vm.tags, vm.description, vm.memory_bytes, vm.generation) == ({"role": "web"}, "the first", 32 << 20, 1)
    assert vm.operation_id is None
    disk = vm.disks[0]
    page = await server.admin.call(volumes.LIST)
    volume = next(volume for volume in page.items if volume.id == disk.volume)
    assert (volume.vm, volume.tenant, volume.tier, volume.size_bytes) == (vm.id, "default", "hot", 8 << 20)


async def test_actions_change_the_state_in_libvirt(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    vm = await create_vm(server)
    domain = libvirt_connection.lookupByUUIDString(vm.id)
    verbs: list[tuple[Endpoint[Operation, Any, Any], State, int]] = [
        (vms.PAUSE, State.PAUSED, libvirt.VIR_DOMAIN_PAUSED),
        (vms.RESUME, State.RUNNING, libvirt.VIR_DOMAIN_RUNNING),
        (vms.STOP, State.STOPPED, libvirt.VIR_DOMAIN_SHUTOFF),
        (vms.START, State.RUNNING, libvirt.VIR_DOMAIN_RUNNING),
        (vms.POWER_OFF, State.STOPPED, libvirt.VIR_DOMAIN_SHUTOFF),
    ]
    for endpoint, state, libvirt_state in verbs:
        operation = await succeeded(server, await server.admin.call(endpoint, vm_id=vm.id))
        assert operation.progress == 1.0
        assert (await server.admin.call(vms.GET, vm_id=vm.id)).state is state
        assert domain.state()[0] == libvirt_state


async def test_delete_with_disks_leaves_nothing_behind(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    vm = await create_vm(server, start=False)
    assert vm.state is State.STOPPED
    operation = await server.admin.call(
        vms.DELETE, query=vms.DeleteQuery(disks=True), if_match=vm.generation, vm_id=vm.id
    )
    await succeeded(server, operation)
    with pytest.raises(errors.NotFound):
        await server.admin.call(vms.GET, vm_id=vm.id)
    with pytest.raises(libvirt.libvirtError):
        libvirt_connection.lookupByUUIDString(vm.id)
    await server.wait_until_no_rows()
    left = [v.name for v in (await server.admin.call(volumes.LIST)).items if "web-01" in v.name]
    assert left == []


async def test_deletion_survives_a_short_database_outage(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await create_vm(server, start=False)
    deletion: Any = server.parts.operations.procedures["vm.delete"]
    group_commit, outages = deletion._group_commit, ["away", "away"]

    class Shaky:
        async def write(self, unit: Any) -> Any:
            if outages:
                raise errors.DatabaseUnavailable(outages.pop())
            return await group_commit.write(unit)

    monkeypatch.setattr(retries, "_DATABASE_RETRY_S", 0.01)
    monkeypatch.setattr(deletion, "_group_commit", Shaky())
    query = vms.DeleteQuery(disks=True)
    await succeeded(server, await server.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    assert not outages


async def test_interrupted_deletion_deletes_only_the_disks_of_the_vm(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await create_vm(server, start=False)
    await three_pools(server)
    await succeeded(
        server, await server.admin.call(volumes.CREATE, body=volumes.VolumeCreate(name="kept", size_bytes=1 << 20))
    )
    kept = next(v for v in (await server.admin.call(volumes.LIST)).items if v.name == "kept")
    # Detached outside NovaCron: the VM has the volume according to the row, but not according to libvirt.
    assert await server.parts.database.run(lambda c: rows_of_volumes.change(c, kept.id, vm_id=vm.id))
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.delete:undefined=error")
    query = vms.DeleteQuery(disks=True)
    operation = await server.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id)
    await server.ended(operation)
    stored = await server.parts.database.run(lambda c: rows_of_operations.get(c, operation.id))
    monkeypatch.delenv("NOVACRON_FAILPOINTS")
    assert stored is not None
    deletion: Any = server.parts.operations.procedures["vm.delete"]
    await deletion.finish(deletion.read(stored))
    assert [v.name for v in (await server.admin.call(volumes.LIST)).items] == ["kept"]


async def test_failed_deletion_reports_what_was_done(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await create_vm(server, start=False)
    host, query = server.parts.inventory.host(vm.host), vms.DeleteQuery(disks=True)

    async def fail_once(target: object, name: str) -> str:
        real, reasons = getattr(target, name), [errors.Conflict("it is busy")]

        async def once(*arguments: str) -> None:
            if reasons:
                raise reasons.pop()
            await real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(target, name, once)
            request = server.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id)
            ended = await server.ended(await request)
            assert ended.problem is not None
            return ended.problem.detail

    assert await fail_once(host, "undefine") == "it is busy"
    assert (await server.vm("web-01")).operation_id is None
    kept = await fail_once(host.storage, "delete_volume")
    disk = (await server.vm("web-01")).disks[0].source.partition("/")[2]
    assert kept == f"{disk}: it is busy. The VM is kept: delete it again, or without its disks"
    vm = await server.vm("web-01")
    await succeeded(server, await server.admin.call(vms.DELETE, query=query, if_match=vm.generation, vm_id=vm.id))
    await server.wait_until_no_rows()


async def test_delete_without_disks_keeps_the_owner_of_the_disks(server: LiveServer, image: str) -> None:
    vm = await create_vm(server, start=False)
    await succeeded(server, await server.admin.call(vms.DELETE, if_match=vm.generation, vm_id=vm.id))
    kept = [v for v in (await server.admin.call(volumes.LIST)).items if "web-01" in v.name]
    assert [(v.vm, v.tenant) for v in kept] == [(None, "default")]


async def test_delete_requires_the_current_generation(server: LiveServer, image: str) -> None:
    vm = await create_vm(server, start=False)
    with pytest.raises(errors.PreconditionRequired):
        await server.admin.call(vms.DELETE, vm_id=vm.id)
    with pytest.raises(errors.PreconditionFailed):
        await server.admin.call(vms.DELETE, if_match=vm.generation + 1, vm_id=vm.id)
    assert (await server.vm("web-01")).state is State.STOPPED


async def test_refusal_is_the_message_of_the_rule(server: LiveServer, image: str) -> None:
    vm = await create_vm(server)
    with pytest.raises(errors.Conflict, match="web-01 is already running"):
        await server.admin.call(vms.START, vm_id=vm.id)
    with pytest.raises(errors.Conflict, match="shut it down first"):
        await server.admin.call(vms.DELETE, if_match=vm.generation, vm_id=vm.id)


async def test_second_operation_on_a_busy_vm_is_refused_naming_the_first(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vm = await create_vm(server)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.pause:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    first = await server.admin.call(vms.PAUSE, vm_id=vm.id)
    bob = await server.member("bob", Role.OPERATOR)
    with pytest.raises(errors.Conflict, match=r"web-01 is busy: pausing \(by ann\)"):
        await bob.call(vms.RESET, vm_id=vm.id)
    shown = await bob.call(vms.GET, vm_id=vm.id)
    assert shown.operation_id == first.id
    (tmp_path / "go").touch()
    await succeeded(server, first)
    await bob.close()


async def test_power_off_supersedes_a_hanging_shutdown(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vm = await create_vm(server)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.stop:began=pause")
    hanging = await server.admin.call(vms.STOP, vm_id=vm.id)
    off = await server.admin.call(vms.POWER_OFF, vm_id=vm.id)
    await succeeded(server, off)
    cancelled = await server.ended(hanging)
    assert cancelled.state is OperationState.CANCELLED
    assert cancelled.problem is not None
    assert "replaced with power-off by" in cancelled.problem.detail
    assert (await server.vm("web-01")).state is State.STOPPED


async def test_repeated_deletion_returns_the_same_operation(server: LiveServer, image: str) -> None:
    vm = await create_vm(server, start=False)
    key = str(uuid4())
    first = await succeeded(server, await server.admin.call(vms.DELETE, if_match=1, idempotency_key=key, vm_id=vm.id))
    again = await server.admin.call(vms.DELETE, if_match=1, idempotency_key=key, vm_id=vm.id)
    assert again.id == first.id
    with pytest.raises(errors.NotFound):
        await server.admin.call(vms.DELETE, if_match=1, idempotency_key=str(uuid4()), vm_id=vm.id)


async def test_unmanaged_vm_is_shown_to_administrators_run_and_never_deleted(server: LiveServer) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    unmanaged = await server.vm("test")
    assert (unmanaged.unmanaged, unmanaged.tenant) == (True, None)
    assert (await bob.call(vms.LIST)).total == 0
    with pytest.raises(errors.NotFound, match="VM not found"):
        await bob.call(vms.PAUSE, vm_id=unmanaged.id)
    await succeeded(server, await server.admin.call(vms.POWER_OFF, vm_id=unmanaged.id))
    with pytest.raises(errors.Conflict, match="is unmanaged"):
        await server.admin.call(vms.DELETE, if_match=0, vm_id=unmanaged.id)
    await bob.close()


async def test_viewer_can_read_and_change_nothing(server: LiveServer, image: str) -> None:
    vm = await create_vm(server)
    eve = await server.member("eve", Role.VIEWER)
    assert (await eve.call(vms.GET, vm_id=vm.id)).name == "web-01"
    for endpoint in (vms.START, vms.POWER_OFF, vms.RESET):
        with pytest.raises(errors.Forbidden, match="viewer"):
            await eve.call(endpoint, vm_id=vm.id)
    with pytest.raises(errors.Forbidden):
        await eve.call(vms.CREATE, body=vm_request("web-02"))
    await eve.close()


@pytest.mark.parametrize(
    "vm_id", ["nothing", "6cc44d93-137a-4b47-8b42-e481d7c1466e", "..%2f..", "'; drop table vms; --", "a" * 300]
)
async def test_invalid_id_is_not_found(server: LiveServer, vm_id: str) -> None:
    with pytest.raises(errors.NotFound):
        await server.admin.call(vms.GET, vm_id=vm_id)
    with pytest.raises(errors.NotFound):
        await server.admin.call(operations.GET, operation_id=vm_id)


HOSTILE = """<domain type='test'><name>[red]{name}\u202e\u200b\u0085</name><memory>8192</memory>
<description>&lt;disk/&gt; [/bold]x[/] ]]&gt; \u009b31m {long}</description>
<os><type>hvm</type></os></domain>"""


async def test_hostile_text_in_an_unmanaged_vm_is_shown_and_does_no_harm(
    server: LiveServer, libvirt_connection: libvirt.virConnect
) -> None:
    libvirt_connection.defineXML(HOSTILE.format(name="evil", long="x" * 4096))

    async def seen() -> VM | None:
        page = await server.admin.call(vms.LIST, query=vms.VMQuery(page_size=1000))
        return next((vm for vm in page.items if "evil" in vm.name), None)

    deadline = fair_now() + 15
    while (vm := await seen()) is None:
        assert fair_now() < deadline
        await asyncio.sleep(0.05)
    assert vm.name == "[red]evil\u202e\u200b\u0085"
    assert "]]>" in vm.description


async def test_list_is_filtered_sorted_and_paged(server: LiveServer, image: str) -> None:
    for name in ("x-2", "x-1", "x-3"):
        await create_vm(server, name, start=False)
    page = await server.admin.call(vms.LIST, query=vms.VMQuery(q="X-", sort="-name", page_size=2))
    assert ([vm.name for vm in page.items], page.total) == (["x-3", "x-2"], 3)
    found = await server.admin.call(vms.LIST, query=vms.VMQuery(q="state:stopped -x-1 memory<1G"))
    assert {vm.name for vm in found.items} == {"x-2", "x-3"}
    with pytest.raises(errors.ValidationFailed, match="unknown field colour"):
        await server.admin.call(vms.LIST, query=vms.VMQuery(q="colour:red"))
    stopped = await server.admin.call(vms.LIST, query=vms.VMQuery(state=State.STOPPED))
    assert {vm.name for vm in stopped.items} == {"x-1", "x-2", "x-3"}
    with pytest.raises(errors.ValidationFailed, match="sort"):
        await server.admin.call(vms.LIST, query=vms.VMQuery(sort="password"))
