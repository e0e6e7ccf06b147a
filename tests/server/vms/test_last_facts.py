"""What was read last of VMs and volumes is stored in batches, and read back by the next server."""

from __future__ import annotations

import msgspec
import pytest

from novacron_server.hypervisor.facts import DomainFacts, VolumeFacts
from novacron_server.inventory import last_facts
from novacron_server.vms import repository
from novacron_server.vms.last_facts import LastVMFacts
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.last_facts import LastVolumeFacts
from tests.support.requests import create_vm, three_pools
from tests.support.server import LiveServer


async def test_facts_of_every_vm_are_stored(server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await three_pools(server)
    monkeypatch.setattr(last_facts, "BATCH", 2)
    created = [await create_vm(server, name) for name in ("web-01", "web-02", "web-03")]
    state, database = server.parts.inventory.state, server.parts.database
    before = {vm.id: state.known[vm.host, vm.id] for vm in created}
    writer = LastVMFacts(database, server.parts.inventory)
    await writer.store()
    await writer.store()  # nothing has changed
    stored = {vm_id: (raw, read_at) for _, vm_id, raw, read_at in await database.run(repository.last_facts)}
    for vm_id, known in before.items():
        raw, read_at = stored[vm_id]
        assert msgspec.convert(raw, DomainFacts) == known.facts
        assert read_at is not None and known.seen_at is not None and read_at >= known.seen_at


async def test_facts_of_volumes_are_stored_when_they_matter(server: LiveServer, image: str) -> None:
    vm = await create_vm(server)
    database, inventory = server.parts.database, server.parts.inventory
    writer = LastVolumeFacts(database, inventory)
    await writer.store()
    stored = {volume_id: raw for volume_id, _, raw, _ in await database.run(volumes.last_facts)}
    known = inventory.state.storage.managed_facts()
    assert known and {key: msgspec.convert(raw, VolumeFacts) for key, raw in stored.items()} == known
    (facts, *_), mib = known.values(), 1 << 20
    assert not writer.differs(facts, msgspec.structs.replace(facts, allocated_bytes=facts.allocated_bytes + mib))
    assert writer.differs(facts, msgspec.structs.replace(facts, allocated_bytes=facts.allocated_bytes + 100 * mib))
    assert writer.differs(facts, msgspec.structs.replace(facts, size_bytes=facts.size_bytes + 1))
    assert vm.id in {row.vm_id for row in inventory.state.storage.volume_rows.values()}
