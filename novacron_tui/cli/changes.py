"""`vm start` and its like, `vm create`, `vm delete`: ask, wait for the operation, tell its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api import hosts, operations, vms
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.problem import Problem
from novacron_core.api.vms import VM, VMCreate
from novacron_core.client import Client
from novacron_tui.cli.ending import DONE, FAILED, Usage, code_of, complain, sentence
from novacron_tui.cli.output import Output, cell, say, show_json
from novacron_tui.cli.reading import everything, vm_of
from novacron_tui.vms.actions import DELETE, VERBS, Verb, doing, done, send

_TRIES, _AT_ONCE = 3, 8
_FIRST_LOOK_S, _LAST_LOOK_S = 0.1, 1.0
Ask = Callable[[str], Awaitable[Operation]]
"""Asks the server for a change with an idempotency key."""


class Result(msgspec.Struct, frozen=True):
    """What became of one VM's change: the operation, or the problem it was refused with."""

    id: str
    name: str
    operation: Operation | None = None
    problem: Problem | None = None


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
        body = msgspec.structs.replace(body, host=await _host_of(client, body.host))
    result, code = await _settled(
        client, "", body.name, lambda key: client.call(vms.CREATE, body=body, idempotency_key=key), wait=wait
    )
    _tell(output, [result])
    return code


async def _all_of(client: Client, words: Sequence[str]) -> list[VM]:
    found = {vm.id: vm for vm in [await vm_of(client, word) for word in dict.fromkeys(words)]}
    return list(found.values())


async def _each(client: Client, output: Output, verb: Verb, found: Sequence[VM], *, wait: bool, disks: bool) -> int:
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(vm: VM) -> tuple[Result, int]:
        async with few:
            return await _settled(
                client, vm.id, vm.name, lambda key: send(verb, client, vm, key, disks=disks), wait=wait
            )

    ends = await asyncio.gather(*(one(vm) for vm in found))
    _tell(output, [result for result, _ in ends])
    return max((code for _, code in ends), default=DONE)


async def _settled(client: Client, vm_id: str, name: str, ask: Ask, *, wait: bool) -> tuple[Result, int]:
    """Ask and follow one change to its end. A refusal is a result too; a session that ended ends everything."""
    operation = None
    try:
        operation = await _asked(ask)
        if wait:
            operation = await _followed(client, operation)
    except errors.Unauthenticated:
        raise
    except errors.NovaCronError as e:
        complain(_about(name, sentence(e)))
        return Result(vm_id, name, operation, e.problem()), code_of(e)
    failed = operation.state.ended and operation.state is not OperationState.SUCCEEDED
    if failed:
        complain(f"{name}: {doing(operation.kind)} {operation.state}: {_reason(operation)}")
    return Result(vm_id or operation.target.id, name, operation, operation.problem), FAILED if failed else DONE


async def _asked(ask: Ask) -> Operation:
    """Try again where no answer came: the key sees to it that it happens once."""
    key = str(uuid4())
    for left in reversed(range(_TRIES)):
        try:
            return await ask(key)
        except errors.ServerUnreachable:
            if not left:
                raise
            await asyncio.sleep(_LAST_LOOK_S)
    raise AssertionError("the last try returns or raises")


async def _followed(client: Client, operation: Operation) -> Operation:
    pause_s = _FIRST_LOOK_S
    while not operation.state.ended:
        await asyncio.sleep(pause_s)
        pause_s = min(_LAST_LOOK_S, pause_s * 1.5)
        operation = await client.call(operations.GET, operation_id=operation.id)
    return operation


def _tell(output: Output, results: Sequence[Result]) -> None:
    if output is Output.JSON:
        show_json(results)
        return
    for result in results:
        if result.operation and result.problem is None:
            say(f"{cell(result.name)}: {_outcome(result.operation)}")


def _outcome(op: Operation) -> str:
    if not op.state.ended:
        return f"{doing(op.kind)}, operation {op.id}"
    took_s = (op.finished_at - (op.started_at or op.created_at)).total_seconds() if op.finished_at else None
    return done(op.kind) if took_s is None else f"{done(op.kind)} in {took_s:.1f} s"


def _reason(op: Operation) -> str:
    return (op.problem.detail or op.problem.title) if op.problem else "no reason was given"


def _about(name: str, text: str) -> str:
    """`web-01 is running: …` needs no name before it."""
    return text if text.startswith(f"{name} ") else f"{name}: {text}"


async def _host_of(client: Client, word: str) -> str:
    found = [host for host in await everything(client, hosts.LIST, ListQuery()) if word in (host.id, host.name)]
    if len(found) != 1:
        raise errors.NotFound(f"there is no host {word!r}" if not found else f"{len(found)} hosts are called {word}")
    return found[0].id


def _ask_sure(found: Sequence[VM], disks: bool) -> None:
    names = ", ".join(cell(vm.name) for vm in found)
    what = f"delete {names}{' and their disks' if disks else ''}"
    if not sys.stdin.isatty():
        raise Usage(f"to {what} without a terminal, say --yes")
    word = cell(found[0].name) if len(found) == 1 else str(len(found))
    print(f"This will {what}. Type {word} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != word:
        raise errors.Conflict("not deleted: that was something else")
