"""The HTTP routes of bulks."""

from __future__ import annotations

from uuid import UUID

from novacron_core import errors
from novacron_core.api import operations as operations_api
from novacron_core.api import people as people_api
from novacron_core.api import vms as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.api.operations import BulkItem, Operation
from novacron_core.api.ownership import HandOverAll
from novacron_server.access.people.service import People
from novacron_server.http.call import Call, Served, serve
from novacron_server.vms.bulk.service import Bulks


def routes(bulks: Bulks, people: People) -> list[Served]:
    @serve(api.BULK)
    async def submit(call: Call[Nothing, api.BulkRequest]) -> Operation:
        return await bulks.submit(call.principal, call.body, call.idempotency_key)

    @serve(people_api.HAND_OVER)
    async def hand_over_all(call: Call[Nothing, HandOverAll]) -> Operation:
        person = await people.get(call.principal, call.path["user_id"])
        return await bulks.hand_over_all(call.principal, person.username, call.body, call.idempotency_key)

    @serve(operations_api.CHILDREN)
    async def children(call: Call[ListQuery, Nothing]) -> Page[BulkItem]:
        try:
            operation_id = str(UUID(call.path["operation_id"]))
        except ValueError as e:
            raise errors.NotFound("operation not found") from e
        return await bulks.children(call.principal, operation_id, call.query)

    return [submit, hand_over_all, children]
