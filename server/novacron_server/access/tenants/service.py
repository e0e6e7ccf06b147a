"""Lists, creates, changes and deletes tenants. Their quotas are enforced where VMs and volumes are created."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from novacron_core import errors
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.api.tenants import Tenant, TenantChange, TenantCreate
from novacron_core.rules.visibility import Principal
from novacron_core.values.counts import counted
from novacron_core.values.names import DEFAULT_TENANT
from novacron_core.values.roles import Permission
from novacron_server.access.accounts import access_event
from novacron_server.access.people.rights import TENANT_NOT_FOUND, RequireProof, no_proof, require, require_tenant
from novacron_server.access.tenants import repository
from novacron_server.audit import repository as audit
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.paging import page_of
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append


class Tenants:
    """`ended` gets the ids of the sessions whose tokens have just ended, after the commit of every change.
    `require_proof` is asked in its transaction."""

    def __init__(
        self, database: Database, ended: Callable[[Iterable[str]], None], require_proof: RequireProof = no_proof
    ) -> None:
        self._database = database
        self._require_proof = require_proof
        self._ended = ended

    async def page(self, principal: Principal, query: ListQuery) -> Page[Tenant]:
        """Every word of `q` must occur in the id or name. Raises ValidationFailed for an unknown sort field."""
        require(principal, Permission.ACCESS_ADMIN)
        found = await self._database.run(repository.all_tenants, read_only=True)
        return page_of(found, query, text=lambda each: f"{each.id} {each.name}", default_sort="id")

    async def get(self, principal: Principal, tenant_id: str) -> Tenant:
        """Raises NotFound, also for a tenant that the principal does not see."""
        require_tenant(principal, tenant_id)
        return _found(await self._database.run(lambda conn: repository.tenant(conn, tenant_id), read_only=True))

    async def create(self, principal: Principal, body: TenantCreate) -> Tenant:
        """Raises Conflict for an id that is taken, and for that of a deleted tenant, whose events and audit log are kept."""
        require(principal, Permission.ACCESS_ADMIN)

        async def work(conn: Connection) -> Tenant:
            await self._require_proof(conn, principal)
            if not await repository.add(conn, body):
                taken = f"There is a tenant {body.id} already. Choose another id."
                raise errors.Conflict(taken, fields=[FieldError(field="id", message=taken)])
            # After the insert, which has waited for a deletion that was under way.
            if (await audit.tail(conn, body.id)).seq:
                used = (
                    f"{body.id} was the id of a tenant that was deleted, and its records are kept. Choose another id."
                )
                raise errors.Conflict(used, fields=[FieldError(field="id", message=used)])
            made = _found(await repository.tenant(conn, body.id))
            await append(conn, [_event(made, "access.tenant_created", principal)])
            return made

        made = await self._database.run(work)
        self._ended([])
        return made

    async def change(self, principal: Principal, tenant_id: str, body: TenantChange) -> Tenant:
        """A quota below what the tenant has keeps it from creating more. Raises NotFound."""
        require(principal, Permission.ACCESS_ADMIN)
        values = {field: value for field, value in msgspec.structs.asdict(body).items() if value is not msgspec.UNSET}

        async def work(conn: Connection) -> Tenant:
            await self._require_proof(conn, principal)
            before = _found(await repository.tenant(conn, tenant_id, locked=True))
            changed = {field: value for field, value in values.items() if getattr(before, field) != value}
            if not changed:
                return before
            await repository.change(conn, tenant_id, changed)
            now = _found(await repository.tenant(conn, tenant_id))
            note = ", ".join(f"{field} is {_said(value)}" for field, value in changed.items())
            await append(conn, [_event(now, "access.tenant_changed", principal, note=note)])
            return now

        now = await self._database.run(work)
        self._ended([])
        return now

    async def delete(self, principal: Principal, tenant_id: str) -> None:
        """Raises NotFound, and Conflict for a tenant that has members, VMs or volumes, and for that of new accounts."""
        require(principal, Permission.ACCESS_ADMIN)

        async def work(conn: Connection) -> list[str]:
            await self._require_proof(conn, principal)
            found = _found(await repository.tenant(conn, tenant_id, locked=True))
            if tenant_id == DEFAULT_TENANT:
                raise errors.Conflict(f"{tenant_id} is the tenant of new accounts. It cannot be deleted.")
            left = [
                counted(count, word) for word, count in (await repository.contents(conn, tenant_id)).items() if count
            ]
            if left:
                raise errors.Conflict(f"{tenant_id} has {', '.join(left)}. Move or remove them first.")
            ended = await repository.delete_tenant(conn, tenant_id)
            await append(conn, [_event(found, "access.tenant_deleted", principal)])
            return ended

        self._ended(await self._database.run(work))


def _found(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise errors.NotFound(TENANT_NOT_FOUND)
    return tenant


def _said(value: object) -> str:
    return "unlimited" if value in (None, {}) else str(value)


def _event(tenant: Tenant, kind: str, principal: Principal, *, note: str = "") -> EventDraft:
    target = Target(type="tenant", id=tenant.id, name=tenant.name)
    return access_event(target, kind, by=principal.username, tenant=tenant.id, note=note, priority=Priority.HIGH)
