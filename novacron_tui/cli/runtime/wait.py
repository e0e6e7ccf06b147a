"""One change from asking to its end: tried again where no answer came, followed, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api import operations
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.problem import Problem
from novacron_core.client import Client
from novacron_core.rules.operation_words import doing
from novacron_tui.cli.runtime.exit_codes import DONE, FAILED, code_of, complain, sentence
from novacron_tui.cli.runtime.output import Output, cell, say, show_json
from novacron_tui.vms.actions import done

_TRIES = 3
_FIRST_LOOK_S, _LAST_LOOK_S = 0.1, 1.0
Ask = Callable[[str], Awaitable[Operation]]
"""Asks the server for a change with an idempotency key."""


class Result(msgspec.Struct, frozen=True):
    """What became of one thing's change: the operation, or the problem it was refused with."""

    id: str
    name: str
    operation: Operation | None = None
    problem: Problem | None = None


async def settled(client: Client, thing_id: str, name: str, ask: Ask, *, wait: bool) -> tuple[Result, int]:
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
        return Result(thing_id, name, operation, e.problem()), code_of(e)
    failed = operation.state.ended and operation.state is not OperationState.SUCCEEDED
    if failed:
        complain(f"{name}: {doing(operation.kind)} {operation.state}: {_reason(operation)}")
    return Result(thing_id or operation.target.id, name, operation, operation.problem), FAILED if failed else DONE


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


def tell(output: Output, results: Sequence[Result]) -> None:
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
