"""Checks and submits bulks, and lists their items."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.operations import BulkCounts, BulkItem, BulkItemState, Operation, Target
from novacron_core.api.ownership import HandOverAll
from novacron_core.api.problem import FieldError
from novacron_core.api.vms import MAX_BULK, VM, BulkRequest
from novacron_core.api.volumes import Volume
from novacron_core.rules.bulk_words import NOT_FOUND, VOLUME
from novacron_core.rules.visibility import Principal, may_see, readable
from novacron_core.rules.vm_actions import VMAction
from novacron_core.values.counts import counted
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.roles import Permission, Role
from novacron_server.access import repository as accounts
from novacron_server.access.people.rights import require, require_tenant
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.queries import words_of
from novacron_server.operations.repository import CHILD_KIND
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Submission
from novacron_server.outbox.records import EventDraft
from novacron_server.vms.bulk import repository
from novacron_server.vms.bulk.procedure import BulkSteps
from novacron_server.vms.bulk.repository import StoredItem
from novacron_server.vms.ownership.service import check_member

MAX_OPEN = 20
"""Bulks of one user that may be unended at the same time; each holds up to 5,000 rows."""
SMALL = 50
"""Items of a bulk that is accepted together with other changes, and VMs of one that may always be missing."""
_OPEN_RETRY_S = 10.0


class Bulks:
    """The service for bulks. Every method checks what the principal may see."""

    def __init__(self, database: Database, inventory: Inventory, operations: Operations) -> None:
        self._database = database
        self._inventory = inventory
        self._operations = operations

    async def submit(self, principal: Principal, body: BulkRequest, key: str) -> Operation:
        """Accept one action on many VMs. Whether a VM allows it is checked when its turn comes.

        Raises ValidationFailed, NotFound when the principal sees none of the VMs, Conflict when the filter matches
        another number of VMs than `count` or most ids are unknown, RateLimited while MAX_OPEN bulks of this user have not ended.
        """
        _check(body)

        async def decide() -> Submission[BulkSteps]:
            vms = self._requested(principal, body)
            items = [_item(position, vm_id, vm) for position, (vm_id, vm) in enumerate(vms)]
            missing = sum(vm is None for _, vm in vms)
            if missing == len(vms):
                raise errors.NotFound(_none_found(missing))
            if missing > max(SMALL, len(vms) // 2):
                raise errors.Conflict(
                    f"{missing:,} of these {len(vms):,} VMs were not found: nothing was done; refresh the list"
                )

            async def rows(connection: Connection, operation: Operation) -> list[EventDraft]:
                await _check_open(connection, principal)
                await repository.add(connection, operation.id, items)
                return []

            return Submission(
                target=Target(type="vms", id=str(uuid4()), name=counted(len(items), "VM")),
                host_id=None,
                tenant=_common_tenant(principal, (vm for _, vm in vms if vm)),
                steps=BulkSteps(asker_id=principal.user_id, api_token=principal.token_id),
                rows=rows,
                counts=BulkCounts(queued=len(items) - missing, refused=missing),
                alone=len(items) > SMALL,
            )

        return await self._operations.submit(OperationKind.VM_BULK, principal, key, _request(body), decide)

    async def hand_over_all(self, principal: Principal, username: str, body: HandOverAll, key: str) -> Operation:
        """Accept the handover of everything that a user owns and the principal sees: VMs with their disks, and volumes
        that no VM has. Each is checked when its turn comes, also against the quotas of its new tenant.

        Raises NotFound for a tenant that the principal does not see, ValidationFailed for one who cannot own it,
        Conflict when there is nothing, or too much for one request, RateLimited.
        """
        require(principal, Permission.VM_CHANGE)
        require(principal, Permission.VOLUME_CHANGE)
        tenant = require_tenant(principal, body.tenant) if body.tenant is not None else None
        if body.to == username and tenant is None:
            raise _invalid("to", f"{username} owns it already")

        async def decide() -> Submission[BulkSteps]:
            vms, volumes = self._owned(principal, username)
            found: list[VM | Volume] = [*vms, *volumes]
            if not found:
                raise errors.Conflict(f"{username} owns no VM and no volume that you can hand over")
            if len(found) > MAX_BULK:
                raise errors.Conflict(
                    f"{username} owns {len(found):,} things: mark at most {MAX_BULK:,} of them at once"
                )
            items = [_item(at, thing.id, thing) for at, thing in enumerate(found)]

            async def rows(connection: Connection, operation: Operation) -> list[EventDraft]:
                into = sorted({tenant or thing.tenant or "" for thing in found})
                if not any([await accounts.is_member(connection, body.to, each) for each in into]):
                    await check_member(connection, body.to, into[0], field="to")
                await _check_open(connection, principal)
                await repository.add(connection, operation.id, items)
                return []

            counts = ((len(vms), "VM"), (len(volumes), "volume"))
            name = " and ".join(counted(count, word) for count, word in counts if count)
            return Submission(
                target=Target(type="vms", id=str(uuid4()), name=f"{name} of {username}"),
                host_id=None,
                tenant=_common_tenant(principal, found),
                steps=BulkSteps(asker_id=principal.user_id, api_token=principal.token_id),
                rows=rows,
                counts=BulkCounts(queued=len(items)),
                alone=len(items) > SMALL,
            )

        request = {
            CHILD_KIND: str(OperationKind.VM_HAND_OVER),
            "action": str(VMAction.HAND_OVER),
            "options": {"owner": body.to, "tenant": tenant},
            "user": username,
        }
        return await self._operations.submit(OperationKind.VM_BULK, principal, key, request, decide)

    def _owned(self, principal: Principal, username: str) -> tuple[list[VM], list[Volume]]:
        """What a user owns, as far as the principal sees it: the VMs, and the volumes that go with none of them."""
        state = self._inventory.state
        vms = [vm for vm in state.vms() if vm.owner == username and may_see(principal, vm.tenant)]
        volumes = [
            volume
            for volume in state.storage.volumes()
            if volume.owner == username and volume.vm is None and may_see(principal, volume.tenant)
        ]
        return sorted(vms, key=lambda vm: vm.name), sorted(volumes, key=lambda volume: volume.name)

    def _requested(self, principal: Principal, body: BulkRequest) -> list[tuple[str, VM | None]]:
        """The requested ids, each once, with their VMs; None for one that the principal does not see."""
        if body.ids is not None:
            return [(vm_id, self._find(principal, vm_id)) for vm_id in dict.fromkeys(map(str.lower, body.ids))]
        found = list(self._inventory.matching(principal, body.q or ""))
        if len(found) != body.count:
            raise errors.Conflict(
                f"the filter matches {counted(len(found), 'VM')} now, not {body.count:,}: reload the list and try again"
            )
        if not found:
            raise _invalid("q", "matches no VM")
        if len(found) > MAX_BULK:
            raise _invalid("q", f"matches {len(found):,} VMs: one request takes at most {MAX_BULK:,}")
        return [(vm.id, vm) for vm in sorted(found, key=lambda vm: vm.name)]

    def _find(self, principal: Principal, vm_id: str) -> VM | None:
        try:
            return self._inventory.vm(principal, vm_id)
        except (errors.NotFound, errors.HostUnavailable):  # or it is not known yet
            return None

    async def children(self, principal: Principal, operation_id: str, query: ListQuery) -> Page[BulkItem]:
        """One page of the items of a bulk, the worst first; empty for another operation. Raises NotFound, for another
        tenant's operation as for a missing one, DatabaseUnavailable, ValidationFailed for a sort order or
        too many words, RateLimited while other searches take long."""
        if query.sort:
            raise _invalid("sort", "the items that need attention are always first")
        await self._operations.get(principal, operation_id)
        words, offset = words_of(query.q), (query.page - 1) * query.page_size
        reasons = principal.role is Role.ADMINISTRATOR  # others read them without the paths, and so search none
        async with self._database.search(principal) if words else nullcontext():
            items, total = await self._database.run(
                lambda c: repository.page(c, operation_id, words, offset, query.page_size, reasons=reasons),
                read_only=True,
            )
        items = [msgspec.structs.replace(item, reason=readable(principal, item.reason)) for item in items]
        return Page(items=items, total=total, page=query.page, page_size=query.page_size)


def _check(body: BulkRequest) -> None:
    """Raises ValidationFailed for fields that do not go together."""
    if (body.ids is None) == (body.q is None):
        raise _invalid("ids", "give either ids, or q with count")
    if (body.q is None) != (body.count is None):
        raise _invalid("count", "give the number of VMs that q should match, and only with q")
    if body.options.force_after_s is not None and body.action != "stop":
        raise _invalid("options.force_after_s", "is only for the action stop")
    if body.options.disks and body.action != "delete":
        raise _invalid("options.disks", "is only for the action delete")
    given = body.options.owner or body.options.tenant
    if given and body.action != "hand-over":
        raise _invalid("options.owner", "is only for the action hand-over, as options.tenant is")
    if not given and body.action == "hand-over":
        raise _invalid("options.owner", "or options.tenant must say to whom the VMs go")


def _none_found(count: int) -> str:
    return "VM not found" if count == 1 else f"none of the {counted(count, 'VM')} was found: look at the list again"


async def _check_open(connection: Connection, principal: Principal) -> None:
    """Raises RateLimited when the user has too many bulks, with the one that is accepted in this transaction. Acceptances
    are committed one after the other, so that requests at the same time cannot pass together."""
    if await repository.count_open(connection, principal.user_id) > MAX_OPEN:
        raise errors.RateLimited(
            f"{MAX_OPEN} of your changes of several VMs have not ended: wait until one has, or cancel one",
            retry_after_s=_OPEN_RETRY_S,
        )


def _invalid(field: str, message: str) -> errors.ValidationFailed:
    return errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])


def _request(body: BulkRequest) -> dict[str, Any]:
    """The request as it is stored and compared. Its ids are in the items; their digest tells two requests apart."""
    ids = msgspec.json.encode(body.ids)
    return {
        CHILD_KIND: f"vm.{body.action}",
        "action": body.action,
        "options": msgspec.to_builtins(body.options),
        "q": body.q,
        "count": body.count,
        "ids_digest": sha256(ids).hexdigest() if body.ids is not None else None,
    }


def _item(position: int, vm_id: str, vm: VM | Volume | None) -> StoredItem:
    if isinstance(vm, Volume):
        item = BulkItem(
            position=position, vm_id=vm.id, name=vm.name, state=BulkItemState.QUEUED, host=vm.host, type=VOLUME
        )
        return StoredItem(item=item)
    if vm is None:
        item = BulkItem(
            position=position,
            vm_id=vm_id,
            name=vm_id,
            state=BulkItemState.REFUSED,
            reason=NOT_FOUND,
            finished_at=datetime.now(UTC),
        )
        return StoredItem(item=item)
    item = BulkItem(position=position, vm_id=vm.id, name=vm.name, state=BulkItemState.QUEUED, host=vm.host)
    return StoredItem(item=item, generation=vm.generation)


def _common_tenant(principal: Principal, vms: Iterable[VM | Volume]) -> str | None:
    """The tenant to which all VMs belong, None if they differ: then only administrators see the bulk. Without a VM, that
    of who asks."""
    tenants = {vm.tenant for vm in vms}
    return tenants.pop() if len(tenants) == 1 else None if tenants else principal.tenant
