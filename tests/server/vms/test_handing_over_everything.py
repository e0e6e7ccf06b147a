"""All of somebody's VMs and volumes go to another one, and what a deleted account has owned is nobody's by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from novacron_core import errors
from novacron_core.api import access, audit, people, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import CHILDREN, BulkItem, BulkItemState, Operation, OperationState
from novacron_core.api.ownership import HandOver, HandOverAll
from novacron_core.api.vms import BulkOptions, BulkRequest
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.event_stream import open_stream
from tests.support.quotas import MIB, limit
from tests.support.requests import succeeded
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, members_of

MISSING = "00000000-0000-4000-8000-000000000000"


@dataclass
class Team:
    """`ann` administers; `default` has the owner `olga` and the operators `eve` and `cid`; `red` the owner `rita`."""

    server: LiveServer
    olga: Client
    eve: Client
    cid: Client
    rita: Client

    @property
    def ann(self) -> Client:
        return self.server.admin

    async def vm_of(self, client: Client, name: str) -> str:
        body = vms.VMCreate(name=name, image="empty", memory_bytes=32 * MIB, start=False)
        await succeeded(self.server, await client.call(vms.CREATE, body=body))
        return (await self.server.vm(name)).id

    async def volume_of(self, client: Client, name: str) -> None:
        body = volumes.VolumeCreate(name=name, size_bytes=4 * MIB)
        await succeeded(self.server, await client.call(volumes.CREATE, body=body))

    async def items(self, bulk: Operation) -> dict[str, BulkItem]:
        await self.server.ended(bulk)
        found = await self.ann.call(CHILDREN, query=ListQuery(page_size=100), operation_id=bulk.id)
        return {item.name: item for item in found.items}

    async def owners(self) -> dict[str, str | None]:
        found = {vm.name: vm.owner for vm in (await self.ann.call(vms.LIST)).items if not vm.unmanaged}
        disks = (await self.ann.call(volumes.LIST, query=ListQuery(page_size=100))).items
        return found | {volume.name: volume.owner for volume in disks if not volume.unmanaged and not volume.vm}


async def id_of(client: Client) -> str:
    return (await client.call(access.VALIDATE)).user.id


@pytest.fixture
async def team(server: LiveServer, image: str, owner_url: str) -> AsyncIterator[Team]:
    await add_tenant(owner_url, "red")
    people: tuple[tuple[str, str, Role], ...] = (
        ("olga", "default", Role.OWNER),
        ("eve", "default", Role.OPERATOR),
        ("cid", "default", Role.OPERATOR),
        ("rita", "red", Role.OWNER),
    )
    async with members_of(server, owner_url, *people) as clients:
        yield Team(server, *clients)


async def test_everything_of_a_person_goes_to_a_colleague_as_one_operation(team: Team) -> None:
    for name in ("web-01", "web-02"):
        await team.vm_of(team.eve, name)
    await team.volume_of(team.eve, "data")
    await team.vm_of(team.cid, "mine")
    body, eve = HandOverAll(to="cid"), await id_of(team.eve)
    with pytest.raises(errors.Forbidden):
        await team.eve.call(people.HAND_OVER, body=body, user_id=eve)
    bulk = await team.olga.call(people.HAND_OVER, body=body, idempotency_key="all-of-eve-0001", user_id=eve)
    assert bulk.target.name == "2 VMs and 1 volume of eve"
    items = await team.items(bulk)
    assert {name: (item.type, item.state) for name, item in items.items()} == {
        "web-01": ("vm", BulkItemState.SUCCEEDED),
        "web-02": ("vm", BulkItemState.SUCCEEDED),
        "data": ("volume", BulkItemState.SUCCEEDED),
    }
    assert set((await team.owners()).values()) == {"cid"}
    again = await team.olga.call(people.HAND_OVER, body=body, idempotency_key="all-of-eve-0001", user_id=eve)
    assert again.id == bulk.id
    with pytest.raises(errors.Conflict, match="eve owns no VM and no volume"):
        await team.olga.call(people.HAND_OVER, body=body, user_id=eve)
    log = await team.olga.call(audit.LIST, query=audit.AuditQuery(q="user:olga result:accepted"))
    assert sorted(entry.action for entry in log.items) == [
        "vm.bulk", "vm.hand-over", "vm.hand-over", "volume.hand-over",
    ]  # fmt: skip


async def test_each_thing_is_checked_against_the_quota_of_its_new_tenant(team: Team, owner_url: str) -> None:
    for name in ("web-01", "web-02"):
        await team.vm_of(team.eve, name)
    await limit(owner_url, max_vms=1)
    body = HandOverAll(to="rita", tenant="red")
    bulk = await team.ann.call(people.HAND_OVER, body=body, user_id=await id_of(team.eve))
    items = await team.items(bulk)
    states = sorted(str(item.state) for item in items.values())
    assert states == ["refused", "succeeded"]
    assert any("the quota of the new tenant has no room for" in item.reason for item in items.values())
    assert sorted(filter(None, (await team.owners()).values())) == ["eve", "rita"]


async def test_owners_of_another_tenant_learn_and_move_nothing(team: Team) -> None:
    await team.vm_of(team.eve, "web-01")
    eve = await id_of(team.eve)
    answers = set()
    for user_id in (eve, MISSING):
        with pytest.raises(errors.NotFound) as refused:
            await team.rita.call(people.HAND_OVER, body=HandOverAll(to="rita"), user_id=user_id)
        answers.add(refused.value.detail)
    assert len(answers) == 1
    answers = set()
    for tenant in ("red", "nowhere"):
        with pytest.raises(errors.NotFound) as refused:
            await team.olga.call(people.HAND_OVER, body=HandOverAll(to="cid", tenant=tenant), user_id=eve)
        answers.add(refused.value.detail)
    assert len(answers) == 1
    answers = set()
    for to in ("rita", "nobody"):
        with pytest.raises(errors.ValidationFailed) as invalid:
            await team.olga.call(people.HAND_OVER, body=HandOverAll(to=to), user_id=eve)
        assert [field.field for field in invalid.value.fields] == ["to"]
        answers.add(invalid.value.detail.replace(to, "…"))
    assert len(answers) == 1
    assert await team.owners() == {"web-01": "eve"}


async def test_marked_vms_are_handed_over_as_a_bulk_with_a_result_each(team: Team) -> None:
    ids = [await team.vm_of(team.eve, "web-01"), await team.vm_of(team.cid, "web-02")]
    with pytest.raises(errors.ValidationFailed, match="to whom"):
        await team.olga.call(vms.BULK, body=BulkRequest(action="hand-over", ids=ids))
    with pytest.raises(errors.ValidationFailed, match="only for the action hand-over"):
        await team.olga.call(vms.BULK, body=BulkRequest(action="stop", ids=ids, options=BulkOptions(owner="cid")))
    body = BulkRequest(action="hand-over", ids=ids, options=BulkOptions(owner="cid"))
    items = await team.items(await team.olga.call(vms.BULK, body=body))
    assert (items["web-01"].state, items["web-02"].state) == (BulkItemState.SUCCEEDED, BulkItemState.REFUSED)
    assert "belongs to cid in default already" in items["web-02"].reason
    assert await team.owners() == {"web-01": "cid", "web-02": "cid"}


async def test_new_account_of_a_deleted_ones_name_inherits_nothing(team: Team) -> None:
    vm_id = await team.vm_of(team.eve, "web-01")
    await team.volume_of(team.eve, "data")
    async with open_stream(team.server, token=team.cid.credentials.token or "") as stream:
        await team.ann.call(people.DELETE, user_id=await id_of(team.eve))
        told = await stream.until(lambda f: f.get("target", {}).get("id") == vm_id)
        assert told["value"]["owner"] == "former user eve"
    assert await team.owners() == {"web-01": "former user eve", "data": "former user eve"}
    body = people.PersonCreate(username="eve", password=PASSWORD, role=Role.OPERATOR)
    await team.ann.call(people.CREATE, body=body)
    async with Client(team.server.url) as new_eve:
        await new_eve.sign_in("eve", PASSWORD)
        with pytest.raises(errors.Forbidden, match="web-01 belongs to former user eve"):
            await new_eve.call(vms.HAND_OVER, body=HandOver(owner="cid"), vm_id=vm_id)
    with pytest.raises(errors.ValidationFailed):
        await team.ann.call(people.CREATE, body=people.PersonCreate(username="former user eve", password=PASSWORD))
    await succeeded(team.server, await team.olga.call(vms.HAND_OVER, body=HandOver(owner="cid"), vm_id=vm_id))
    assert (await team.owners())["web-01"] == "cid"


async def test_name_is_taken_while_something_still_names_it_as_its_owner(team: Team, owner_url: str) -> None:
    """A creation that was on its way while its account was deleted."""
    await team.vm_of(team.eve, "web-01")
    parts = team.server.parts
    await parts.database.run(lambda c: c.exec_driver_sql("UPDATE vms SET owner = 'gil' WHERE name = 'web-01'"))
    with pytest.raises(errors.Conflict, match="This user name is taken"):
        await team.ann.call(people.CREATE, body=people.PersonCreate(username="gil", password=PASSWORD))


async def test_undone_handover_gives_a_deleted_accounts_vm_to_nobody_of_its_name(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id = await team.vm_of(team.eve, "web-01")
    vm, eve = await team.server.vm("web-01"), await id_of(team.eve)

    async def refuse(*_: object) -> None:
        await team.ann.call(people.DELETE, user_id=eve)
        await team.ann.call(people.CREATE, body=people.PersonCreate(username="eve", password=PASSWORD))
        monkeypatch.undo()
        raise errors.Conflict("the definition is read-only")

    monkeypatch.setattr(team.server.parts.inventory.host(vm.host), "set_tag", refuse)
    ended = await team.server.ended(await team.olga.call(vms.HAND_OVER, body=HandOver(owner="cid"), vm_id=vm_id))
    assert ended.state is OperationState.FAILED
    assert (await team.owners())["web-01"] == "former user eve"
