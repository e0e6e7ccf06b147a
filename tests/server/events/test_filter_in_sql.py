"""The filter of events finds the same in the database as in the console."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from novacron_core.api.hosts import HostStatus
from novacron_core.api.problem import Problem
from novacron_core.api.stored_events import EventQuery
from novacron_core.rules.filters.events import event_fields
from novacron_core.rules.filters.language import compile_filter
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from novacron_server.events.service import Events
from novacron_server.inventory.compose import HostView
from novacron_server.inventory.state import InventoryState
from novacron_server.outbox.repository import append
from novacron_tui.operations.entries import ActivityEntry, of_event, of_operation
from tests.support.event_drafts import event, operation


@dataclass
class Filled:
    """Stored events, and what the console makes of each."""

    events: Events
    reader: Principal
    entries: dict[int, ActivityEntry]


FILTERS = [
    "web", "WEB-01", "web-*", "*01", "-web", "we?-01", "by:bob", "by:bo", 'by:"bo"', "-by:bob", "state:failed",
    "state:failed,stopped", "-state:failed", "type:vm.*", "type:vm.stopped", "what:shut", '"shut down"', "shutdown", "what:start*",
    '"start failed"', "changed", "what:changed", '"saved to disk"', "target:web-01", "target:web-0?", "no*pe", "100%", "a_b", "back\\slash",
    "panic", '"kernel panic"', "age<1h", "age>1h", "-age>1h", "since:1h", "since:2090-01-01", "host:kvm-a", "host:h-1",
    "host:h-1,h-2", "-host:kvm-a", 'id:"id-web-01"', "id:id-web", "is:notable", "-is:notable", "is:part", "is:n,p",
    "äöü", "ÄÖÜ", "is:nothing", "requested", "resumed by:bob", "operation", "created",
]  # fmt: skip


@pytest.mark.parametrize("text", FILTERS)
async def test_the_filter_is_the_same_in_sql_as_in_the_console(filled: Filled, text: str) -> None:
    by_console = compile_filter(text, event_fields(lambda: datetime.now(UTC)))
    wanted = {seq for seq, entry in filled.entries.items() if by_console(entry)}
    page = await filled.events.page(filled.reader, EventQuery(q=text, page_size=1000))
    assert {event.seq for event in page.items} == wanted
    assert page.total == len(wanted)


async def test_the_filters_of_the_comparison_find_something(filled: Filled) -> None:
    """So that it compares more than nothing with nothing."""
    empty = [
        text for text in FILTERS if not (await filled.events.page(filled.reader, EventQuery(q=text, page_size=1))).total
    ]
    assert empty == ['by:"bo"', "age>1h", "since:2090-01-01", "is:nothing"]


@pytest_asyncio.fixture
async def filled(database: Database) -> Filled:
    state = InventoryState()
    names = {"h-1": "kvm-a", "h-2": "kvm-b"}
    for host_id, name in names.items():
        state.set_view(HostView(host_id, name, "test:///", HostStatus.UP, "", None, None, None))
    drafts = [
        event(),
        event("web-02", "vm.crashed", after="crashed", before="running", reason="guest kernel panic", note="guest kernel panic"),
        event("no-pe", "vm.updated", source="h-2"),
        event("db_01 100%", "vm.updated", note="host down"),
        event("a_b", "vm.saved", actor="bob", after="saved"),
        event("axb back\\slash", "host.down", source="h-2", after="down", note="no route"),
        event("Äöü", "vm.stopped", after="stopped", actor="carol"),
        event("ÄÖÜ-2", "volume.created"),
        event("web-03", "vm.resumed", actor="bob"),
        operation("web-01"),
        operation("web-02", "succeeded", kind="vm.stop", actor="ann"),
        operation("web-03", "running", kind="vm.restart", step="waiting"),
        operation("9 VMs", "succeeded", kind="vm.bulk", child_kind="vm.stop"),
        operation("web-04", "succeeded", parent="22222222-0000-0000-0000-000000000000"),
        operation("web-05", "failed", kind="vm.stop", problem=Problem(title="x", status=500, code="internal", detail="Shut it")),
    ]  # fmt: skip
    numbers = await database.run(lambda c: append(c, drafts))
    events = Events(database, state)
    reader = Principal("u", "ann", Role.ADMINISTRATOR, "default", "s", datetime(2090, 1, 1, tzinfo=UTC))
    stored = (await events.page(reader, EventQuery(page_size=1000))).items
    entries = {
        item.seq: of_operation(item.operation) if item.operation else of_event(item, names.get(item.source, ""))
        for item in stored
    }
    assert sorted(entries) == sorted(numbers)
    return Filled(events, reader, entries)
