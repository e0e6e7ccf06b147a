"""The SQL of VMs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Text, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core import errors
from novacron_server.database.rows import as_struct, read_each, values
from novacron_server.database.tables import crashes as c
from novacron_server.database.tables import hosts
from novacron_server.database.tables import vms as t
from novacron_server.inventory.rows import CrashRow, VMRow

_LOCK_NAME = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("lock", type_=Text), 0)))
_TENANT_BY_NAME = select(t.c.tenant).where(t.c.host_id == bindparam("host_id"), t.c.name == bindparam("name"))
_INSERT = insert(t)


class NameTaken(errors.Conflict):
    """A VM of `tenant` already has the name on the host."""

    tenant: str | None = None
    host_id: str = ""


async def all_rows(connection: AsyncConnection) -> list[VMRow]:
    return read_each(await connection.execute(select(t)), lambda row: as_struct(row, VMRow))


async def add(connection: AsyncConnection, row: VMRow) -> None:
    """Insert a VM. Raises NameTaken when its name is taken on its host by another row."""
    await connection.execute(_LOCK_NAME, {"lock": f"vm-name/{row.host_id}/{row.name}"})
    by = (await connection.execute(_TENANT_BY_NAME, {"host_id": row.host_id, "name": row.name})).first()
    if by:
        taken = NameTaken(f"a VM named {row.name} already exists")
        taken.tenant, taken.host_id = by.tenant, row.host_id
        raise taken
    await connection.execute(_INSERT, values(row))


async def get(connection: AsyncConnection, host_id: str, vm_id: str, *, shared_lock: bool = False) -> VMRow | None:
    """A VM's row, None if it has none. `shared_lock`: nobody changes it before this transaction ends."""
    query = select(t).where(t.c.host_id == host_id, t.c.id == vm_id)
    row = (await connection.execute(query.with_for_update(read=True) if shared_lock else query)).first()
    return as_struct(row, VMRow) if row else None


async def write_last_facts(
    connection: AsyncConnection, facts_by_key: Mapping[tuple[str, str], dict[str, Any]], read_at: Mapping[str, datetime]
) -> None:
    """Store the last facts of VMs, by (host id, VM id), and when each host was read last, by its id."""
    if facts_by_key:
        its_row = (t.c.host_id == bindparam("its_host"), t.c.id == bindparam("its_id"))
        parameters = [
            {"its_host": host_id, "its_id": vm_id, "facts": facts} for (host_id, vm_id), facts in facts_by_key.items()
        ]
        await connection.execute(update(t).where(*its_row).values(last_facts=bindparam("facts")), parameters)
    for host_id, moment in read_at.items():
        await connection.execute(update(hosts).where(hosts.c.id == host_id).values(read_at=moment))


async def last_facts(connection: AsyncConnection) -> list[tuple[str, str, dict[str, Any], datetime | None]]:
    """(host id, VM id, facts, when the host was read last) of the VMs whose facts were stored."""
    columns = (t.c.host_id, t.c.id, t.c.last_facts, hosts.c.read_at)
    query = select(*columns).join(hosts, hosts.c.id == t.c.host_id).where(t.c.last_facts.is_not(None))
    return [(str(row[0]), str(row[1]), row[2], row[3]) for row in await connection.execute(query)]


async def boot_times(connection: AsyncConnection) -> dict[tuple[str, str], tuple[datetime, str]]:
    """(host id, VM id) → (when its guest was started or restarted last, in which run), where that was seen."""
    query = select(t.c.host_id, t.c.id, t.c.booted_at, t.c.boot_run).where(t.c.booted_at.is_not(None))
    return {(str(row[0]), str(row[1])): (row[2], row[3]) for row in await connection.execute(query)}


async def write_boot_times(
    connection: AsyncConnection, found: Mapping[tuple[str, str], tuple[datetime, str] | None]
) -> None:
    """Store what `boot_times` returns; None for a VM whose boot is not known."""
    parameters = [
        {"its_host": host_id, "its_id": vm_id, "moment": boot[0] if boot else None, "run": boot[1] if boot else ""}
        for (host_id, vm_id), boot in found.items()
    ]
    its_row = (t.c.host_id == bindparam("its_host"), t.c.id == bindparam("its_id"))
    changed: dict[str, Any] = {"booted_at": bindparam("moment"), "boot_run": bindparam("run")}
    await connection.execute(update(t).where(*its_row).values(changed), parameters)


async def rename(connection: AsyncConnection, host_id: str, vm_id: str, name: str) -> VMRow | None:
    """Change a VM's name. Returns its new row, None if it has none."""
    where = (t.c.host_id == host_id, t.c.id == vm_id)
    changed = {"name": name, "updated_at": func.now(), "generation": t.c.generation + 1}
    await connection.execute(update(t).where(*where).values(changed))
    return await get(connection, host_id, vm_id)


async def set_owner(
    connection: AsyncConnection, host_id: str, vm_id: str, to: tuple[str, str], *, before: tuple[str, str] | None = None
) -> VMRow | None:
    """Change whose a VM is, given as (tenant, owner). Returns its new row, None if it has none or is not `before`'s."""
    changed = {"tenant": to[0], "owner": to[1], "updated_at": func.now(), "generation": t.c.generation + 1}
    same = (t.c.tenant == before[0], t.c.owner == before[1]) if before else ()
    query = update(t).where(t.c.host_id == host_id, t.c.id == vm_id, *same).values(changed).returning(t)
    row = (await connection.execute(query)).first()
    return as_struct(row, VMRow) if row else None


async def replace_owner(connection: AsyncConnection, old: str, new: str) -> list[VMRow]:
    """Give all VMs of an owner another one. Returns their new rows."""
    changed = {"owner": new, "updated_at": func.now(), "generation": t.c.generation + 1}
    rows = await connection.execute(update(t).where(t.c.owner == old).values(changed).returning(t))
    return [as_struct(row, VMRow) for row in rows]


async def remove(connection: AsyncConnection, host_id: str, vm_id: str) -> None:
    await connection.execute(delete(t).where(t.c.host_id == host_id, t.c.id == vm_id))


async def all_crashes(connection: AsyncConnection) -> list[CrashRow]:
    return read_each(await connection.execute(select(c)), lambda row: as_struct(row, CrashRow))


async def put_crash(connection: AsyncConnection, row: CrashRow) -> None:
    """Store the last crash of a VM in the place of an earlier one."""
    changed = values(row) | {"facts": msgspec.to_builtins(row.facts)}
    statement = insert_or_update(c).values(changed)
    await connection.execute(statement.on_conflict_do_update(index_elements=[c.c.host_id, c.c.vm_id], set_=changed))


async def acknowledge_crash(
    connection: AsyncConnection, host_id: str, vm_id: str, by: str, at: datetime
) -> CrashRow | None:
    """Mark the crash as acknowledged, once. Returns its row, None if there is none."""
    where = (c.c.host_id == host_id, c.c.vm_id == vm_id)
    changed = {"acknowledged_at": at, "acknowledged_by": by}
    await connection.execute(update(c).where(*where, c.c.acknowledged_at.is_(None)).values(changed))
    row = (await connection.execute(select(c).where(*where))).first()
    return as_struct(row, CrashRow) if row else None


async def remove_crash(connection: AsyncConnection, host_id: str, vm_id: str) -> None:
    await connection.execute(delete(c).where(c.c.host_id == host_id, c.c.vm_id == vm_id))
