"""Two tenants request one VM name at the same time: neither learns of the other's VM."""

from __future__ import annotations

import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import access, vms
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.requests import succeeded, vm_request
from tests.support.server import LiveServer


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
        # The second request comes before the first VM has been folded into the inventory.
        monkeypatch.setattr(server.parts.inventory.state, "vms", lambda: iter(()))
        ours = await server.admin.call(vms.CREATE, body=vm_request(start=False))
        theirs = await bob.call(vms.CREATE, body=vm_request(start=False))
        assert theirs.target.name.startswith("web-01-")
        with pytest.raises(errors.Conflict, match="a VM named web-01 already exists"):
            await server.admin.call(vms.CREATE, body=vm_request(start=False))
        monkeypatch.undo()
        for operation in (ours, theirs):
            await succeeded(server, operation)
