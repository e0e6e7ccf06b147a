"""The filter of the audit log finds the same in the database as in Python; and how actions are named."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import access, images, operations, pools, vms, volumes
from novacron_core.api.audit import AuditEntry, AuditQuery, AuditResult
from novacron_core.api.operations import Target
from novacron_core.rules.filters.audit import audit_fields
from novacron_core.rules.filters.language import compile_filter
from novacron_server.audit import repository, service
from novacron_server.audit.records import Actor, action_of, target_of
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.asked import Asked
from tests.support.audit import ADMINISTRATOR, AuditUnderTest, entry

FILTERS = [
    "", "bob", "BOB", "db-*", "*01", "-bob", "action:stop", "action:vm.stop", "action:vm", "-action:stop", "action:sign-in",
    "action:power-off", "action:off", "who:ann", "who:an", 'who:"an"', "who:u-2", "-who:ann", "target:db-01", "target:id-db",
    "type:vm", "type:user", "from:10.0.*", "from:192", "-from:192", "result:refused", "result:ref,fail", "role:viewer",
    "tenant:blue", 'tenant:""', "token:ci", "session:s-2", "request:r-1", "age<1h", "age>1h", "-age>1h", "since:2h",
    "since:2090-01-01", "100%", "a_b", "back\\slash", "Ärger", "ärger", "who:bob action:stop target:db-01 since:2d", "quota",
    "user:ann", "by:u-2", "-user:bob", "user:bob action:vm.stop target:db-01",
]  # fmt: skip


@pytest.fixture
async def log(database: Database, data_dir: Path) -> AuditUnderTest:
    made = AuditUnderTest(database, data_dir)
    ann = Actor("u-2", "ann", "viewer", "10.0.0.8", "s-2", "ci-deploy", "r-22")
    await made.write(
        entry(),
        entry("db-02", "blue", actor=ann, result=AuditResult.REFUSED, detail="your quota is used up", status=409),
        entry("db-01", "blue", action="vm.power-off", time=datetime.now(UTC) - timedelta(hours=3)),
        entry("100% a_b", "", action="image.delete", detail="back\\slash ÄRGER"),
        entry("axb", "", action="sign-in", result=AuditResult.FAILED, actor=ann),
        entry("other", action="access.role_changed", result=AuditResult.DONE, actor=Actor()),
    )
    return made


@pytest.mark.parametrize("text", FILTERS)
async def test_the_filter_is_the_same_in_sql_as_in_python(log: AuditUnderTest, text: str) -> None:
    everything: list[AuditEntry] = (await log.audit.page(ADMINISTRATOR, AuditQuery(page_size=1000))).items
    try:
        matches = compile_filter(text, audit_fields(lambda: datetime.now(UTC)))
    except ValueError:
        with pytest.raises(errors.ValidationFailed):
            await log.audit.page(ADMINISTRATOR, AuditQuery(q=text))
        return
    wanted = [(each.tenant, each.seq) for each in everything if matches(each)]
    page = await log.audit.page(ADMINISTRATOR, AuditQuery(q=text, page_size=1000))
    assert [(each.tenant, each.seq) for each in page.items] == wanted
    assert page.total == len(wanted)


async def test_entries_tell_their_hash_and_the_one_that_it_covers(log: AuditUnderTest) -> None:
    page = await log.audit.page(ADMINISTRATOR, AuditQuery(page_size=1000))
    hashes = {(each.tenant, each.seq): each.hash for each in page.items}
    assert len(set(hashes.values())) == len(page.items)
    assert any(each.seq > 1 for each in page.items)
    for each in page.items:
        before = "0" * 64 if each.seq == 1 else hashes[each.tenant, each.seq - 1]
        assert each.previous == before, each
    (found,) = (await log.audit.page(ADMINISTRATOR, AuditQuery(q="target:db-02"))).items
    assert (found.hash, found.previous) == (hashes["blue", found.seq], hashes.get(("blue", found.seq - 1), "0" * 64))


async def test_who_stopped_it_from_where(log: AuditUnderTest) -> None:
    assert await log.found("action:stop target:db-01 since:2d") == ["bob vm.stop db-01 accepted"]
    assert await log.found("action:off target:db-01") == []


@pytest.mark.parametrize(
    ("endpoint", "action"),
    [
        (vms.STOP, "vm.stop"), (vms.CREATE, "vm.create"), (vms.DELETE, "vm.delete"), (vms.GET, "vm.read"),
        (vms.POWER_OFF, "vm.power-off"), (vms.CRASH, "vm.crash-read"), (volumes.MOVE, "volume.tier"),
        (volumes.RESIZE, "volume.resize"), (images.PUT, "image.upload"), (images.DELETE, "image.delete"),
        (operations.CANCEL, "operation.cancel"), (access.LOGIN, "sign-in"), (access.LOGOUT, "sign-out"),
    ],
)  # fmt: skip
def test_requests_are_named_like_what_they_do(endpoint: object, action: str) -> None:
    assert action_of(endpoint) == action  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pasted", ["eyJhbGciOiJIUzI1NiJ9.e30.x", "quiet harbour", "nvt_AbCdEf", "x" * 64, "../../etc", ""]
)
def test_what_may_be_a_pasted_secret_is_left_out_of_the_target(pasted: str) -> None:
    assert target_of(Asked(endpoint=vms.STOP, path={"vm_id": pasted})) == Target(type="vm", id="", name="(malformed)")
    assert target_of(Asked(endpoint=images.DELETE, path={"name": pasted})).name == "(malformed)"


def test_targets_of_requests() -> None:
    vm_id = "00000000-0000-0000-0000-000000000001"
    assert target_of(Asked(endpoint=vms.STOP, path={"vm_id": vm_id})) == Target(type="vm", id=vm_id)
    assert target_of(Asked(endpoint=images.DELETE, path={"name": "web"})) == Target(type="image", id="web", name="web")
    assert target_of(Asked(endpoint=pools.LIST)) == Target(type="pool", id="")


async def test_searches_of_one_tenant_hold_up_no_other(log: AuditUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end, begun, page = asyncio.Event(), asyncio.Event(), repository.page

    async def slowly(connection: Connection, chosen: repository.EntrySelection, offset: int, limit: int) -> object:
        if chosen.terms:
            begun.set()
            await may_end.wait()
        return await page(connection, chosen, offset, limit)

    monkeypatch.setattr(repository, "page", slowly)
    monkeypatch.setattr(service, "_WAIT_S", 60.0)
    red = [dataclasses.replace(ADMINISTRATOR, user_id=f"u-{n}", tenant="red") for n in (7, 7, 8, 9)]
    searches = [asyncio.create_task(log.audit.page(mallory, AuditQuery(q="slow"))) for mallory in red]
    await begun.wait()
    async with asyncio.timeout(10):
        assert (await log.audit.page(ADMINISTRATOR, AuditQuery())).total
    monkeypatch.setattr(service, "_WAIT_S", 0.1)
    with pytest.raises(errors.RateLimited, match="other reads of the audit log are running: try again"):
        await log.audit.page(red[-1], AuditQuery())
    may_end.set()
    await asyncio.gather(*searches)
