"""One action on several VMs: one request, a line for each VM as it ends, and the way to stop the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from novacron_core import errors
from novacron_core.api import operations, vms
from novacron_core.api.operations import BulkItem, BulkItemState, Operation
from novacron_core.api.problem import Problem
from novacron_core.api.vms import VM, BulkOptions, BulkRequest
from novacron_core.client import Client
from novacron_core.rules.bulk_words import reason_of
from novacron_core.rules.operation_words import doing, done
from novacron_tui.cli.runtime.exit_codes import DONE, FAILED, print_error
from novacron_tui.cli.runtime.output import Output, cell, print_line_now
from novacron_tui.cli.runtime.wait import Result, report, send_with_retries, wait_for_end
from novacron_tui.vms.actions import Verb
from novacron_tui.vms.bulk import load_items

_AT_ONCE = 8


async def act_on_many(
    client: Client, output: Output, verb: Verb, found: Sequence[VM], options: BulkOptions, *, wait: bool
) -> int:
    """Request the action for all these VMs and, with `wait`, follow it to its end. Returns the exit code: 1 when a VM was
    refused or failed."""
    body = BulkRequest(action=verb.name, ids=[vm.id for vm in found], options=options)  # type: ignore[arg-type]
    bulk = await send_with_retries(lambda key: client.call(vms.BULK, body=body, idempotency_key=key))
    return await follow_bulk(client, output, bulk, wait=wait)


async def follow_bulk(client: Client, output: Output, bulk: Operation, *, wait: bool) -> int:
    """Report the results of an accepted bulk. Returns the exit code."""
    if not wait:
        report(output, [Result(bulk.id, bulk.target.name, bulk)])
        return DONE
    following = _Following(client, output, bulk)
    try:
        await following.look(bulk)
        await wait_for_end(client, bulk, following.look)
    except asyncio.CancelledError:  # Ctrl+C
        print_error(f"the server goes on with these {bulk.target.name}; `novacron op cancel {bulk.id}` stops the rest")
        raise
    if output.is_data:
        report(output, await following.results())
    return FAILED if following.unsuccessful else DONE


class _Following:
    """What is known of a bulk, and which of its VMs were reported."""

    def __init__(self, client: Client, output: Output, bulk: Operation) -> None:
        self._client = client
        self._quiet = output.is_data
        self._bulk = bulk
        self._reported: dict[int, BulkItem] = {}

    async def look(self, bulk: Operation) -> None:
        """Report the VMs that have ended since the last look."""
        if bulk.counts is None or bulk.counts.ended <= len(self._reported):
            return
        for item in sorted(await load_items(self._client, self._bulk.id), key=lambda item: item.position):
            if item.state.ended and item.position not in self._reported:
                self._reported[item.position] = item
                self._print(item)

    def _print(self, item: BulkItem) -> None:
        """One line: on stdout for a VM that was changed, else on stderr, as for a single VM."""
        kind = self._bulk.child_kind
        if item.state is BulkItemState.SUCCEEDED and not item.reason:
            if not self._quiet:
                print_line_now(f"{cell(item.name)}: {done(kind)}{_took(item)}")
        elif item.state is BulkItemState.SUCCEEDED:
            print_error(f"{reason_of(item)}; nothing to do")
        elif item.state is BulkItemState.REFUSED:
            print_error(reason_of(item))
        else:
            print_error(f"{item.name}: {doing(kind)} {item.state}: {item.reason}")

    @property
    def unsuccessful(self) -> bool:
        return any(item.state is not BulkItemState.SUCCEEDED for item in self._reported.values())

    async def results(self) -> list[Result]:
        """A result for each VM, with its operation, in the order of the request."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def result(item: BulkItem) -> Result:
            operation = None
            if item.operation_id is not None:
                async with slots:
                    operation = await self._client.call(operations.GET, operation_id=item.operation_id)
            if item.state is BulkItemState.SUCCEEDED:
                return Result(item.vm_id, item.name, operation, note=item.reason)
            problem = operation.problem if operation and operation.problem else _problem(item)
            return Result(item.vm_id, item.name, operation, problem)

        ordered = sorted(self._reported.values(), key=lambda item: item.position)
        return list(await asyncio.gather(*(result(item) for item in ordered)))


def _problem(item: BulkItem) -> Problem:
    return errors.Conflict(item.reason).problem()


def _took(item: BulkItem) -> str:
    if item.started_at is None or item.finished_at is None:
        return ""
    return f" in {(item.finished_at - item.started_at).total_seconds():.1f} s"


async def cancel(client: Client, operation_id: str) -> int:
    """Cancel an operation; of a bulk, what has not begun. Returns the exit code."""
    operation = await client.call(operations.CANCEL, operation_id=operation_id)
    name = cell(operation.target.name or operation.target.id)
    if operation.counts is not None and not operation.state.ended:
        rest = operation.counts.running
        print_line_now(f"{name}: stopped; {rest} still running, {operation.counts.cancelled} cancelled")
    else:
        print_line_now(f"{name}: {doing(operation.child_kind or operation.kind)} {operation.state}")
    return DONE
