"""What was read last of VMs is stored in batches, and read back by the next server."""

from __future__ import annotations

import msgspec
import pytest

from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.vms import last_facts, repository
from novacron_server.vms.last_facts import LastFacts
from tests.support.requests import create_vm, three_pools
from tests.support.server import LiveServer


async def test_facts_of_every_vm_are_stored(server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await three_pools(server)
    monkeypatch.setattr(last_facts, "_BATCH", 2)
    created = [await create_vm(server, name) for name in ("web-01", "web-02", "web-03")]
    state, database = server.parts.inventory.state, server.parts.database
    before = {vm.id: state.known[vm.host, vm.id] for vm in created}
    writer = LastFacts(database, server.parts.inventory)
    await writer.store()
    await writer.store()  # nothing has changed
    stored = {vm_id: (raw, read_at) for _, vm_id, raw, read_at in await database.run(repository.last_facts)}
    for vm_id, known in before.items():
        raw, read_at = stored[vm_id]
        assert msgspec.convert(raw, DomainFacts) == known.facts
        assert read_at is not None and known.seen_at is not None and read_at >= known.seen_at
