"""One action on many VMs as one operation: each with its own result, in one row, however it goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api import api_tokens, operations, people, stored_events, vms
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import BulkCounts, BulkItemState, Operation, OperationState
from novacron_core.api.ownership import HandOver
from novacron_core.api.people import MemberRole, PersonChange
from novacron_core.api.vms import BulkRequest, State
from novacron_core.client import Client, Credentials
from novacron_core.values.roles import Role
from novacron_server.access import repository as accounts
from novacron_server.operations.recovery import recover_all
from novacron_server.vms.bulk import procedure, repository, service
from tests.support.api_tokens import create
from tests.support.bulks import ALL, fleet, items_of, start_bulk
from tests.support.event_stream import open_stream
from tests.support.node_files import write_node
from tests.support.requests import create_vm
from tests.support.server import LiveServer
from tests.support.waiting import until


@pytest.fixture
def uri(data_dir: Path) -> str:
    return write_node(data_dir / "node.xml", 12)


async def test_each_vm_has_an_operation_of_its_own_and_its_own_result(server: LiveServer) -> None:
    """Of twelve VMs eight run, two are paused and two are stopped already."""
    found = await fleet(server.admin)
    bulk = await start_bulk(server.admin, "stop", [vm.id for vm in found])
    assert (bulk.kind, bulk.child_kind, bulk.target.name) == ("vm.bulk", "vm.stop", "12 VMs")
    assert bulk.counts is not None
    assert bulk.counts.total == 12
    ended = await server.ended(bulk)
    assert ended.counts == BulkCounts(succeeded=10, refused=2)
    assert ended.state is OperationState.REFUSED
    assert ended.problem is not None
    paused = sorted(vm.name for vm in found if vm.state is State.PAUSED)
    items = await items_of(server.admin, bulk)
    assert [item.name for item in items[:2]] == paused, "those that need attention come first"
    assert ended.problem.detail == f"10 shut down, 2 refused: {items[0].reason}, and 1 more"
    assert items[0].reason == f"{paused[0]} is paused: resume it first, or power it off"
    notes = {item.name: item.reason for item in items if item.state is BulkItemState.SUCCEEDED and item.reason}
    assert set(notes) == {vm.name for vm in found if vm.state is State.STOPPED}
    assert all("already stopped" in note for note in notes.values())
    for item in items:
        if item.operation_id is not None:
            child = await server.admin.call(operations.GET, operation_id=item.operation_id)
            assert (child.kind, child.parent, child.target.id) == ("vm.stop", bulk.id, item.vm_id)
    assert sum(item.operation_id is not None for item in items) == 8
    assert {vm.state for vm in await fleet(server.admin)} == {State.STOPPED, State.PAUSED}


async def test_requests_that_make_no_sense_are_refused_with_the_field(server: LiveServer) -> None:
    vm_id = (await fleet(server.admin))[0].id
    wrong: list[tuple[BulkRequest, str]] = [
        (BulkRequest(action="start"), "ids"),
        (BulkRequest(action="start", ids=[]), "ids"),
        (BulkRequest(action="start", ids=[vm_id], q="web", count=1), "ids"),
        (BulkRequest(action="start", ids=[vm_id], count=1), "count"),
        (BulkRequest(action="start", q="web"), "count"),
        (BulkRequest(action="start", q="nothing-has-this-name", count=0), "q"),
        (BulkRequest(action="start", q="color:red", count=1), "q"),
        (BulkRequest(action="start", ids=[vm_id], options=vms.BulkOptions(disks=True)), "options.disks"),
        (BulkRequest(action="start", ids=[vm_id], options=vms.BulkOptions(force_after_s=5)), "options.force_after_s"),
    ]
    for body, field in wrong:
        with pytest.raises(errors.ValidationFailed) as refused:
            await server.admin.call(vms.BULK, body=body)
        assert refused.value.fields[0].field == field, body
    with pytest.raises(errors.ValidationFailed, match="5000"):
        await start_bulk(server.admin, "start", [f"00000000-0000-4000-8000-{n:012d}" for n in range(5001)])


async def test_key_of_one_request_is_refused_for_other_ids_that_look_the_same_joined(server: LiveServer) -> None:
    vm_id = (await fleet(server.admin))[0].id
    one, two = (BulkRequest(action="start", ids=[vm_id, *ids]) for ids in (["a\nb"], ["a", "b"]))
    await server.admin.call(vms.BULK, body=one, idempotency_key="key-of-one")
    with pytest.raises(errors.ValidationFailed, match="another request"):
        await server.admin.call(vms.BULK, body=two, idempotency_key="key-of-one")


@pytest.mark.long  # it measures time: on a busy machine the first transaction might be too slow too
async def test_bulk_that_is_stored_after_its_answer_is_run_now_and_not_by_the_next_server(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction waits for another one, and both are slow: 503 is answered before it is committed."""
    add = repository.add

    monkeypatch.setattr(server.parts.database, "budget_s", budget_s := 6.0)

    async def slowly(*args: Any) -> None:
        await asyncio.sleep(0.7 * budget_s)
        await add(*args)

    monkeypatch.setattr(repository, "add", slowly)
    first, second = [vm for vm in await fleet(server.admin) if vm.state is State.RUNNING][:2]
    before = asyncio.create_task(start_bulk(server.admin, "pause", [first.id]))
    await asyncio.sleep(0.3)
    with pytest.raises(errors.DatabaseUnavailable, match="check whether it was made"):
        await start_bulk(server.admin, "pause", [second.id])
    await server.ended(await before)

    async def paused() -> bool | None:
        return all(vm.state is State.PAUSED for vm in await fleet(server.admin) if vm.id == second.id) or None

    await until(paused)


