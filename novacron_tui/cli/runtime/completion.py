"""Completion of names in the shell: asks the chosen server, with a short deadline, and offers nothing when that fails.

Only names that need no quoting are offered: the shells split the others at their spaces.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from novacron_core.client import Client

_DEADLINE_S = 1.5
_MOST = 200
_PLAIN = re.compile(r"[\w.@%+=,/-]+")
_TIERS = ("hot", "warm", "cold")
_MEMBERS = ("owner", "operator", "viewer")
_OTHER_ROLES = ("none", "administrator", "not-administrator")
_THEMES = ("dark", "light", "contrast", "colour-blind", "mono")


def vm_names(context: typer.Context, incomplete: str) -> list[str]:
    """VMs; for a power action or a deletion only those that it is possible on now."""

    async def ask(client: Client) -> Iterable[str]:
        from novacron_core.api import vms
        from novacron_core.rules.vm_actions import VMAction, why_not_vm

        query = vms.VMQuery(q=f"name:{incomplete}" if _is_plain(incomplete) else "", page_size=_MOST)
        found = (await client.call(vms.LIST, query=query)).items
        verb = context.info_name
        action = VMAction(verb) if verb in {str(known) for known in VMAction} else None
        return (vm.name for vm in found if action is None or why_not_vm(action, vm, None) is None)

    given = context.params.get("names") or ()
    return [name for name in _ask(context, incomplete, ask) if name not in given]


def volume_names(context: typer.Context, incomplete: str) -> list[str]:
    async def ask(client: Client) -> Iterable[str]:
        from novacron_core.api import volumes
        from novacron_core.api.base import ListQuery

        query = ListQuery(q=f"name:{incomplete}" if _is_plain(incomplete) else "", page_size=_MOST)
        return (volume.name for volume in (await client.call(volumes.LIST, query=query)).items)

    return _ask(context, incomplete, ask)


def host_names(context: typer.Context, incomplete: str) -> list[str]:
    async def ask(client: Client) -> Iterable[str]:
        from novacron_core.api import hosts
        from novacron_core.api.base import ListQuery

        return (host.name for host in (await client.call(hosts.LIST, query=ListQuery(page_size=_MOST))).items)

    return _ask(context, incomplete, ask)


def image_names(context: typer.Context, incomplete: str) -> list[str]:
    async def ask(client: Client) -> Iterable[str]:
        from novacron_core.api import images
        from novacron_core.api.base import ListQuery

        found = (await client.call(images.LIST, query=ListQuery(page_size=_MOST))).items
        return (image.name for image in found if not image.problem)

    return _ask(context, incomplete, ask)


def pool_names(context: typer.Context, incomplete: str) -> list[str]:
    async def ask(client: Client) -> Iterable[str]:
        from novacron_core.api import pools
        from novacron_core.api.base import ListQuery

        return (pool.name for pool in (await client.call(pools.LIST, query=ListQuery(page_size=_MOST))).items)

    return _ask(context, incomplete, ask)


def user_names(context: typer.Context, incomplete: str) -> list[str]:
    async def ask(client: Client) -> Iterable[str]:
        from novacron_core.api import people
        from novacron_core.api.base import ListQuery

        return (person.username for person in (await client.call(people.LIST, query=ListQuery(page_size=_MOST))).items)

    return _ask(context, incomplete, ask)


def tenant_names(context: typer.Context, incomplete: str) -> list[str]:
    async def ask(client: Client) -> Iterable[str]:
        from novacron_tui.cli.runtime.lookup import visible_tenants

        return (tenant.id for tenant in await visible_tenants(client))

    return _ask(context, incomplete, ask)


def member_roles(incomplete: str) -> list[str]:
    return [name for name in _MEMBERS if name.startswith(incomplete)]


def all_roles(incomplete: str) -> list[str]:
    return [name for name in (*_MEMBERS, *_OTHER_ROLES) if name.startswith(incomplete)]


def profile_names(incomplete: str) -> list[str]:
    from novacron_core import errors
    from novacron_tui.servers.profiles import LOCAL, Profiles

    try:
        return [name for name in (*Profiles().all(), LOCAL) if name.startswith(incomplete)]
    except errors.NovaCronError:
        return []


def tier_names(incomplete: str) -> list[str]:
    return [name for name in _TIERS if name.startswith(incomplete)]


def tier_names_or_none(incomplete: str) -> list[str]:
    return [name for name in (*_TIERS, "none") if name.startswith(incomplete)]


def disk_formats(incomplete: str) -> list[str]:
    return [name for name in ("qcow2", "raw") if name.startswith(incomplete)]


def theme_names(incomplete: str) -> list[str]:
    return [name for name in _THEMES if name.startswith(incomplete)]


def _is_plain(incomplete: str) -> bool:
    """Whether a text can stand in a filter as it is."""
    return bool(_PLAIN.fullmatch(incomplete)) and "," not in incomplete


def _ask(context: Any, incomplete: str, ask: Callable[[Client], Awaitable[Iterable[str]]]) -> list[str]:
    import asyncio

    from novacron_tui.cli.runtime.deadline import result_within

    names = result_within(_DEADLINE_S, lambda: asyncio.run(_ask_server(context, ask)))
    return sorted({name for name in names if name.startswith(incomplete) and _PLAIN.fullmatch(name)})


async def _ask_server(context: typer.Context, ask: Callable[[Client], Awaitable[Iterable[str]]]) -> list[str]:
    from novacron_tui.cli.runtime.choice import chosen_server
    from novacron_tui.cli.runtime.connect import connect, resolve_server
    from novacron_tui.servers.profiles import Profiles

    async with connect(resolve_server(chosen_server(context), Profiles())) as client:
        return list(await ask(client))
