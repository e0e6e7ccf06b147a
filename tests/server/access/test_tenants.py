"""Tenants, and the session that goes on in another one."""

from __future__ import annotations

import asyncio

import pytest

from novacron_core.api.access import Refresh
from novacron_core.api.base import ListQuery
from novacron_core.api.people import InvitationCreate
from novacron_core.api.tenants import TenantChange, TenantCreate
from novacron_core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from novacron_core.values.roles import Role
from novacron_core.values.sizes import GIB
from novacron_server.database.transactions import Database
from tests.support.access import (
    AccessUnderTest,
    TwoTenants,
    events,
    execute,
    expect_refused,
    open_connections,
)


@pytest.fixture
async def two(ready_access: AccessUnderTest) -> TwoTenants:
    return await ready_access.two_tenants()


async def test_administrators_create_and_change_tenants(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    tenants, ada = ready_access.tenants, two.ada
    quotas = {"max_vms": 10, "max_memory_bytes": 64 * GIB, "max_disk_bytes": {"hot": 100 * GIB}}
    made = await tenants.create(ada, TenantCreate(id="green", name="Grün", **quotas))  # type: ignore[arg-type]
    assert (made.name, made.max_vms, made.max_vcpus, made.max_disk_bytes) == ("Grün", 10, None, {"hot": 100 * GIB})
    now = await tenants.change(ada, "green", TenantChange(max_vms=None, max_vcpus=8, totp_required=True))
    assert (now.max_vms, now.max_vcpus, now.max_memory_bytes, now.totp_required) == (None, 8, 64 * GIB, True)
    last = (await events(database))[-1]
    assert (last.type, last.actor, last.tenant) == ("access.tenant_changed", "ada", "green")
    assert last.note == "max_vms is unlimited, max_vcpus is 8, totp_required is True"
    assert await tenants.change(ada, "green", TenantChange(max_vcpus=8)) == now
    assert (await events(database))[-1] == last
    listed = (await tenants.page(ada, ListQuery())).items
    assert [(each.id, each.members) for each in listed] == [("blue", 2), ("default", 1), ("green", 0), ("red", 2)]
    assert [each.id for each in (await tenants.page(ada, ListQuery(q="grün"))).items] == ["green"]
    with pytest.raises(Conflict, match="already"):
        await tenants.create(ada, TenantCreate(id="green"))
    with pytest.raises(NotFound):
        await tenants.change(ada, "nowhere", TenantChange(name="x"))


async def test_owner_sees_his_tenant_alone_and_changes_none(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    assert (await ready_access.tenants.get(two.rita, "red")).members == 2
    said = set()
    for tenant in ("blue", "default", "nowhere", "\ud800"):
        with pytest.raises(NotFound) as refused:
            await ready_access.tenants.get(two.rita, tenant)
        said.add(refused.value.detail)
    assert said == {"tenant not found"}
    for call in (
        ready_access.tenants.page(two.rita, ListQuery()),
        ready_access.tenants.create(two.rita, TenantCreate(id="mine")),
        ready_access.tenants.change(two.rita, "red", TenantChange(max_vms=None)),
        ready_access.tenants.delete(two.rita, "red"),
    ):
        with pytest.raises(Forbidden):
            await call


async def test_tenant_is_deleted_when_it_is_empty(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database, owner_url: str
) -> None:
    tenants, ada = ready_access.tenants, two.ada
    with pytest.raises(Conflict, match="tenant of new accounts"):
        await tenants.delete(ada, "default")
    with pytest.raises(Conflict, match="2 members"):
        await tenants.delete(ada, "red")
    await ready_access.invitations.create(two.rita, InvitationCreate())
    away = (await ready_access.access.switch_tenant(ada, "red")).token
    for person in (two.rita, two.ron):
        await ready_access.people.remove_member(ada, "red", person.user_id)
    operation = "INSERT INTO operations (id, kind, target_type, target_id, tenant, state)"
    await execute(owner_url, f"{operation} VALUES (gen_random_uuid(), 'vm.stop', 'vm', 'x', 'red', 'running')")
    with pytest.raises(Conflict, match="1 running operation"):
        await tenants.delete(ada, "red")
    await execute(owner_url, "UPDATE operations SET state = 'succeeded'")
    await tenants.delete(ada, "red")
    assert await expect_refused(ready_access, away)
    last = (await events(database))[-1]
    assert (last.type, last.target.id, last.actor) == ("access.tenant_deleted", "red", "ada")
    with pytest.raises(NotFound):
        await tenants.get(ada, "red")
    assert (await ready_access.principal()).tenant == "default"


async def test_id_of_a_deleted_tenant_is_not_given_to_another_one(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    """Its owner would read the events and the audit log of the deleted one."""
    tenants, ada = ready_access.tenants, two.ada
    await tenants.create(ada, TenantCreate(id="green"))
    await tenants.delete(ada, "green")
    with pytest.raises(Conflict, match="was the id of a tenant that was deleted") as refused:
        await tenants.create(ada, TenantCreate(id="green"))
    assert [each.field for each in refused.value.fields] == ["id"]
    with pytest.raises(NotFound):
        await tenants.get(ada, "green")


async def test_nobody_joins_a_tenant_while_it_is_deleted(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    for number in range(5):
        tenant = f"green{number}"
        await ready_access.tenants.create(two.ada, TenantCreate(id=tenant))
        await open_connections(database)
        results = await asyncio.gather(
            ready_access.tenants.delete(two.ada, tenant),
            ready_access.people.set_role(two.ada, tenant, two.bea.user_id, Role.VIEWER),
            return_exceptions=True,
        )
        assert [type(result) for result in results if isinstance(result, BaseException)] in ([Conflict], [NotFound])


# -- going on in another tenant ------------------------------------------------------------------------------------------


async def test_session_goes_on_in_another_tenant_of_the_user(
    ready_access: AccessUnderTest, two: TwoTenants, database: Database
) -> None:
    await ready_access.people.set_role(two.ada, "blue", two.ron.user_id, Role.VIEWER)
    issued = await ready_access.login("ron")
    ron = await ready_access.access.authenticate(issued.token)
    ticket = await ready_access.access.ticket(ron)
    switched = await ready_access.access.switch_tenant(ron, "blue")
    assert (switched.user.tenant, switched.user.role, switched.refresh_token) == ("blue", Role.VIEWER, "")
    assert [each.tenant for each in switched.user.memberships] == ["blue", "red"]
    now = await ready_access.access.authenticate(switched.token)
    assert (now.session_id, now.tenant, now.role) == (ron.session_id, "blue", Role.VIEWER)
    assert ron.session_id in ready_access.ended
    assert await expect_refused(ready_access, issued.token)
    with pytest.raises(Unauthenticated):
        await ready_access.access.redeem_ticket(ticket.ticket)
    renewed = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert (await ready_access.access.authenticate(renewed.token)).tenant == "blue"
    last = (await events(database))[-1]
    assert (last.type, last.before, last.after) == ("access.tenant_switched", None, "blue")
    assert (await ready_access.login("ron")).user.tenant == "red"  # sign-ins begin where they did


async def test_tenant_of_others_is_missing_and_administrators_enter_any(
    ready_access: AccessUnderTest, two: TwoTenants
) -> None:
    said = set()
    for who, tenant in ((two.ron, "blue"), (two.ron, "nowhere"), (two.ron, "*"), (two.ada, "nowhere")):
        with pytest.raises(NotFound) as refused:
            await ready_access.access.switch_tenant(who, tenant)
        said.add(refused.value.detail)
    assert said == {"tenant not found"}
    assert two.ron.session_id not in ready_access.ended
    away = await ready_access.access.switch_tenant(two.ada, "blue")
    assert (away.user.tenant, away.user.role) == ("blue", Role.ADMINISTRATOR)


async def test_ended_session_goes_on_nowhere(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    await ready_access.access.logout(two.ada)
    with pytest.raises(Unauthenticated):
        await ready_access.access.switch_tenant(two.ada, "blue")


async def test_validation_tells_of_the_tenant_of_the_session(ready_access: AccessUnderTest, two: TwoTenants) -> None:
    away = await ready_access.access.switch_tenant(two.ada, "blue")
    now = await ready_access.access.authenticate(away.token)
    assert (await ready_access.access.validate(now)).user.tenant == "blue"
