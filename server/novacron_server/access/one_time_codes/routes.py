"""The HTTP routes for invitations and one-time codes."""

from __future__ import annotations

from novacron_core.api import access as own
from novacron_core.api import people as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.access.one_time_codes.invitations import Invitations
from novacron_server.access.one_time_codes.password_resets import PasswordResets
from novacron_server.http.call import Call, Served, serve

EmptyCall = Call[Nothing, Nothing]


def routes(invitations: Invitations, resets: PasswordResets) -> list[Served]:
    @serve(api.INVITATIONS)
    async def list_invitations(call: Call[ListQuery, Nothing]) -> Page[api.Invitation]:
        return await invitations.page(call.principal, call.query)

    @serve(api.INVITE)
    async def invite(call: Call[Nothing, api.InvitationCreate]) -> api.NewInvitation:
        return await invitations.create(call.principal, call.body)

    @serve(api.REVOKE_INVITATION)
    async def revoke(call: EmptyCall) -> Nothing:
        await invitations.revoke(call.principal, call.path["invitation_id"])
        return Nothing()

    @serve(own.ACCEPT_INVITATION)
    async def accept(call: Call[Nothing, own.AcceptInvitation]) -> own.Registered:
        return own.Registered(user=await invitations.accept(call.body, call.address))

    @serve(own.JOIN)
    async def join(call: Call[Nothing, own.Join]) -> own.Membership:
        return await invitations.join(call.principal, call.body.code, call.address)

    @serve(api.CREATE_RESET_CODE)
    async def create_reset_code(call: EmptyCall) -> api.ResetCode:
        return await resets.create(call.principal, call.path["user_id"])

    @serve(own.RESET_PASSWORD)
    async def reset_password(call: Call[Nothing, own.PasswordReset]) -> Nothing:
        await resets.reset(call.body, call.address)
        return Nothing()

    return [list_invitations, invite, revoke, accept, join, create_reset_code, reset_password]
