"""Current usage over HTTP. The simulator's CPU counter is the wall clock, so a running VM uses one core."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Literal
from uuid import uuid4

import httpx
import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import history as history_api
from novacron_core.api import usage, vms
from novacron_core.values.roles import Role
from novacron_server.metrics.meter import NO_BALLOON
from tests.support.requests import sampled
from tests.support.server import LiveServer
from tests.support.waiting import until


async def test_fleet_host_and_vm_usage_have_a_source_and_an_age(server: LiveServer) -> None:
    vm = await sampled(server)
    assert (vm.name, vm.source, vm.note) == ("test", "simulator", "")
    assert vm.cpu_cores == pytest.approx(1.0, rel=0.05)
    assert vm.cpu_percent == pytest.approx(50.0, rel=0.05)
    assert (vm.memory_given_bytes, vm.memory_used_bytes, vm.memory_note) == (1 << 30, None, NO_BALLOON)
    assert (vm.disk_read_bytes_s, vm.net_sent_bytes_s) == (None, None)  # it has neither disks nor interfaces
    now = await server.admin.call(usage.NOW)
    assert (now.fleet.vms, now.source) == (1, "simulator")
    assert now.fleet.cpu_cores == pytest.approx(1.0, rel=0.05)
    assert now.fleet.disk_read_bytes_s is None
    (host,) = now.hosts
    assert host.vms == now.fleet
    assert (host.cpu_percent, host.memory_used_bytes) == (None, None)  # the simulator has no such counters
    assert None not in (vm.time, vm.age_s, now.age_s, host.time, host.age_s)


async def test_vms_of_others_and_unmanaged_vms_are_excluded(server: LiveServer) -> None:
    await sampled(server)
    member = await server.member("bob", Role.OPERATOR)
    now = await member.call(usage.NOW)
    assert (now.fleet.vms, now.fleet.cpu_cores, now.hosts[0].vms.vms) == (0, None, 0)
    assert (await member.call(usage.TOP)).items == []


async def test_stopped_vm_has_no_usage(server: LiveServer, libvirt_connection: libvirt.virConnect) -> None:
    await sampled(server)
    libvirt_connection.lookupByName("test").destroy()

    async def empty() -> bool | None:
        return True if not (await server.admin.call(usage.TOP)).items else None

    await until(empty)
    assert (await server.admin.call(usage.NOW)).fleet == usage.UsageTotals()


async def test_top_sorts_filters_and_refuses_unknown_fields(server: LiveServer) -> None:
    await sampled(server)
    totals: dict[Literal["cpu", "memory", "disk", "net"], int] = {"cpu": 1, "memory": 0, "disk": 0, "net": 0}
    for top, found in totals.items():
        assert (await server.admin.call(usage.TOP, query=usage.TopQuery(top=top))).total == found, top
    assert (await server.admin.call(usage.TOP, query=usage.TopQuery(q="-test"))).total == 0
    with pytest.raises(errors.ValidationFailed):
        await server.admin.call(usage.TOP, query=usage.TopQuery(q="colour:red"))
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        for bad in ("top=beauty", "page=0", "page_size=0", "limit=1"):
            assert (await http.get(f"/api/monitoring/vms?{bad}")).status_code == 422, bad


async def test_memory_polling_is_enabled_for_managed_vms(
    server: LiveServer, libvirt_connection: libvirt.virConnect, image: str
) -> None:
    body = vms.VMCreate(name="web", image=image, memory_bytes=32 << 20)
    await server.ended(await server.admin.call(vms.CREATE, body=body))
    vm = await server.vm("web")
    theirs = "<domain type='test'><name>theirs</name><memory>1024</memory><os><type>hvm</type></os><devices>"
    libvirt_connection.createXML(theirs + "<memballoon model='virtio'/></devices></domain>")
    for name in ("web", "theirs"):
        for flag in (libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG)[: 2 if name == "web" else 1]:
            libvirt_connection.lookupByName(name).setMemoryStatsPeriod(0, flag)
        await until(partial(_find_vm, server, name))
        await server.parts.inventory.refresh_vm(vm.host, (await server.vm(name)).id)

    def period(name: str) -> bool:
        return "period='5'" in libvirt_connection.lookupByName(name).XMLDesc()

    async def set_again() -> bool | None:
        return True if period("web") else None

    await until(set_again)
    assert not period("theirs"), "an unmanaged VM is not changed"


async def _find_vm(server: LiveServer, name: str) -> bool | None:
    return True if any(vm.name == name for vm in server.parts.inventory.state.vms()) else None


async def test_history_of_a_vm_its_host_and_the_fleet(server: LiveServer) -> None:
    vm = await server.vm("test")
    await sampled(server)
    history = server.parts.metrics.history
    await history.pack()
    history.record_totals(datetime.now(UTC))
    await history.write()
    found = await server.admin.call(history_api.OF_VM, vm_id=vm.id)
    assert set(found.curves) == set(history_api.Metric)
    cores = [value for value in found.curves["cpu_cores"].average if value is not None]
    assert cores[-1] == pytest.approx(1.0, rel=0.1)
    assert set(found.curves["disk_reads_s"].average) == {None}
    for subject in ("fleet", f"vm:{vm.id}", f"host:{vm.host}"):
        query = history_api.HistoryQuery(subject=subject, metric="cpu_cores")
        assert (await server.admin.call(history_api.HISTORY, query=query)).subject == subject


async def test_history_of_another_tenants_vm_is_not_found(server: LiveServer) -> None:
    vm = await server.vm("test")
    member = await server.member("bob", Role.VIEWER)
    answers = []
    for vm_id in (vm.id, str(uuid4()), "no-uuid"):
        for call in (
            member.call(history_api.OF_VM, vm_id=vm_id),
            member.call(history_api.HISTORY, query=history_api.HistoryQuery(subject=f"vm:{vm_id}")),
        ):
            with pytest.raises(errors.NotFound) as refused:
                await call
            answers.append(refused.value.detail)
    assert len(set(answers)) == 1
    with pytest.raises(errors.NotFound):
        await member.call(history_api.HISTORY, query=history_api.HistoryQuery(subject=f"host:{uuid4()}"))


@pytest.mark.parametrize(
    "bad",
    [
        "points=0", "points=-1", "points=1000000", "points=x", "from=2016-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from=yesterday", "from=2026-01-01T00:00:00", "until=now",
        "to=9999-12-31T23:59:59Z", "to=0001-01-01T00:00:00Z", "from=9999-12-31T23:59:59Z", "from=0001-01-01T00:00:00Z&to=0001-01-01T00:00:01Z",
    ],
)  # fmt: skip
async def test_invalid_range_is_a_422_with_its_field(server: LiveServer, bad: str) -> None:
    vm = await server.vm("test")
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        for path in (f"/api/vm/vms/{vm.id}/metrics", "/api/monitoring/history"):
            answer = await http.get(f"{path}?{bad}")
            assert (answer.status_code, answer.json()["errors"][0]["field"] != "") == (422, True), path


async def test_health_reports_missing_partitions(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/health")).json()["checks"]["metrics"] == {"status": "healthy", "detail": ""}
        server.parts.metrics.history.problem = "cannot create partitions for samples: no room"
        health = await http.get("/health")
        assert (health.status_code, health.json()["checks"]["metrics"]["status"]) == (200, "degraded")
