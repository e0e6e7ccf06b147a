"""The HTTP routes of second factors."""

from __future__ import annotations

from novacron_core.api import second_factor as api
from novacron_core.api.base import Nothing
from novacron_server.access.ids import id_in
from novacron_server.access.second_factor.proofs import Proofs
from novacron_server.access.second_factor.service import SecondFactors
from novacron_server.http.call import Call, Served, serve


def routes(factors: SecondFactors, proofs: Proofs) -> list[Served]:
    @serve(api.GET)
    async def show(call: Call[Nothing, Nothing]) -> api.SecondFactor:
        return await factors.show(call.principal)

    @serve(api.BEGIN)
    async def begin(call: Call[Nothing, api.BeginTotp]) -> api.TotpSecret:
        return await factors.begin(call.principal, call.body, call.address)

    @serve(api.CONFIRM)
    async def confirm(call: Call[Nothing, api.ConfirmTotp]) -> api.RecoveryCodes:
        return await factors.confirm(call.principal, call.body)

    @serve(api.END)
    async def end(call: Call[Nothing, api.EndTotp]) -> Nothing:
        await factors.end(call.principal, call.body, call.address)
        return Nothing()

    @serve(api.END_OF_USER)
    async def end_of_user(call: Call[Nothing, Nothing]) -> Nothing:
        await factors.end_of_user(call.principal, id_in(call.path, "user_id"))
        return Nothing()

    @serve(api.PROVE)
    async def prove(call: Call[Nothing, api.Prove]) -> api.Proved:
        return await proofs.prove(call.principal, call.body, call.address)

    return [show, begin, confirm, end, end_of_user, prove]
