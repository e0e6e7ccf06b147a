"""The same libvirt UUID on two hosts: both VMs are shown, and changes are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import vms
from tests.support.event_stream import open_stream
from tests.support.node_files import NODE
from tests.support.server import ServerWithDatabase, open_server
from tests.support.waiting import until

UUID = "7b5c1a5e-9c8e-4f6e-8f7e-3b1f0a4b2c1d"


async def test_both_vms_are_shown_and_cannot_be_changed_until_one_is_gone(data_dir: Path) -> None:
    uris = []
    for name in ("one", "two"):
        node = data_dir / f"{name}.xml"
        node.write_text(NODE.replace("<name>test</name>", f"<name>{name}</name><uuid>{UUID}</uuid>"))
        uris.append(f"test://{node}")
    async with open_server(data_dir, uris) as server:
        both = await until(lambda: _both(server))
        assert {vm.name: len(vm.duplicate_on) for vm in both} == {"one": 1, "two": 1}
        assert {vm.host for vm in both} == {vm.duplicate_on[0] for vm in both}
        with pytest.raises(errors.Conflict, match="UUID"):
            await server.admin.call(vms.PAUSE, vm_id=UUID)
        two = next(vm for vm in both if vm.name == "two")
        first = server.parts.inventory.host(two.host)._supervisor.require().first
        assert first is not None
        libvirt_connection = first.connection
        async with open_stream(server) as stream:
            assert len(stream.frames[-1]["vms"]) == 2
            domain = libvirt_connection.lookupByName("two")
            domain.suspend()
            event = await stream.event("vm.paused")
            assert (event["source"], event["value"]["name"], event["value"]["host"]) == (two.host, "two", two.host)
            domain.destroy()
            domain.undefine()
            gone = await stream.event("vm.deleted")
            assert (gone["source"], gone["value"]) == (two.host, None)
            freed = await stream.until(lambda f: f.get("type") == "vm.updated" and f["source"] != two.host)
            assert freed["value"]["duplicate_on"] == []
        operation = await server.admin.call(vms.PAUSE, vm_id=UUID)
        assert (await server.ended(operation)).state == "succeeded"


async def _both(server: ServerWithDatabase) -> list[vms.VM] | None:
    items = (await server.admin.call(vms.LIST)).items
    return items if len(items) == 2 else None