async def test_filter_takes_what_it_matches_and_only_if_the_number_is_as_seen(server: LiveServer) -> None:
    stopped = [vm for vm in await fleet(server.admin) if vm.state is State.STOPPED]
    with pytest.raises(errors.Conflict, match="matches 2 VMs now, not 3"):
        await server.admin.call(vms.BULK, body=BulkRequest(action="start", q="state:stopped", count=3))
    bulk = await server.admin.call(vms.BULK, body=BulkRequest(action="start", q="state:stopped", count=2))
    assert (await server.ended(bulk)).state is OperationState.SUCCEEDED
    assert {item.vm_id for item in await items_of(server.admin, bulk)} == {vm.id for vm in stopped}


async def test_id_counts_once_and_one_that_does_not_exist_is_refused_alone(server: LiveServer) -> None:
    vm = next(vm for vm in await fleet(server.admin) if vm.state is State.RUNNING)
    missing = "00000000-0000-4000-8000-000000000001"
    bulk = await server.ended(await start_bulk(server.admin, "pause", [vm.id, missing, vm.id.upper(), "what?"]))
    assert bulk.counts == BulkCounts(succeeded=1, refused=2)
    found = {item.name: (item.state, item.reason) for item in await items_of(server.admin, bulk)}
    assert found == {
        vm.name: (BulkItemState.SUCCEEDED, ""),
        missing: (BulkItemState.REFUSED, "no such VM"),
        "what?": (BulkItemState.REFUSED, "no such VM"),
    }


async def test_vms_of_another_tenant_answer_as_missing_ones_and_nothing_of_them_is_changed(server: LiveServer) -> None:
    """An operator sees no unmanaged VM, and the simulator's are."""
    operator = await server.member("olga", Role.OPERATOR)
    running = [vm for vm in await fleet(server.admin) if vm.state is State.RUNNING][:2]
    missing = ["00000000-0000-4000-8000-000000000001", "what?"]
    answers = []
    for ids in ([vm.id for vm in running], missing):
        with pytest.raises(errors.NotFound) as several:
            await start_bulk(operator, "power-off", ids)
        with pytest.raises(errors.NotFound) as single:
            await start_bulk(operator, "power-off", ids[:1])
        answers.append((several.value.detail, single.value.detail))
    assert answers == [("none of the 2 VMs was found: look at the list again", "VM not found")] * 2
    assert (await operator.call(operations.LIST)).total == 0, "nothing is stored"
    assert {(await server.vm(vm.name)).state for vm in running} == {State.RUNNING}
    theirs = await start_bulk(server.admin, "pause", [running[0].id])
    with pytest.raises(errors.NotFound):
        await operator.call(operations.GET, operation_id=theirs.id)
    with pytest.raises(errors.NotFound):
        await items_of(operator, theirs)


