"""The HTTP routes of heat, advice, the storage policy and automatic moves."""

from __future__ import annotations

import msgspec

from novacron_core.api import automatic as automatic_api
from novacron_core.api import tiering as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.api.volumes import Volume
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.tiering.advisor import Advisor
from novacron_server.tiering.automatic_moves.history import DecisionHistory
from novacron_server.tiering.automatic_moves.runner import AutomaticMoves
from novacron_server.tiering.policies import Policies
from novacron_server.tiering.service import HeatService


def routes(
    heat: HeatService, advisor: Advisor, policies: Policies, automatic: AutomaticMoves, decisions: DecisionHistory
) -> list[Served]:
    @serve(api.LIST)
    async def list_heat(call: Call[ListQuery, Nothing]) -> Page[api.VolumeHeat]:
        query = msgspec.structs.replace(call.query, sort=call.query.sort or "-heat")
        return page_of(heat.list(call.principal, call.query.q), query)

    @serve(api.OF_VOLUME)
    async def of_volume(call: Call[api.HeatQuery, Nothing]) -> api.HeatHistory:
        return await heat.of_volume(call.principal, call.path["volume_id"], call.query)

    @serve(api.ADVICE)
    async def advice(call: Call[api.AdviceQuery, Nothing]) -> api.StorageAdvice:
        only = frozenset(filter(None, call.query.volumes.split(",")))
        return await advisor.advice(call.principal, only)

    @serve(api.POLICY)
    async def policy(call: Call[Nothing, Nothing]) -> api.StoragePolicy:
        return advisor.policy

    @serve(api.SET_POLICY)
    async def set_policy(call: Call[Nothing, api.PolicyChange]) -> api.StoragePolicy:
        return await policies.change(call.body)

    @serve(api.PLACE)
    async def place(call: Call[Nothing, api.PlacementChange]) -> Volume:
        return await policies.place(call.principal, call.path["volume_id"], call.body)

    @serve(automatic_api.STATUS)
    async def status(call: Call[Nothing, Nothing]) -> automatic_api.AutomaticStatus:
        return automatic.status(call.principal)

    @serve(automatic_api.DECISIONS)
    async def list_decisions(call: Call[ListQuery, Nothing]) -> Page[automatic_api.StorageDecision]:
        return await decisions.page(call.principal, call.query)

    return [list_heat, of_volume, advice, policy, set_policy, place, status, list_decisions]
