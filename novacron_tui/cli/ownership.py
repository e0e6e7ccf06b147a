"""`vm hand-over|adopt|release`, `volume hand-over`, `quota`: whose VMs and volumes are, and how much may be used."""

from __future__ import annotations

from typing import Any

from novacron_core.api import quotas, vms, volumes
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import Adopt, HandOver
from novacron_core.client import Client
from novacron_core.values.sizes import size_text
from novacron_tui.cli.runtime.lookup import find_vm, find_volume
from novacron_tui.cli.runtime.output import Output, show_json, show_table
from novacron_tui.cli.runtime.prompts import confirm
from novacron_tui.cli.runtime.wait import report, run_change


async def hand_over_vm(client: Client, output: Output, name_or_id: str, body: HandOver, *, wait: bool) -> int:
    """Returns the exit code, as all commands that change something."""
    vm = await find_vm(client, name_or_id)

    async def send(key: str) -> Operation:
        return await client.call(vms.HAND_OVER, body=body, idempotency_key=key, vm_id=vm.id)

    return await _run(client, output, vm, send, wait=wait)


async def hand_over_volume(client: Client, output: Output, name_or_id: str, body: HandOver, *, wait: bool) -> int:
    volume = await find_volume(client, name_or_id)

    async def send(key: str) -> Operation:
        return await client.call(volumes.HAND_OVER, body=body, idempotency_key=key, volume_id=volume.id)

    return await _run(client, output, volume, send, wait=wait)


async def adopt(client: Client, output: Output, name_or_id: str, body: Adopt, *, wait: bool) -> int:
    vm = await find_vm(client, name_or_id)

    async def send(key: str) -> Operation:
        return await client.call(vms.ADOPT, body=body, idempotency_key=key, vm_id=vm.id)

    return await _run(client, output, vm, send, wait=wait)


async def release(client: Client, output: Output, name_or_id: str, *, sure: bool, wait: bool) -> int:
    """Asks for confirmation unless `sure`."""
    vm = await find_vm(client, name_or_id)
    if not sure:
        confirm(f"release {vm.name}: it and its disks stay, but belong to nobody", vm.name)

    async def send(key: str) -> Operation:
        return await client.call(vms.RELEASE, idempotency_key=key, vm_id=vm.id)

    return await _run(client, output, vm, send, wait=wait)


async def show_quota(client: Client, output: Output, tenant: str) -> None:
    """Show what a tenant uses and may use."""
    found = await client.call(quotas.GET, query=quotas.QuotaQuery(tenant=tenant))
    if output is Output.JSON:
        show_json(found)
        return
    rows = [
        ("VMs", str(found.vms.used), _limit(found.vms, str)),
        ("vCPUs", str(found.vcpus.used), _limit(found.vcpus, str)),
        ("memory", size_text(found.memory_bytes.used), _limit(found.memory_bytes, size_text)),
    ]
    rows += [
        (f"disk space, {tier}", size_text(amount.used), _limit(amount, size_text))
        for tier, amount in found.disk_bytes.items()
    ]
    show_table(("OF " + found.tenant.upper(), "USED", "QUOTA"), rows)


def _limit(amount: quotas.Amount, text: Any) -> str:
    return "none" if amount.limit is None else str(text(amount.limit))


async def _run(client: Client, output: Output, thing: Any, send: Any, *, wait: bool) -> int:
    result, code = await run_change(client, thing.id, thing.name, send, wait=wait)
    report(output, [result])
    return code