async def test_user_with_too_many_open_bulks_is_told_what_to_do_and_others_are_not_kept(
    server: LiveServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests come at once, and none of the bulks ends before the file exists."""
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.bulk:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "release"))
    second = await server.member("bob", Role.ADMINISTRATOR)
    ids = [vm.id for vm in await fleet(server.admin)]
    sent = [start_bulk(server.admin, "start", ids, key=f"k{n}") for n in range(service.MAX_OPEN + 5)]
    answers = await asyncio.gather(*sent, return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, Operation)]
    refused = [answer for answer in answers if isinstance(answer, errors.RateLimited)]
    assert (len(accepted), len(refused)) == (service.MAX_OPEN, 5)
    assert {answer.detail for answer in refused} == {
        "20 of your changes of several VMs have not ended: wait until one has, or cancel one"
    }
    assert all(answer.retry_after_s for answer in refused)
    await start_bulk(second, "start", ids)
    again = answers.index(accepted[0])
    assert (await start_bulk(server.admin, "start", ids, key=f"k{again}")).id == accepted[0].id
    (data_dir / "release").touch()
    await server.ended(accepted[0])
    await server.ended(await start_bulk(server.admin, "start", ids))


async def test_viewer_may_not_and_a_repeated_request_has_one_effect(server: LiveServer) -> None:
    viewer = await server.member("vic", Role.VIEWER)
    ids = [vm.id for vm in await fleet(server.admin)]
    with pytest.raises(errors.Forbidden):
        await start_bulk(viewer, "pause", ids)
    first = await start_bulk(server.admin, "pause", ids, key="k")
    await server.ended(first)
    assert (await start_bulk(server.admin, "pause", ids, key="k")).id == first.id
    with pytest.raises(errors.ValidationFailed, match="Idempotency-Key"):
        await start_bulk(server.admin, "pause", ids[1:], key="k")
    page = await server.admin.call(operations.LIST, query=ListQuery(q="vm.pause"))
    assert page.total == sum(item.operation_id is not None for item in await items_of(server.admin, first))


async def test_cancel_stops_what_is_queued_and_waits_for_what_runs(
    server: LiveServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.power-off:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "release"))
    ids = [vm.id for vm in await fleet(server.admin) if vm.state is State.RUNNING]
    bulk = await start_bulk(server.admin, "power-off", ids)
    await until(lambda: _running(server, bulk, procedure.PER_HOST))
    answered = await server.admin.call(operations.CANCEL, operation_id=bulk.id)
    assert (answered.state, answered.may_cancel) == (OperationState.RUNNING, False)
    assert answered.counts == BulkCounts(running=4, cancelled=len(ids) - 4)
    with pytest.raises(errors.Conflict, match="cannot be cancelled"):
        await server.admin.call(operations.CANCEL, operation_id=bulk.id)
    (data_dir / "release").touch()
    ended = await server.ended(bulk)
    assert ended.state is OperationState.CANCELLED
    assert ended.problem is not None
    assert ended.problem.detail == f"cancelled by ann: 4 powered off, {len(ids) - 4} cancelled"
    assert ended.counts == BulkCounts(succeeded=4, cancelled=len(ids) - 4)
    running = [vm for vm in await fleet(server.admin) if vm.state is State.RUNNING]
    assert len(running) == len(ids) - 4


async def _running(server: LiveServer, bulk: Operation, count: int) -> bool | None:
    items = await items_of(server.admin, bulk)
    return True if sum(item.state is BulkItemState.RUNNING for item in items) == count else None


async def test_power_off_does_not_wait_behind_guests_that_do_not_shut_down(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It supersedes the shutdowns that run, and those that are queued find their VM off already."""
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.stop:began=pause")
    ids = [vm.id for vm in await fleet(server.admin) if vm.state is State.RUNNING]
    asked = await start_bulk(server.admin, "stop", ids)
    await until(lambda: _running(server, asked, procedure.PER_HOST))
    forced = await server.ended(await start_bulk(server.admin, "power-off", ids))
    assert forced.counts == BulkCounts(succeeded=len(ids))
    ended = await server.ended(asked)
    assert ended.counts is not None
    assert (ended.counts.succeeded + ended.counts.cancelled, ended.counts.failed) == (len(ids), 0)
    assert ended.state is OperationState.CANCELLED


async def test_account_that_is_demoted_starts_nothing_more(
    server: LiveServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_server.access.askers.CHECK_EVERY_S", 0.0)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.pause:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "release"))
    second = await server.member("bob", Role.ADMINISTRATOR)
    ids = [vm.id for vm in await fleet(second) if vm.state is State.RUNNING]
    bulk = await start_bulk(second, "pause", ids)
    await until(lambda: _running(server, bulk, procedure.PER_HOST))
    bob = await server.parts.access.authenticate(second.credentials.token)
    await server.admin.call(people.SET_ROLE, body=MemberRole(role=Role.VIEWER), tenant=bob.tenant, user_id=bob.user_id)
    await server.admin.call(people.CHANGE, body=PersonChange(administrator=False), user_id=bob.user_id)
    (data_dir / "release").touch()
    ended = await server.ended(bulk)
    assert ended.state is OperationState.CANCELLED
    assert ended.counts == BulkCounts(succeeded=4, cancelled=len(ids) - 4)
    assert ended.problem is not None
    assert "the account bob lacks the permission vm:change now (its role: viewer)" in ended.problem.detail


async def test_end_of_an_api_token_ends_what_it_began(
    server: LiveServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one without a filter, whose user goes on."""
    monkeypatch.setattr("novacron_server.access.askers.CHECK_EVERY_S", 0.0)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.pause:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "release"))
    made = await create(server.admin)
    async with Client(server.url, Credentials(made.token)) as script:
        ids = [vm.id for vm in await fleet(script) if vm.state is State.RUNNING]
        bulk = await start_bulk(script, "pause", ids)
        await until(lambda: _running(server, bulk, procedure.PER_HOST))
        await server.admin.call(api_tokens.REVOKE, token_id=made.api_token.id)
        (data_dir / "release").touch()
        ended = await server.ended(bulk)
    assert ended.counts == BulkCounts(succeeded=4, cancelled=len(ids) - 4)
    assert ended.problem is not None and "the API token that began this has ended" in ended.problem.detail


@pytest.mark.usefixtures("image")
async def test_bulk_of_an_api_token_may_no_more_than_the_token(server: LiveServer) -> None:
    """Handing over what is somebody else's takes a permission of its own, which the token lacks."""
    await (await server.member("bob", Role.OPERATOR)).close()
    vm = await create_vm(server, start=False)
    await server.ended(await server.admin.call(vms.HAND_OVER, body=HandOver(owner="bob"), vm_id=vm.id))
    made = await create(server.admin, permissions=["vm:read", "vm:change", "operation:read"])
    async with Client(server.url, Credentials(made.token)) as script:
        with pytest.raises(errors.Forbidden):
            await script.call(vms.HAND_OVER, body=HandOver(owner="ann"), vm_id=vm.id)
        bulk = await start_bulk(script, "hand-over", [vm.id], owner="ann")
        await server.ended(bulk)
        (item,) = await items_of(script, bulk)
    assert item.state is BulkItemState.REFUSED and "belongs to bob" in item.reason
    assert (await server.vm(vm.name)).owner == "bob"


async def test_account_that_was_disabled_before_the_bulk_is_resumed_starts_nothing_more(
    server: LiveServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four operations were interrupted before they had an effect: they are not requested again."""
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.pause:began=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(data_dir / "release"))
    second = await server.member("bob", Role.ADMINISTRATOR)
    ids = [vm.id for vm in await fleet(second) if vm.state is State.RUNNING]
    bulk = await start_bulk(second, "pause", ids)
    await until(lambda: _running(server, bulk, procedure.PER_HOST))
    bob = await server.parts.access.authenticate(second.credentials.token)
    runner = server.parts.operations
    await runner.halt()
    await server.parts.database.run(lambda c: accounts.update_account(c, bob.user_id, disabled=True))
    monkeypatch.setattr("novacron_server.access.askers.CHECK_EVERY_S", 0.0)
    runner.proceed()
    await recover_all(runner, server.parts.inventory)
    ended = await server.ended(bulk)
    assert ended.state is OperationState.CANCELLED
    assert ended.counts == BulkCounts(cancelled=len(ids))
    assert ended.problem is not None
    assert ended.problem.detail.startswith("the account bob is disabled: ")
    assert {vm.state for vm in await fleet(server.admin) if vm.id in ids} == {State.RUNNING}


async def test_one_vm_whose_change_fails_in_a_way_nobody_foresaw_costs_only_itself(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [vm for vm in await fleet(server.admin) if vm.state is State.RUNNING]
    power = server.parts.vms.power

    async def odd(principal: object, vm_id: str, *rest: object, **more: object) -> Operation:
        if vm_id == found[0].id:
            raise ZeroDivisionError
        return await power(principal, vm_id, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(server.parts.vms, "power", odd)
    ended = await server.ended(await start_bulk(server.admin, "pause", [vm.id for vm in found]))
    assert ended.counts == BulkCounts(succeeded=len(found) - 1, failed=1)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "internal error" in ended.problem.detail


async def test_bulk_of_which_nothing_failed_ends_as_refused_and_not_as_failed(server: LiveServer) -> None:
    """Two running VMs have no saved memory: nothing is wrong with the fleet. Who asks is told, and activity lists it."""
    running = [vm for vm in await fleet(server.admin) if vm.state is State.RUNNING][:2]
    bulk = await server.ended(await start_bulk(server.admin, "discard-saved", [vm.id for vm in running]))
    assert (bulk.state, bulk.counts) == (OperationState.REFUSED, BulkCounts(refused=2))
    assert bulk.problem is not None
    assert bulk.problem.detail.startswith("2 refused: ")
    query = stored_events.EventQuery(q="type:operation.refused is:notable")
    (event,) = (await server.admin.call(stored_events.LIST, query=query)).items
    assert (event.target.id, event.actor, event.reason) == (bulk.id, "ann", bulk.problem.detail)
    query = stored_events.EventQuery(q="type:operation.failed,operation.interrupted")
    assert (await server.admin.call(stored_events.LIST, query=query)).total == 0


async def test_stream_carries_counts_and_no_items(server: LiveServer) -> None:
    ids = [vm.id for vm in await fleet(server.admin)]
    async with open_stream(server) as stream:
        bulk = await server.ended(await start_bulk(server.admin, "reset", ids))
        last = await stream.until(lambda f: f.get("type") == "operation.refused" and f["target"]["id"] == bulk.id)
    assert last["value"]["counts"] == msgspec.to_builtins(bulk.counts)
    assert last["value"]["progress"] == 1.0
    own = [frame for frame in stream.frames if frame.get("target", {}).get("id") == bulk.id]
    assert all(len(json.dumps(frame)) < 2048 for frame in own)


async def test_children_are_searched_and_paged(server: LiveServer) -> None:
    found = await fleet(server.admin)
    bulk = await server.ended(await start_bulk(server.admin, "start", [vm.id for vm in found]))
    page = await server.admin.call(
        operations.CHILDREN, query=ListQuery(q="refused paused", page_size=1), operation_id=bulk.id
    )
    assert (page.total, len(page.items), page.items[0].state) == (2, 1, BulkItemState.REFUSED)
    child = next(item.operation_id for item in await items_of(server.admin, bulk) if item.operation_id)
    listed = await server.admin.call(operations.LIST)
    assert [op.id for op in listed.items] == [bulk.id], "without a filter a bulk stands for its operations"
    assert (await server.admin.call(operations.LIST, query=ListQuery(q="vm.start"))).total == 2
    assert (await server.admin.call(operations.CHILDREN, query=ALL, operation_id=child)).total == 0
    for operation_id in ("nonsense", "00000000-0000-4000-8000-000000000001"):
        with pytest.raises(errors.NotFound):
            await server.admin.call(operations.CHILDREN, query=ALL, operation_id=operation_id)
