"""The HTTP routes for people and their memberships."""

from __future__ import annotations

from novacron_core.api import people as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.access.people.service import People
from novacron_server.http.call import Call, Served, serve

EmptyCall = Call[Nothing, Nothing]


def routes(people: People) -> list[Served]:
    @serve(api.LIST)
    async def list_people(call: Call[ListQuery, Nothing]) -> Page[api.Person]:
        return await people.page(call.principal, call.query)

    @serve(api.GET)
    async def get(call: EmptyCall) -> api.Person:
        return await people.get(call.principal, call.path["user_id"])

    @serve(api.CREATE)
    async def create(call: Call[Nothing, api.PersonCreate]) -> api.Person:
        return await people.create(call.principal, call.body)

    @serve(api.CHANGE)
    async def change(call: Call[Nothing, api.PersonChange]) -> api.Person:
        return await people.change(call.principal, call.path["user_id"], call.body)

    @serve(api.DELETE)
    async def delete(call: EmptyCall) -> Nothing:
        await people.delete(call.principal, call.path["user_id"])
        return Nothing()

    @serve(api.SET_ROLE)
    async def set_role(call: Call[Nothing, api.MemberRole]) -> api.Person:
        return await people.set_role(call.principal, call.path["tenant"], call.path["user_id"], call.body.role)

    @serve(api.REMOVE_MEMBER)
    async def remove_member(call: EmptyCall) -> Nothing:
        await people.remove_member(call.principal, call.path["tenant"], call.path["user_id"])
        return Nothing()

    return [list_people, get, create, change, delete, set_role, remove_member]
