"""`vm start` and the other power commands, `vm create`, `vm delete`: send the request, wait, report the result."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from novacron_core import errors
from novacron_core.api import vms
from novacron_core.api.vms import VM, VMCreate
from novacron_core.client import Client
from novacron_tui.cli.runtime.exit_codes import DONE, UsageError
from novacron_tui.cli.runtime.lookup import find_host_id, find_vm
from novacron_tui.cli.runtime.output import Output, cell
from novacron_tui.cli.runtime.wait import Result, report, run_change
from novacron_tui.vms.actions import DELETE, VERBS, Verb, send

_MAX_PARALLEL = 8


async def act(client: Client, output: Output, verb_name: str, names_or_ids: Sequence[str], *, wait: bool) -> int:
    """Run one action on every named VM; when a name is unknown, no VM is touched. Returns the exit code."""
    verb = next(verb for verb in VERBS if verb.name == verb_name)
    found = await _find_all(client, names_or_ids)
    return await _run_each(client, output, verb, found, wait=wait, disks=False)


async def delete(
    client: Client, output: Output, names_or_ids: Sequence[str], *, disks: bool, sure: bool, wait: bool
) -> int:
    """Delete VMs; asks for confirmation on the terminal unless `sure`. Returns the exit code."""
    found = await _find_all(client, names_or_ids)
    if not sure:
        _confirm(found, disks)
    return await _run_each(client, output, DELETE, found, wait=wait, disks=disks)


async def create(client: Client, output: Output, body: VMCreate, *, wait: bool) -> int:
    """Create a VM. Returns the exit code."""
    if body.host is not None:
        body = msgspec.structs.replace(body, host=await find_host_id(client, body.host))
    result, code = await run_change(
        client, "", body.name, lambda key: client.call(vms.CREATE, body=body, idempotency_key=key), wait=wait
    )
    report(output, [result])
    return code


async def _find_all(client: Client, names_or_ids: Sequence[str]) -> list[VM]:
    found = {vm.id: vm for vm in [await find_vm(client, name) for name in dict.fromkeys(names_or_ids)]}
    return list(found.values())


async def _run_each(client: Client, output: Output, verb: Verb, found: Sequence[VM], *, wait: bool, disks: bool) -> int:
    slots = asyncio.Semaphore(_MAX_PARALLEL)

    async def run_one(vm: VM) -> tuple[Result, int]:
        async with slots:
            return await run_change(
                client, vm.id, vm.name, lambda key: send(verb, client, vm, key, disks=disks), wait=wait
            )

    results = await asyncio.gather(*(run_one(vm) for vm in found))
    report(output, [result for result, _ in results])
    return max((code for _, code in results), default=DONE)


def _confirm(found: Sequence[VM], disks: bool) -> None:
    names = ", ".join(cell(vm.name) for vm in found)
    what = f"delete {names}{' and their disks' if disks else ''}"
    if not sys.stdin.isatty():
        raise UsageError(f"not a terminal: add --yes to {what}")
    expected = cell(found[0].name) if len(found) == 1 else str(len(found))
    print(f"This will {what}. Type {expected} to confirm: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != expected:
        raise errors.Conflict("not deleted: the confirmation did not match")
