"""A request that names a tenant which there is not: refused as what it is, not by the database."""

from __future__ import annotations

import pytest

from novacron_core import errors
from novacron_core.api import ownership, vms
from tests.support.server import LiveServer


@pytest.mark.parametrize("tenant", ["gone", "hot", "\x1b[2J"])
async def test_vm_is_not_adopted_into_a_tenant_that_there_is_not(server: LiveServer, tenant: str) -> None:
    vm = await server.vm("test")
    with pytest.raises(errors.ValidationFailed, match="no such tenant"):
        await server.admin.call(vms.ADOPT, body=ownership.Adopt(tenant=tenant), vm_id=vm.id)
    assert (await server.admin.call(vms.GET, vm_id=vm.id)).unmanaged
