"""`vm start` and the other power commands, `vm create`, `vm delete`: send the request, wait, report the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from novacron_core import errors
from novacron_core.api import images, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, BulkOptions, VMCreate
from novacron_core.client import Client
from novacron_core.rules.vm_actions import VMAction, has_effect_already
from novacron_tui.cli.bulk import act_on_many
from novacron_tui.cli.runtime.lookup import find_host_id, find_vm, list_all
from novacron_tui.cli.runtime.output import Output, cell
from novacron_tui.cli.runtime.prompts import confirm
from novacron_tui.cli.runtime.wait import report, run_change
from novacron_tui.cli.storage import warn_of_room
from novacron_tui.vms.actions import DELETE, VERBS, Verb, send
from novacron_tui.vms.disk_chains import chain_words


async def act(
    client: Client,
    output: Output,
    verb_name: str,
    names_or_ids: Sequence[str],
    *,
    wait: bool,
    force_after_s: int | None = None,
) -> int:
    """Run one action on every named VM; when a name is unknown, no VM is touched. `force_after_s` is for `stop`: power
    off a guest that is not off by then. Returns the exit code."""
    verb = next(verb for verb in VERBS if verb.name == verb_name)
    found = await _find_all(client, names_or_ids)
    if len(found) > 1:
        return await act_on_many(client, output, verb, found, BulkOptions(force_after_s=force_after_s), wait=wait)

    async def send_to(vm: VM, key: str) -> Operation:
        if force_after_s is None:
            return await send(verb, client, vm, key)
        query = vms.StopQuery(force_after_s=force_after_s)
        return await client.call(vms.STOP, query=query, idempotency_key=key, vm_id=vm.id)

    return await _run_one(client, output, verb, found[0], send_to, wait=wait)


async def delete(
    client: Client, output: Output, names_or_ids: Sequence[str], *, disks: bool, sure: bool, wait: bool
) -> int:
    """Delete VMs; asks for confirmation on the terminal unless `sure`. Returns the exit code."""
    found = await _find_all(client, names_or_ids)
    if not sure:
        beside = chain_words(found, await list_all(client, volumes.LIST, ListQuery())) if disks else ""
        _confirm(found, disks, beside)
    if len(found) > 1:
        return await act_on_many(client, output, DELETE, found, BulkOptions(disks=disks), wait=wait)

    async def send_to(vm: VM, key: str) -> Operation:
        return await send(DELETE, client, vm, key, disks=disks)

    return await _run_one(client, output, DELETE, found[0], send_to, wait=wait)


async def create(client: Client, output: Output, body: VMCreate, *, wait: bool) -> int:
    """Create a VM. Returns the exit code."""
    if body.host is not None:
        body = msgspec.structs.replace(body, host=await find_host_id(client, body.host))
    await warn_of_room(client, body.name, await _disk_bytes(client, body), body.tier, body.host)
    result, code = await run_change(
        client, "", body.name, lambda key: client.call(vms.CREATE, body=body, idempotency_key=key), wait=wait
    )
    report(output, [result])
    return code


async def _disk_bytes(client: Client, body: VMCreate) -> int:
    """The size of the new VM's disk, 0 if the image is not known."""
    if body.disk_bytes is not None:
        return body.disk_bytes
    with suppress(errors.NovaCronError):
        found = await list_all(client, images.LIST, ListQuery())
        return next((image.size_bytes for image in found if image.name == body.image), 0)
    return 0


async def _find_all(client: Client, names_or_ids: Sequence[str]) -> list[VM]:
    found = {vm.id: vm for vm in [await find_vm(client, name) for name in dict.fromkeys(names_or_ids)]}
    return list(found.values())


async def _run_one(
    client: Client,
    output: Output,
    verb: Verb,
    vm: VM,
    send_to: Callable[[VM, str], Awaitable[Operation]],
    *,
    wait: bool,
) -> int:
    result, code = await run_change(
        client,
        vm.id,
        vm.name,
        lambda key: send_to(vm, key),
        wait=wait,
        is_done=lambda: _has_effect_already(client, verb, vm),
    )
    report(output, [result])
    return code


async def _has_effect_already(client: Client, verb: Verb, vm: VM) -> bool:
    """Whether the VM is in the state that the refused action would have led to."""
    try:
        current = await client.call(vms.GET, vm_id=vm.id)
    except errors.NovaCronError:
        return False  # the refusal itself is reported
    return has_effect_already(VMAction(verb.name), current)


def _confirm(found: Sequence[VM], disks: bool, beside: str) -> None:
    """`beside` tells what is deleted with the disks."""
    names = ", ".join(cell(vm.name) for vm in found)
    expected = found[0].name if len(found) == 1 else str(len(found))
    owner = "its" if len(found) == 1 else "their"
    also = f" and {owner} disks" if disks else ""
    confirm(f"delete {names}{also}{f'. {beside}' if beside else ''}", expected)
