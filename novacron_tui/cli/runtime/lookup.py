"""Reads whole lists from paged endpoints, and finds a VM, host, pool, volume or tenant by name or id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api import access, hosts, pools, tenants, vms, volumes
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.pools import Pool
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.client import Client
from novacron_core.rules.validation import explain
from novacron_core.values.names import why_not_vm_name, without_tenant
from novacron_core.values.roles import Permission, allows
from novacron_tui.cli.runtime.output import shown

T = TypeVar("T")
Q = TypeVar("Q", bound=ListQuery)
_PAGE_SIZE = 1000
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


async def list_all(client: Client, endpoint: Endpoint[Page[T], Q, Any], query: Q, *, at_most: int = 0) -> list[T]:
    """All matching items, fetched page by page; at most `at_most` of them unless it is 0."""
    items: list[T] = []
    size = min(_PAGE_SIZE, at_most or _PAGE_SIZE)
    for number in range(1, 1_000_000):
        try:
            page = await client.call(endpoint, query=msgspec.structs.replace(query, page=number, page_size=size))
        except errors.ValidationFailed as e:
            raise explain_filter(query.q, e) from e
        items += page.items
        if len(page.items) < size or len(items) >= page.total or (at_most and len(items) >= at_most):
            break
    return items[:at_most] if at_most else items


def explain_filter(text: str, e: errors.ValidationFailed) -> errors.ValidationFailed:
    """An error about the API's field `q`, reworded as one about the filter that the user typed."""
    wrong = next((field.message for field in e.fields if field.field == "q"), None)
    return e if wrong is None else errors.ValidationFailed(f'invalid filter "{text}": {explain(wrong)[0]}')


async def find_vm(client: Client, name_or_id: str) -> VM:
    """The VM with this id, else with this name, which may look like an id. Raises NotFound, and Conflict when several
    have the name."""
    if _ID.fullmatch(name_or_id):
        with suppress(errors.NotFound):
            return await client.call(vms.GET, vm_id=name_or_id.lower())
    # Filtering by name avoids reading the whole fleet; a text that is not a valid name could be filter syntax.
    query = vms.VMQuery(q=name_or_id if why_not_vm_name(name_or_id) is None else "")
    found = named(name_or_id, await list_all(client, vms.LIST, query), lambda vm: vm.name)
    return one_of(found, name_or_id, "VM", lambda vm: vm.id)


async def find_host_id(client: Client, name_or_id: str) -> str:
    """The id of the host with this id or name. Raises NotFound, and Conflict when several have the name."""
    everything = await list_all(client, hosts.LIST, ListQuery())
    found = [host for host in everything if host.id == name_or_id] or named(name_or_id, everything, lambda h: h.name)
    return one_of(found, name_or_id, "host", lambda host: host.id).id


async def find_pool(client: Client, name_or_id: str) -> Pool:
    """The pool with this id or name. Raises NotFound, and Conflict when several have the name."""
    everything = await list_all(client, pools.LIST, ListQuery())
    found = [pool for pool in everything if pool.id == name_or_id] or named(name_or_id, everything, lambda p: p.name)
    return one_of(found, name_or_id, "pool", lambda pool: pool.id)


async def find_volume(client: Client, name_or_id: str) -> Volume:
    """The volume with this id, else with this name, which may look like an id. Raises NotFound, and Conflict when
    several have the name."""
    if _ID.fullmatch(name_or_id):
        with suppress(errors.NotFound):
            return await client.call(volumes.GET, volume_id=name_or_id.lower())
    found = named(name_or_id, await list_all(client, volumes.LIST, ListQuery()), lambda volume: volume.name)
    return one_of(found, name_or_id, "volume", lambda volume: volume.id)


class VisibleTenant(msgspec.Struct, frozen=True):
    """A tenant that one may work in. `role` is the own one; `current`: the session is there."""

    id: str
    role: str
    current: bool


async def visible_tenants(client: Client) -> list[VisibleTenant]:
    """The tenants of the session's account; for an administrator all."""
    user = (await client.call(access.VALIDATE)).user
    roles = {each.tenant: str(each.role) for each in user.memberships}
    if allows(user.role, Permission.ACCESS_ADMIN, user.limits):
        found = await list_all(client, tenants.LIST, ListQuery())
        roles = {tenant.id: roles.get(tenant.id, "") for tenant in found}
    return [VisibleTenant(tenant, role, tenant == user.tenant) for tenant, role in sorted(roles.items())]


def named(name: str, things: Sequence[T], name_of: Callable[[T], str]) -> list[T]:
    """The things with this name: exactly, else in another spelling of the same letters (NFC and NFD), else as a table
    shows it, where letters that no terminal may get are replaced, else without the tenant in front."""
    for same in (str, partial(unicodedata.normalize, "NFC"), shown, without_tenant):
        if found := [thing for thing in things if same(name_of(thing)) == same(name)]:
            return found
    return []


def one_of(found: Sequence[T], name_or_id: str, noun: str, id_of: Callable[[T], str]) -> T:
    """The only one. Raises NotFound when there is none, and Conflict when several have the name."""
    if not found:
        either = f"with the id or name {name_or_id}" if _ID.fullmatch(name_or_id) else f"named {name_or_id!r}"
        raise errors.NotFound(f"no {noun} {either}")
    if len(found) > 1:
        ids = ", ".join(map(id_of, found))
        raise errors.Conflict(f"{len(found)} {noun}s are named {name_or_id}: give an id instead ({ids})")
    return found[0]
