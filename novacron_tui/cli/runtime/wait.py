"""Runs one change to its end: sends the request with retries, waits for the operation, and reports the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api import operations
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.problem import Problem
from novacron_core.client import Client
from novacron_core.rules.operation_words import doing, words_of
from novacron_tui.cli.runtime.exit_codes import DONE, FAILED, error_text, exit_code_of, print_error
from novacron_tui.cli.runtime.output import Output, cell, print_line, show_data

_ATTEMPTS = 3
_MIN_POLL_S, _MAX_POLL_S = 0.1, 1.0
PATIENCE_S = 60.0
"""How long a server may answer that it cannot tell now, while its database is down or it has too many requests."""
Send = Callable[[str], Awaitable[Operation]]
"""Requests a change from the server with an idempotency key."""


class Result(msgspec.Struct, frozen=True):
    """The result of a change to one object: its operation, the problem with which it was refused, or the note that says
    why there was nothing to do."""

    id: str
    name: str
    operation: Operation | None = None
    problem: Problem | None = None
    note: str = ""


async def run_change(
    client: Client,
    object_id: str,
    name: str,
    send: Send,
    *,
    wait: bool,
    is_done: Callable[[], Awaitable[bool]] | None = None,
) -> tuple[Result, int]:
    """Request one change and, with `wait`, follow it to its end; returns the result and the exit code.

    A refusal is a result too. `is_done` is asked after a Conflict: whether the object already is as the change would
    make it; then there is nothing to do, which is a success. Raises Unauthenticated when the session has ended.
    """
    operation = None
    try:
        operation = await send_with_retries(send)
        if wait:
            operation = await wait_for_end(client, operation)
    except errors.Unauthenticated:
        raise
    except errors.NovaCronError as e:
        if isinstance(e, errors.Conflict) and operation is None and is_done is not None and await is_done():
            print_error(f"{prefix_name(name, e.detail)}; nothing to do")
            return Result(object_id, name, note=e.detail), DONE
        print_error(prefix_name(name, error_text(e)))
        return Result(object_id, name, operation, e.problem()), exit_code_of(e)
    unsuccessful = operation.state.ended and operation.state is not OperationState.SUCCEEDED
    failed = unsuccessful and not operation.completed
    if unsuccessful:
        print_error(f"{name}: {doing(operation.kind)} {operation.state}: {_reason(operation)}")
    return Result(object_id or operation.target.id, name, operation, operation.problem), FAILED if failed else DONE


async def send_with_retries(send: Send) -> Operation:
    """Send a request. Retry when no answer came; the idempotency key makes sure that the change happens only once."""
    key = str(uuid4())
    for left in reversed(range(_ATTEMPTS)):
        try:
            return await send(key)
        except errors.ServerUnreachable:
            if not left:
                raise
            await asyncio.sleep(_MAX_POLL_S)
    raise AssertionError("the last attempt returns or raises")


async def wait_for_end(
    client: Client, operation: Operation, look: Callable[[Operation], Awaitable[None]] | None = None
) -> Operation:
    """The operation at its end. `look` is called with it each time that it was looked up.

    Raises the error with which the operation could not be looked up for PATIENCE_S: it goes on meanwhile."""
    pause_s, answered_at = _MIN_POLL_S, time.monotonic()
    while not operation.state.ended:
        await asyncio.sleep(pause_s)
        pause_s = min(_MAX_POLL_S, pause_s * 1.5)
        try:
            operation = await client.call(operations.GET, operation_id=operation.id)
            if look is not None:
                await look(operation)
            answered_at = time.monotonic()
        except (errors.DatabaseUnavailable, errors.RateLimited):
            if time.monotonic() - answered_at > PATIENCE_S:
                raise
    return operation


def report(output: Output, results: Sequence[Result]) -> None:
    """Print the results on stdout; as a table only the successful ones, as the others are on stderr already."""
    if output.is_data:
        show_data(output, results)
        return
    for result in results:
        if result.operation and result.problem is None:
            print_line(f"{cell(result.name)}: {_outcome(result.operation)}")


def _outcome(op: Operation) -> str:
    if not op.state.ended:
        return f"{words_of(op).doing}, operation {op.id}"
    took_s = (op.finished_at - (op.started_at or op.created_at)).total_seconds() if op.finished_at else None
    return words_of(op).done if took_s is None else f"{words_of(op).done} in {took_s:.1f} s"


def _reason(op: Operation) -> str:
    return op.problem.sentence if op.problem else "no reason given"


def prefix_name(name: str, text: str) -> str:
    """The text with the name before it, unless it starts with the name, like `web-01 is already running`."""
    return text if text.startswith(f"{name} ") else f"{name}: {text}"
