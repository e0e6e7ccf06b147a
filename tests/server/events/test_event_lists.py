"""Lists of stored events: pages, the filter, who sees what, and events of older versions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import libvirt
import psycopg
import pytest
from sqlalchemy import Boolean, literal_column

from novacron_core import errors
from novacron_core.api import stored_events as api
from novacron_core.api import vms
from novacron_core.api.events import Priority
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.client import Client
from novacron_core.rules.event_words import is_notable
from novacron_core.rules.filters.language import Term
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.filter_sql import Condition
from novacron_server.events import repository, service
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append
from tests.support.event_drafts import event, operation
from tests.support.server import LiveServer
from tests.support.waiting import until


async def listed(client: Client, **query: Any) -> list[StoredEvent]:
    return (await client.call(api.LIST, query=EventQuery(page_size=1000, **query))).items


async def add(server: LiveServer, *drafts: EventDraft) -> list[int]:
    return await server.parts.database.run(lambda c: append(c, drafts))


async def test_a_crash_that_nobody_watched_is_listed_with_states_and_reason(
    server: LiveServer, libvirt_connection: libvirt.virConnect
) -> None:
    libvirt_connection.lookupByName("test").coreDump("/dev/null", libvirt.VIR_DUMP_CRASH)

    async def crash() -> StoredEvent | None:
        found = await listed(server.admin, q="state:crashed")
        return found[0] if found else None

    seen = await until(crash)
    assert (seen.type, seen.before, seen.after, seen.target.name) == ("vm.crashed", "running", "crashed", "test")
    assert seen.note == seen.reason
    assert seen.priority is Priority.CRITICAL


async def test_an_operation_is_listed_with_what_it_was_and_who_did_it(server: LiveServer) -> None:
    vm = await server.vm("test")
    await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))
    ended, *_ = await listed(server.admin, q="is:notable by:ann target:test")
    assert ended.operation is not None
    assert (ended.type, ended.after, ended.actor) == ("operation.succeeded", "succeeded", "ann")
    assert (ended.operation.kind, ended.operation.target.name) == ("vm.pause", "test")
    paused = next(e for e in await listed(server.admin, q=f'id:"{vm.id}"') if e.type == "vm.paused")
    assert (paused.before, paused.after) == ("running", "paused")


async def test_pages_have_no_gap_and_no_duplicate_while_events_arrive(server: LiveServer) -> None:
    wanted = await add(server, *(event(f"vm-{n}") for n in range(25)))
    seen: list[int] = []
    before: int | None = None
    while True:
        query = EventQuery(q="target:vm-*", before=before, page_size=10)
        page = await server.admin.call(api.LIST, query=query)
        if not page.items:
            break
        seen += [item.seq for item in page.items]
        before = seen[-1]
        await add(server, event("vm-later"), event("vm-later"))
    assert seen == sorted(wanted, reverse=True)


async def test_page_total_and_range(server: LiveServer) -> None:
    await add(server, *(event(f"vm-{n}") for n in range(5)))
    page = await server.admin.call(api.LIST, query=EventQuery(q="vm-*", page=2, page_size=2))
    assert (page.total, page.page, [item.target.name for item in page.items]) == (5, 2, ["vm-2", "vm-1"])
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert await listed(server.admin, q="vm-*", from_=now + hour) == []
    assert await listed(server.admin, q="vm-*", to=now - hour) == []
    assert len(await listed(server.admin, q="vm-*", from_=now - hour, to=now + hour)) == 5
    times = [item.time for item in await listed(server.admin)]
    assert times == sorted(times, reverse=True)


async def test_others_see_their_tenants_events_alone(server: LiveServer, owner_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("INSERT INTO tenants (id, name) VALUES ('red', 'red')")
    await add(
        server,
        event("theirs", tenant="red"),
        event("ours", tenant="default"),
        event("unmanaged"),
        event("shared", "host.down", tenant="*"),
        event("ann", "access.changed", tenant="default"),
        operation("their-operation", tenant="red"),
        event("new", "unknown.family", tenant="default"),
    )
    names = {"theirs", "ours", "unmanaged", "shared", "ann", "vm.start", "new"}
    assert {e.target.name for e in await listed(server.admin)} >= names
    async with await server.member("bob", Role.VIEWER) as bob:
        seen = await listed(bob)
        assert {e.target.name for e in seen} & names == {"ours", "shared"}
        page = await bob.call(api.LIST, query=EventQuery(q="theirs"))
        assert (page.items, page.total) == ([], 0)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("q=nothing:here", "q"),
        ("q=age%3Cyesterday", "q"),
        ("q=since:noon", "q"),
        ("q=age%3C9999999999999999h", "q"),
        ("q=" + "a" * 501, "q"),
        ("from=yesterday", "from"),
        ("from=2026-01-01", "from"),
        ("to=2026-01-01T00:00:00", "to"),
        ("from=-1", "from"),
        ("to=1700000000", "to"),
        ("from=99999-01-01T00:00:00Z", "from"),
        ("to=1e300", "to"),
        ("from=", "from"),
        ("from=null", "from"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("page=0", "page"),
        ("page_size=1001", "page_size"),
        ("before=0", "before"),
        ("before=99999999999999999999", "before"),
        ("newest=1", "newest"),
    ],
)
async def test_a_bad_value_is_refused_by_its_name(server: LiveServer, query: str, field: str) -> None:
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        answer = await http.get(f"/api/events?{query}")
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_times_at_the_ends_of_the_calendar_are_times(server: LiveServer) -> None:
    first, last = "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        assert (await http.get(f"/api/events?from={first}&to={last}")).json()["total"] > 0
        refused = (await http.get("/api/events?from=-1")).json()
    assert refused["detail"] == "from: enter a time with its zone, like 2026-11-26T22:00:00Z"


async def test_an_event_whose_row_is_damaged_costs_no_other(server: LiveServer, owner_url: str) -> None:
    first, second, third = await add(server, operation("a"), operation("b"), operation("c"))
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("UPDATE events SET row = '{\"id\": 7}' WHERE seq = %s", (second,))
    found = {e.seq: e for e in await listed(server.admin, q="type:operation.failed")}
    assert set(found) == {first, second, third}
    assert found[second].operation is None
    assert (found[second].type, found[second].target.name) == ("operation.failed", "vm.start")
    assert found[first].operation is not None


async def test_what_is_notable_is_the_same_in_sql(server: LiveServer) -> None:
    drafts = [
        *(event("n", kind, note=note) for kind in ("vm.updated", "vm.stopped", "tier.updated") for note in ("", "why")),
        *(
            operation("n", state)
            for state in ("pending", "running", "succeeded", "failed", "cancelled", "interrupted", "refused")
        ),
    ]
    await add(server, *drafts)
    mine = [e for e in await listed(server.admin) if e.target.name in ("n", "vm.start")]
    notable = {e.seq for e in await listed(server.admin, q="is:notable")}
    assert {e.seq for e in mine if is_notable(e.type, e.note)} == {e.seq for e in mine} & notable
    assert len({e.seq for e in mine} & notable) == 9


def make_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the database take a second for each event that the word `slow` is compared with."""
    term = repository._term

    def slowly(found: Term, chosen: repository.Selection) -> Condition:
        slow = "slow" in found.values
        return literal_column("(pg_sleep(1) IS NULL)", Boolean) if slow else term(found, chosen)

    monkeypatch.setattr(repository, "_term", slowly)
    monkeypatch.setattr(service, "QUICK_S", 0.3)


