"""Runs a bulk: submits an operation for each VM, a few at a time on each host, and collects their results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import BulkItem, BulkItemState, Operation, OperationState
from novacron_core.api.ownership import HandOver
from novacron_core.rules.bulk_words import NO_VOLUME, NOT_FOUND, VOLUME, counts_text, result_text
from novacron_core.rules.visibility import Principal
from novacron_core.rules.vm_actions import VMAction, has_effect_already
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.roles import Permission
from novacron_server.access.askers import Askers
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext, PartlyRefused, StoppedEarly
from novacron_server.operations.endings import Endings
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.outcomes import as_known_error
from novacron_server.operations.procedures import Procedure
from novacron_server.operations.retries import retry_until_done, retry_while_database_down
from novacron_server.outbox.records import EventDraft
from novacron_server.places import Places
from novacron_server.tasks import cancel_tasks
from novacron_server.vms.bulk import repository
from novacron_server.vms.bulk.items import Items
from novacron_server.vms.ownership.service import Ownership
from novacron_server.vms.service import BulkChild, VMs

PER_HOST = 4
"""VMs of one host that all bulks of one action together change at once. A host has few threads for changes, and guests that start
together read the same disks: more at once would delay the changes that people make one by one, and end no earlier."""
PUBLISH_EVERY_S = 0.5
HOST_PATIENCE_S = 60.0
"""How long an item waits for a host that does not respond, during its operation or after a restart of the server."""
_NOT_REPEATED = (VMAction.RESTART, VMAction.RESET)
"""Nobody can tell whether these have happened before the server was stopped; all others are refused by their rule then."""


class BulkSteps(Steps, frozen=True):
    """The items, in a table of their own, are the journal. `asker_id` is the user in whose name the operations run."""

    asker_id: str = ""
    api_token: str = ""
    """The id of the API token that began it, empty for a session. Its end ends the bulk."""


class BulkVMs(Procedure[BulkSteps]):
    """Survives the server: `run` continues with the items that have not ended."""

    kind = OperationKind.VM_BULK
    steps = BulkSteps
    may_cancel = True
    continues = True
    failpoints = ("vm.bulk:began", "vm.bulk:submitted", "vm.bulk:done")

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        endings: Endings,
        askers: Askers,
        vms: Callable[[], VMs],
        ownership: Callable[[], Ownership],
    ) -> None:
        """`vms` and `ownership` return services, which are built later: they submit operations, of which this is the
        procedure of one kind."""
        self.database = database
        self.inventory = inventory
        self.endings = endings
        self.askers = askers
        self.vms = vms
        self.ownership = ownership
        self._places: dict[tuple[str, VMAction], Places] = {}
        self._runs: dict[str, _Run] = {}

    def places(self, host_id: str, action: VMAction) -> Places:
        """Those that all bulks of one action share for a host. Each action has its own, so that powering off does not wait
        behind guests that do not shut down; and a tenant has half of them, which such guests may hold for long."""
        return self._places.setdefault((host_id, action), Places(2 * PER_HOST, PER_HOST))

    async def run(self, context: OperationContext[BulkSteps]) -> None:
        """Raises Conflict with a summary when a VM failed, PartlyRefused when some were only refused, StoppedEarly when the
        bulk was stopped."""
        run = self._runs[context.id] = _Run(self, context)
        try:
            await run.load()
            await failpoint("vm.bulk:began")
            await run.perform()
            await failpoint("vm.bulk:done")
        finally:
            del self._runs[context.id]
        run.raise_result()

    async def stop(self, context: OperationContext[BulkSteps], why: str) -> bool:
        """Cancel what is queued, durably. Operations that run on VMs go on; the bulk ends after them."""
        if (run := self._runs.get(context.id)) is None:
            return False
        await run.stop(why)
        return True


class _Run:
    """One bulk while this server runs it."""

    def __init__(self, shared: BulkVMs, context: OperationContext[BulkSteps]) -> None:
        self._shared = shared
        self._context = context
        self._action = VMAction(context.request["action"])
        self._options = context.request.get("options") or {}
        self._resumed = not context.accepted_seq
        self._items = Items(())
        self._loaded = asyncio.Event()
        self._stops: list[asyncio.Task[None]] = []
        self._give_up_at = asyncio.get_running_loop().time() + HOST_PATIENCE_S

    async def load(self) -> None:
        """Read the items."""
        read = lambda c: repository.all_of(c, self._context.id)  # noqa: E731
        self._items = Items(
            await retry_while_database_down("reading a bulk", lambda: self._shared.database.run(read, read_only=True))
        )
        self._loaded.set()

    async def perform(self) -> None:
        """Run all items that have not ended, each host on its own, until all have."""
        publishing = asyncio.create_task(self._publish(), name="progress of a bulk")
        try:
            async with asyncio.TaskGroup() as hosts:
                for host_id, positions in self._items.by_host().items():
                    hosts.create_task(self._run_host(host_id, positions))
        finally:
            await cancel_tasks([publishing])
        await asyncio.gather(*self._stops, return_exceptions=True)
        await retry_until_done("results of a bulk", self._save)
        self._context.note_counts(self._items.counts(), self._text())

    def raise_result(self) -> None:
        """Raises what the result of the bulk is, unless all VMs are as requested."""
        counts, kind = self._items.counts(), self._context.operation.child_kind
        if counts.cancelled:
            raise StoppedEarly(f"{self._items.why_cancelled()}: {result_text(kind, counts, self._items.reason())}")
        if counts.failed:
            raise errors.Conflict(result_text(kind, counts, self._items.reason()))
        if counts.refused:
            raise PartlyRefused(result_text(kind, counts, self._items.reason()))

    # -- stopping and progress ---------------------------------------------------------------------------------------

    async def stop(self, why: str) -> None:
        """Cancel the queued items. Raises DatabaseUnavailable."""
        await self._loaded.wait()
        stopping = asyncio.create_task(self._cancel_queued(why), name="stopping a bulk")
        self._stops.append(stopping)
        await asyncio.shield(stopping)
        await self._context.forbid_cancel()
        await self._context.report_counts(self._items.counts(), self._text())

    async def _cancel_queued(self, why: str) -> None:
        now = datetime.now(UTC)
        positions = await self._shared.database.run(lambda c: repository.cancel_queued(c, self._context.id, why, now))
        self._items.cancelled(positions, why)

    async def _publish(self) -> None:
        """Store the ends of items and publish the counts, until cancelled."""
        while True:
            await asyncio.sleep(PUBLISH_EVERY_S)
            if self._items.changed:
                with suppress(errors.NovaCronError):  # the next round stores them
                    await self._save()
                    await self._context.report_counts(self._items.counts(), self._text())

    def _text(self) -> str:
        return counts_text(self._context.operation.child_kind, self._items.counts())

    async def _save(self) -> None:
        self._items.changed = False
        if not (ends := self._items.take_unsaved()):
            return
        try:
            await self._shared.database.run(lambda c: repository.save_ends(c, self._context.id, ends))
        except BaseException:
            self._items.put_back(ends)
            raise

    # -- the items ---------------------------------------------------------------------------------------------------

    async def _run_host(self, host_id: str, positions: Iterable[int]) -> None:
        places, tenant = self._shared.places(host_id, self._action), self._context.operation.tenant
        async with asyncio.TaskGroup() as group:
            for position in positions:
                if self._items[position].state.ended:
                    continue  # stopped meanwhile
                await places.acquire(tenant)
                task = group.create_task(self._run_item(position))
                task.add_done_callback(lambda _: places.release(tenant))

    async def _run_item(self, position: int) -> None:
        """Run one item to its end, whatever happens: one bad VM must not cost the others (G14)."""
        if self._items[position].state.ended:
            return
        try:
            await self._change(position)
        except errors.NovaCronError as e:
            self._not_done(position, e)
        except Exception as e:  # noqa: BLE001 - a bug; the other VMs go on
            self._not_done(position, as_known_error(self._context.operation, e))

    async def _change(self, position: int) -> None:
        item = self._items[position]
        key = f"bulk/{self._context.id}/{item.vm_id}"
        if item.operation_id is not None:
            ended = await self._wait(item, item.operation_id)
            if not self._must_repeat(ended):
                self._finish(position, ended)
                return
            key = f"{key}/{item.operation_id}"
        if self._resumed:
            await self._read_again(item)
        try:
            principal = await self._asker()
        except errors.Forbidden as e:
            await self._stop_for(e.detail)
            self._items.end(position, BulkItemState.CANCELLED, e.detail)
            return
        operation = await retry_while_database_down(
            "change of a bulk", lambda: self._submit(principal, position, item, key)
        )
        self._items.run(position, operation.id)
        await failpoint("vm.bulk:submitted")
        self._finish(position, await self._wait(self._items[position], operation.id))

    async def _asker(self) -> Principal:
        """The user who has requested the bulk, as of now. Raises Forbidden when they no longer may."""
        steps, operation = self._context.steps, self._context.operation
        return await retry_while_database_down(
            "asker of a bulk",
            lambda: self._shared.askers.principal(
                steps.asker_id,
                operation.actor,
                Permission.VM_CHANGE,
                operation.tenant,
                steps.api_token or operation.api_token,
            ),
        )

    async def _stop_for(self, why: str) -> None:
        """Cancel the rest, without an operator's request."""
        await retry_while_database_down("stopping a bulk", lambda: self._cancel_queued(why))
        await self._context.forbid_cancel()

    async def _submit(self, principal: Principal, position: int, item: BulkItem, key: str) -> Operation:
        """Submit the operation on one VM, as if it were requested alone. Raises what refuses it."""

        async def begin(connection: Connection, operation: Operation) -> list[EventDraft]:
            at, previous = operation.created_at, item.operation_id
            if not await repository.begin(connection, self._context.id, position, operation.id, previous, at):
                raise errors.Conflict("the bulk was stopped")
            return []

        vms, bulk = self._shared.vms(), BulkChild(self._context.id, begin)
        if self._action is VMAction.DELETE:
            disks, generation = bool(self._options.get("disks")), self._items.generation(position)
            return await vms.delete(principal, item.vm_id, disks=disks, if_match=generation, key=key, bulk=bulk)
        if self._action is VMAction.ACKNOWLEDGE:
            return await vms.acknowledge(principal, item.vm_id, key, bulk=bulk)
        if self._action is VMAction.HAND_OVER:
            ownership, options = self._shared.ownership(), self._options
            body = HandOver(owner=options.get("owner"), tenant=options.get("tenant"))
            hand_over = ownership.hand_over_volume if item.type == VOLUME else ownership.hand_over_vm
            return await hand_over(principal, item.vm_id, body, key, bulk=bulk)
        force_after_s = self._options.get("force_after_s")
        return await vms.power(principal, item.vm_id, self._action, force_after_s=force_after_s, key=key, bulk=bulk)

    async def _wait(self, item: BulkItem, operation_id: str) -> Operation | None:
        """The operation on a VM at its end. Raises HostUnavailable when its host does not respond for long."""
        down_since: float | None = None

        async def look() -> None:
            nonlocal down_since
            now = asyncio.get_running_loop().time()
            host = self._shared.inventory.host(item.host or "")
            if host.status is HostStatus.UP:
                down_since = None
                return
            down_since = down_since or now
            if now - down_since > HOST_PATIENCE_S:
                raise errors.HostUnavailable(f"{host.name} does not respond: the operation ends when it is back")

        return await self._shared.endings.wait(operation_id, look)

    async def _read_again(self, item: BulkItem) -> None:
        """After a restart of the server, read the VM, waiting for its host: what is not read yet would be refused."""
        while asyncio.get_running_loop().time() < self._give_up_at:
            try:
                if item.type == VOLUME:
                    await self._shared.inventory.refresh_volumes(item.host or "")
                else:
                    await self._shared.inventory.refresh_vm(item.host or "", item.vm_id)
                self._shared.inventory.require_host_up(item.host)  # shown a moment after it can be read
            except errors.HostUnavailable:
                await asyncio.sleep(PUBLISH_EVERY_S)
            except errors.NovaCronError:
                return  # the submission says why
            else:
                return

    def _must_repeat(self, ended: Operation | None) -> bool:
        """Whether an operation that a crash has interrupted must be requested again."""
        interrupted = ended is not None and ended.state is OperationState.INTERRUPTED and not ended.completed
        return interrupted and self._action not in _NOT_REPEATED

    def _finish(self, position: int, ended: Operation | None) -> None:
        """The result of an item from the operation on its VM."""
        if ended is None:
            self._items.end(position, BulkItemState.FAILED, "its operation is no longer known")
        elif ended.state is OperationState.SUCCEEDED or ended.completed:
            self._items.end(position, BulkItemState.SUCCEEDED)
        else:
            state = BulkItemState.CANCELLED if ended.state is OperationState.CANCELLED else BulkItemState.FAILED
            self._items.end(position, state, ended.problem.detail if ended.problem else "no reason given")

    def _not_done(self, position: int, error: errors.NovaCronError) -> None:
        """The result of an item whose change was refused, or whose operation cannot be followed."""
        item = self._items[position]
        if isinstance(error, errors.Conflict) and self._has_effect(item):
            self._items.end(position, BulkItemState.SUCCEEDED, error.detail)
        elif item.state is BulkItemState.RUNNING or isinstance(error, errors.Internal):
            self._items.end(position, BulkItemState.FAILED, error.detail)
        elif isinstance(error, errors.NotFound):
            self._items.end(position, BulkItemState.REFUSED, NO_VOLUME if item.type == VOLUME else NOT_FOUND)
        else:
            self._items.end(position, BulkItemState.REFUSED, error.detail)

    def _has_effect(self, item: BulkItem) -> bool:
        """Whether the VM is in the state already that the action leads to."""
        found = self._shared.inventory.state.composed((item.host or "", item.vm_id))
        return found is not None and has_effect_already(self._action, found)
