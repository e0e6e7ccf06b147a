"""What tests of bulks share: a simulated fleet, and the items of a bulk."""

from __future__ import annotations

from typing import Any

from novacron_core.api import operations, vms
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import BulkItem, Operation
from novacron_core.api.vms import VM, BulkOptions, BulkRequest
from novacron_core.client import Client

ALL = ListQuery(page_size=1000)


async def start_bulk(client: Client, action: Any, ids: list[str], *, key: str = "", **options: Any) -> Operation:
    """Request a bulk."""
    body = BulkRequest(action=action, ids=ids, options=BulkOptions(**options))
    return await client.call(vms.BULK, body=body, idempotency_key=key)


async def items_of(client: Client, bulk: Operation) -> list[BulkItem]:
    """The items of a bulk, the worst first."""
    return (await client.call(operations.CHILDREN, query=ALL, operation_id=bulk.id)).items


async def fleet(client: Client) -> list[VM]:
    """All VMs that the client sees, by name."""
    return (await client.call(vms.LIST, query=vms.VMQuery(page_size=1000))).items
