"""Old rows go, young ones stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from novacron_core.api import operations, vms
from novacron_server.housekeeping import EVENTS_KEPT, OPERATIONS_KEPT, forget


async def test_what_is_old_goes_and_an_ended_operation_is_kept_thirty_days_at_least(spine) -> None:
    vm = await spine.vm("test")
    operation = await spine.ended(await spine.admin.call(vms.PAUSE, vm_id=vm.id))
    now = datetime.now(UTC)
    assert timedelta(days=30) <= OPERATIONS_KEPT
    assert await forget(spine.parts.database, now) == (0, 0)
    assert (await spine.admin.call(operations.GET, operation_id=operation.id)).state == "succeeded"
    _, ended = await forget(spine.parts.database, now + OPERATIONS_KEPT + timedelta(days=1))
    assert ended == 1
    assert (await spine.admin.call(operations.LIST)).total == 0
    assert timedelta(days=1) < EVENTS_KEPT
