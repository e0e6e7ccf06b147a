"""Names of VMs and volumes tell nothing of other tenants: each tenant has a space of its own."""

from __future__ import annotations

import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import access, vms, volumes
from novacron_core.api.vms import VMQuery
from novacron_core.api.volumes import VolumeClone, VolumeCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of


async def test_names_that_another_tenant_has_are_free(server: LiveServer, image: str, owner_url: str) -> None:
    await three_pools(server)
    await add_tenant(owner_url, "red")
    async with await member_of(server, owner_url, "ron", "red", Role.OPERATOR) as ron:
        taken = VolumeCreate(name="data", size_bytes=8 << 20)
        for client, vm_name, volume_name in ((server.admin, "web-01", "data"), (ron, "red~web-01", "red~data")):
            made = await succeeded(server, await client.call(vms.CREATE, body=vm_request(start=False)))
            assert made.target.name == vm_name
            made = await succeeded(server, await client.call(volumes.CREATE, body=taken))
            assert made.target.name == volume_name
            with pytest.raises(errors.Conflict, match=f"a VM named {vm_name} already exists"):
                await client.call(vms.CREATE, body=vm_request(start=False))
            with pytest.raises(errors.Conflict, match=f"already has a volume named {volume_name}"):
                await client.call(volumes.CREATE, body=taken)
        own = next(each for each in (await ron.call(volumes.LIST)).items if each.name == "red~data")
        clone = VolumeClone(name="copy", tier="warm")
        made = await succeeded(
            server,
            await server.admin.call(volumes.CREATE, body=VolumeCreate(name="copy", size_bytes=8 << 20, tier="warm")),
        )
        made = await succeeded(server, await ron.call(volumes.CLONE, body=clone, volume_id=own.id))
        seen = {each.name for each in (await ron.call(volumes.LIST)).items if each.name.endswith(("data", "copy"))}
        assert seen == {"red~data", "red~copy"}
        (vm,) = (await ron.call(vms.LIST, query=VMQuery(q="web-01"))).items
        assert (vm.name, [disk.source.split("/")[1][:11] for disk in vm.disks]) == ("red~web-01", ["red~web-01-"])


async def test_name_that_another_tenant_just_took_gets_a_suffix(
    server: LiveServer, image: str, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = access.Register(username="bob", password=PASSWORD, role=Role.OPERATOR)
    await server.admin.call(access.REGISTER, body=body)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("INSERT INTO tenants (id, name) VALUES ('red', 'red')")
        await owner.execute("UPDATE users SET tenant = 'red' WHERE username = 'bob'")
        await owner.execute("UPDATE memberships SET tenant = 'red' FROM users WHERE id = user_id AND username = 'bob'")
    async with Client(server.url) as bob:
        await bob.sign_in("bob", PASSWORD)
        # The second request comes before the first VM has been folded into the inventory; the tenant's VM has got its
        # name before names had a tenant.
        monkeypatch.setattr("novacron_server.vms.service.name_in_tenant", lambda name, _tenant: name)
        monkeypatch.setattr(server.parts.inventory.state, "vms", lambda: iter(()))
        ours = await server.admin.call(vms.CREATE, body=vm_request(start=False))
        theirs = await bob.call(vms.CREATE, body=vm_request(start=False))
        assert theirs.target.name.startswith("web-01-")
        with pytest.raises(errors.Conflict, match="a VM named web-01 already exists"):
            await server.admin.call(vms.CREATE, body=vm_request(start=False))
        monkeypatch.undo()
        for operation in (ours, theirs):
            await succeeded(server, operation)
