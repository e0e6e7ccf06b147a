"""The HTTP routes of operations."""

from __future__ import annotations

from uuid import UUID

from novacron_core import errors
from novacron_core.api import operations as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.rules.visibility import readable_operation
from novacron_server.http.call import Call, Served, serve
from novacron_server.operations.runner import Operations


def routes(operations: Operations) -> list[Served]:
    @serve(api.LIST)
    async def list_operations(call: Call[ListQuery, Nothing]) -> Page[api.Operation]:
        query = call.query
        found, total = await operations.page(call.principal, query.q, query.page, query.page_size)
        items = [readable_operation(call.principal, operation) for operation in found]
        return Page(items=items, total=total, page=query.page, page_size=query.page_size)

    @serve(api.GET)
    async def get(call: Call[Nothing, Nothing]) -> api.Operation:
        return await operations.get(call.principal, _id(call))

    @serve(api.CANCEL)
    async def cancel(call: Call[Nothing, Nothing]) -> api.Operation:
        return await operations.cancel(call.principal, _id(call))

    return [list_operations, get, cancel]


def _id(call: Call[Nothing, Nothing]) -> str:
    """The id in the path. Raises NotFound for a malformed one."""
    try:
        return str(UUID(call.path["operation_id"]))
    except ValueError as e:
        raise errors.NotFound("operation not found") from e
