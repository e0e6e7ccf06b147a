"""The HTTP routes for signing in and out."""

from __future__ import annotations

from novacron_core.api import access as api
from novacron_core.api.base import Nothing
from novacron_server.access.own_password import OwnPassword
from novacron_server.access.service import Access
from novacron_server.http.call import Call, Served, serve

EmptyCall = Call[Nothing, Nothing]


def routes(access: Access, own_password: OwnPassword) -> list[Served]:
    @serve(api.REGISTER)
    async def register(call: Call[Nothing, api.Register]) -> api.Registered:
        return api.Registered(user=await access.register(call.body, call.who))

    @serve(api.LOGIN)
    async def login(call: Call[Nothing, api.Login]) -> api.Tokens:
        return await access.login(call.body, call.address, call.user_agent)

    @serve(api.REFRESH)
    async def refresh(call: Call[Nothing, api.Refresh]) -> api.Tokens:
        return await access.refresh(call.body)

    @serve(api.VALIDATE)
    async def validate(call: EmptyCall) -> api.Validation:
        return await access.validate(call.principal)

    @serve(api.LOGOUT)
    async def logout(call: EmptyCall) -> Nothing:
        await access.logout(call.principal)
        return Nothing()

    @serve(api.WS_TICKET)
    async def ws_ticket(call: EmptyCall) -> api.Ticket:
        return await access.ticket(call.principal)

    @serve(api.SWITCH_TENANT)
    async def switch_tenant(call: Call[Nothing, api.SwitchTenant]) -> api.Tokens:
        return await access.switch_tenant(call.principal, call.body.tenant)

    @serve(api.CHANGE_PASSWORD)
    async def change_password(call: Call[Nothing, api.PasswordChange]) -> Nothing:
        await own_password.change(call.principal, call.body.old, call.body.new, call.address)
        return Nothing()

    return [register, login, refresh, validate, logout, ws_ticket, switch_tenant, change_password]
