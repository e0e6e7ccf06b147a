"""`novacron tenant …`: tenants, their quotas, and the one in which the session goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api import access, tenants
from novacron_core.api.tenants import Tenant, TenantChange, TenantCreate
from novacron_core.client import Client
from novacron_core.rules.validation import explain
from novacron_core.values.sizes import parse_size, size_text
from novacron_core.values.tiers import TIERS
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.lookup import visible_tenants
from novacron_tui.cli.runtime.output import Output, cell, print_line, show_data, show_pairs, show_table
from novacron_tui.cli.runtime.prompts import confirm
from novacron_tui.cli.runtime.proof import call_proven

T = TypeVar("T", bound=msgspec.Struct)
UNLIMITED = "none"
_FLAGS = {"max_vms": "--max-vms", "max_vcpus": "--max-vcpus", "max_memory_bytes": "--max-memory"}


async def tenant_ls(client: Client, output: Output) -> None:
    """List the tenants that one may work in."""
    found = await visible_tenants(client)
    if output.is_data:
        show_data(output, found)
        return
    show_table(("TENANT", "YOUR ROLE", "SESSION"), ((t.id, t.role, "here" if t.current else "") for t in found))


async def tenant_show(client: Client, output: Output, tenant: str) -> None:
    """Show a tenant with its quotas; default: that of the session."""
    tenant = tenant or (await client.call(access.VALIDATE)).user.tenant
    _show(output, await client.call(tenants.GET, tenant=tenant))


async def tenant_create(client: Client, output: Output, tenant: str, given: dict[str, Any]) -> None:
    """Create a tenant. `given` are the flags that were given."""
    fields = _fields(given, {})
    body = _convert(
        TenantCreate, {"id": tenant, **{name: value for name, value in fields.items() if value is not None}}
    )
    made = await call_proven(client, tenants.CREATE, body=body)
    if output.is_data:
        show_data(output, made)
    else:
        print_line(f"{cell(made.id)}: created")


async def tenant_edit(client: Client, output: Output, tenant: str, given: dict[str, Any]) -> None:
    """Change a tenant. `given` are the flags that were given."""
    if not given:
        raise UsageError("nothing to change: give a flag (see `novacron tenant edit --help`)")
    disks = (await client.call(tenants.GET, tenant=tenant)).max_disk_bytes if given.get("max_disk") else {}
    body = _convert(TenantChange, _fields(given, disks))
    _show(output, await call_proven(client, tenants.CHANGE, body=body, tenant=tenant))


async def tenant_delete(client: Client, tenant: str, *, sure: bool) -> None:
    """Delete a tenant without members, VMs and volumes, after a confirmation."""
    if not sure:
        confirm(f"delete the tenant {cell(tenant)}", tenant)
    await call_proven(client, tenants.DELETE, tenant=tenant)
    print_line(f"{cell(tenant)}: deleted")


async def tenant_switch(client: Client, tenant: str) -> None:
    """Go on with the saved session in another tenant: consoles and scripts that share it, too."""
    if not client.credentials.refresh_token:
        raise errors.Conflict("a token of NOVACRON_TOKEN stays in its tenant: sign in with `novacron login`")
    body = _convert(access.SwitchTenant, {"tenant": tenant})
    tokens = await client.call(access.SWITCH_TENANT, body=body)
    client.credentials.take(tokens)
    print_line(f"The session goes on in {tokens.user.tenant}, as {tokens.user.role}")


def _show(output: Output, tenant: Tenant) -> None:
    if output.is_data:
        show_data(output, tenant)
        return
    disks = ((f"disk, {tier}", size_text(limit)) for tier, limit in tenant.max_disk_bytes.items())
    memory = tenant.max_memory_bytes
    pairs: list[tuple[str, object]] = [
        ("tenant", tenant.id),
        ("name", tenant.name),
        ("members", tenant.members),
        ("created", tenant.created_at),
        ("second factor", "required" if tenant.totp_required else "not required"),
        ("VMs", _limit(tenant.max_vms)),
        ("vCPUs", _limit(tenant.max_vcpus)),
        ("memory", _limit(None if memory is None else size_text(memory))),
        *disks,
    ]
    show_pairs(pairs)


def _limit(value: object) -> object:
    return "unlimited" if value is None else f"at most {value}"


def _fields(given: dict[str, Any], disks: dict[str, int]) -> dict[str, Any]:
    """The fields of a request for the flags that were given. `disks` are the quotas that `--max-disk` changes."""
    fields: dict[str, Any] = {name: given[name] for name in ("name", "totp_required") if name in given}
    for flag in ("max_vms", "max_vcpus"):
        if flag in given:
            fields[flag] = _number(_FLAGS[flag], given[flag])
    if "max_memory" in given:
        fields["max_memory_bytes"] = _size("--max-memory", given["max_memory"])
    if "max_disk" in given:
        fields["max_disk_bytes"] = _disk_quotas(given["max_disk"], disks)
    return fields


def _disk_quotas(texts: Sequence[str], before: dict[str, int]) -> dict[str, int]:
    quotas: dict[str, int | None] = dict(before)
    for text in texts:
        tier, equals, size = text.partition("=")
        if not equals or tier not in TIERS:
            raise UsageError(f"--max-disk: {text!r} is not TIER=SIZE, with a tier of {', '.join(TIERS)}")
        quotas[tier] = _size("--max-disk", size)
    return {tier: size for tier, size in quotas.items() if size is not None}


def _number(flag: str, text: str) -> int | None:
    if text == UNLIMITED:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{flag}: enter a number or {UNLIMITED}")
    return int(text)


def _size(flag: str, text: str) -> int | None:
    if text == UNLIMITED:
        return None
    try:
        return parse_size(text)
    except ValueError as e:
        raise UsageError(f"{flag}: {e}") from e


def _convert(kind: type[T], values: dict[str, Any]) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as e:
        sentence, field = explain(str(e))
        raise UsageError(f"{_FLAGS.get(field, field)}: {sentence}") from e