async def test_slow_searches_of_several_users_delay_nobody_else(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow searches are asked for by several users of a tenant, several times over by one; lists are answered meanwhile,
    and the slow search of another tenant runs beside them."""
    make_slow(monkeypatch)
    monkeypatch.setattr(service, "SLOW_S", 60.0)
    monkeypatch.setattr(service, "WAIT_S", 60.0)
    await add(server, *(event(f"vm-{n}") for n in range(80)))
    events = server.parts.events
    names = [*(f"u{n}" for n in range(6)), *["mallory"] * 6]
    searches = [asyncio.create_task(events.page(reader(name), EventQuery(q="slow"))) for name in names]
    await until(lambda: _are_slow(server, 1))
    searches.append(asyncio.create_task(events.page(reader("bob", "blue"), EventQuery(q="slow"))))
    await until(lambda: _are_slow(server, 2))
    for name in ("ann", "u0", "mallory"):
        assert (await events.page(reader(name), EventQuery(q="vm-7 is:notable"))).total
    assert not any(search.done() for search in searches)
    assert await _slow_searches(server) == 2, "others wait for one of these places"
    for search in searches:
        search.cancel()
    await asyncio.gather(*searches, return_exceptions=True)


async def _are_slow(server: LiveServer, count: int) -> bool | None:
    return await _slow_searches(server) == count or None


async def _slow_searches(server: LiveServer) -> int:
    """How many searches run in the database that are not ended soon."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE position('pg_sleep' IN query) > 0 AND state = 'active'"
        " AND xact_start < now() - interval '1.5 s' AND pid <> pg_backend_pid()"
    )
    found = await server.parts.database.run(lambda c: c.exec_driver_sql(query))
    return int(found.scalar_one())


def reader(name: str, tenant: str = "default") -> Principal:
    return Principal(name, name, Role.ADMINISTRATOR, tenant, "s", datetime(2090, 1, 1, tzinfo=UTC))


async def test_search_that_takes_too_long_says_so_and_how_to_narrow_it(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_slow(monkeypatch)
    monkeypatch.setattr(service, "SLOW_S", 1.0)
    await add(server, *(event(f"vm-{n}") for n in range(20)))
    with pytest.raises(errors.FilterTooSlow) as slow:
        await listed(server.admin, q="slow")
    assert slow.value.detail == (
        "the filter takes longer than 1 s: add since:2h or another recent time, so that fewer events are searched"
    )
    monkeypatch.setattr(service, "SLOW_S", 60.0)
    monkeypatch.setattr(service, "WAIT_S", 0.2)
    first = asyncio.create_task(server.parts.events.page(reader("ann"), EventQuery(q="slow")))
    await until(lambda: _are_slow(server, 1))
    with pytest.raises(errors.RateLimited, match="other slow searches are running: wait, or add since:2h") as waiting:
        await server.parts.events.page(reader("ann"), EventQuery(q="slow"))
    assert waiting.value.retry_after_s
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_last_page_has_the_number_of_all_matches(server: LiveServer) -> None:
    await add(server, *(event(f"vm-{n}") for n in range(5)))
    for page, size, count in ((1, 5, 5), (1, 6, 5), (2, 3, 2), (3, 2, 1), (3, 3, 0), (9, 2, 0)):
        found = await server.admin.call(api.LIST, query=EventQuery(q="vm-*", page=page, page_size=size))
        assert (found.total, len(found.items)) == (5, count), (page, size)
