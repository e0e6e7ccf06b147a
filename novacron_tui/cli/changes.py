"""`vm start` and its like, `vm create`, `vm delete`: ask, wait for the operation, tell its end."""

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
from novacron_tui.cli.runtime.lookup import host_of, vm_of
from novacron_tui.cli.runtime.output import Output, cell
from novacron_tui.cli.runtime.wait import Result, settled, tell
from novacron_tui.vms.actions import DELETE, VERBS, Verb, send

_AT_ONCE = 8


async def act(client: Client, output: Output, verb_name: str, words: Sequence[str], *, wait: bool) -> int:
    """Do it to every VM named. When one of the names means nothing, none is touched. The exit code."""
    verb = next(verb for verb in VERBS if verb.name == verb_name)
    found = await _all_of(client, words)
    return await _each(client, output, verb, found, wait=wait, disks=False)


async def delete(client: Client, output: Output, words: Sequence[str], *, disks: bool, sure: bool, wait: bool) -> int:
    """Delete VMs; who is not `sure` is asked on the terminal. The exit code."""
    found = await _all_of(client, words)
    if not sure:
        _ask_sure(found, disks)
    return await _each(client, output, DELETE, found, wait=wait, disks=disks)


async def create(client: Client, output: Output, body: VMCreate, *, wait: bool) -> int:
    """Create a VM. The exit code."""
    if body.host is not None:
        body = msgspec.structs.replace(body, host=await host_of(client, body.host))
    result, code = await settled(
        client, "", body.name, lambda key: client.call(vms.CREATE, body=body, idempotency_key=key), wait=wait
    )
    tell(output, [result])
    return code


async def _all_of(client: Client, words: Sequence[str]) -> list[VM]:
    found = {vm.id: vm for vm in [await vm_of(client, word) for word in dict.fromkeys(words)]}
    return list(found.values())


async def _each(client: Client, output: Output, verb: Verb, found: Sequence[VM], *, wait: bool, disks: bool) -> int:
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(vm: VM) -> tuple[Result, int]:
        async with few:
            return await settled(
                client, vm.id, vm.name, lambda key: send(verb, client, vm, key, disks=disks), wait=wait
            )

    ends = await asyncio.gather(*(one(vm) for vm in found))
    tell(output, [result for result, _ in ends])
    return max((code for _, code in ends), default=DONE)


def _ask_sure(found: Sequence[VM], disks: bool) -> None:
    names = ", ".join(cell(vm.name) for vm in found)
    what = f"delete {names}{' and their disks' if disks else ''}"
    if not sys.stdin.isatty():
        raise UsageError(f"to {what} without a terminal, say --yes")
    word = cell(found[0].name) if len(found) == 1 else str(len(found))
    print(f"This will {what}. Type {word} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != word:
        raise errors.Conflict("not deleted: that was something else")
