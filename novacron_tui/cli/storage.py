"""`volume …`, `pool …`, `tier ls`, `image upload|delete`: storage for scripts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api import images, pools, tiers, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.images import ImageQuery
from novacron_core.api.operations import Operation
from novacron_core.api.pools import PoolTier
from novacron_core.api.volumes import VolumeAttach, VolumeClone, VolumeCreate, VolumeMove, VolumeResize
from novacron_core.client import Client
from novacron_core.rules.validation import explain
from novacron_core.values.names import is_sha256, why_not_image_name, why_not_volume_name
from novacron_core.values.sizes import parse_size, size_text
from novacron_core.values.tiers import TIERS
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.lookup import everything, host_of, vm_of, volume_of
from novacron_tui.cli.runtime.output import Output, cell, say, show_json, show_table
from novacron_tui.cli.runtime.wait import settled, tell
from novacron_tui.images.file import format_for, name_for, pieces

T = TypeVar("T", bound=msgspec.Struct)
_FLAGS = {"size_bytes": "size", "bandwidth_bytes_s": "--limit", "format": "--format"}
"""Field of a request → what it is called on the command line."""


async def volume_ls(client: Client, output: Output, q: str) -> None:
    """Volumes by name; `q` is filter text."""
    found = await everything(client, volumes.LIST, ListQuery(q=q))
    if output is Output.JSON:
        show_json(found)
        return
    used = any(v.vm for v in found)
    names = {vm.id: vm.name for vm in await everything(client, vms.LIST, vms.VMQuery())} if used else {}
    rows = (
        (v.name, v.tier or "-", size_text(v.size_bytes), size_text(v.allocated_bytes), v.format,
         names.get(v.vm, v.vm) if v.vm else "-", v.pool, v.id)
        for v in found
    )  # fmt: skip
    show_table(("NAME", "TIER", "SIZE", "USED", "FORMAT", "VM", "POOL", "ID"), rows)


async def pool_ls(client: Client, output: Output) -> None:
    """Pools by name."""
    found = await everything(client, pools.LIST, ListQuery())
    if output is Output.JSON:
        show_json(found)
        return
    rows = (
        (p.name, p.tier or "-", p.type, "on" if p.active else "off", size_text(p.capacity_bytes),
         size_text(p.available_bytes), ", ".join(p.shares_disk_with or ()) or "-", p.path, p.id)
        for p in found
    )  # fmt: skip
    show_table(("NAME", "TIER", "TYPE", "STATE", "SIZE", "FREE", "SAME DISK AS", "PATH", "ID"), rows)


async def tier_ls(client: Client, output: Output) -> None:
    """Tiers, fastest first."""
    found = (await client.call(tiers.LIST)).items
    if output is Output.JSON:
        show_json(found)
        return
    rows = (
        (t.name, size_text(t.capacity_bytes), size_text(t.free_bytes), size_text(t.provisioned_bytes), t.volumes,
         ", ".join(t.shares_disk_with) or "-", "; ".join(t.notes))
        for t in found
    )  # fmt: skip
    show_table(("TIER", "SIZE", "FREE", "PROMISED", "VOLUMES", "SAME DISK AS", "NOTES"), rows)


async def volume_create(
    client: Client, output: Output, *, name: str, size: str, tier: str, image_format: str, host: str, wait: bool
) -> int:
    """Create an empty volume. The exit code."""
    host_id = await host_of(client, host) if host else None
    body = _checked(
        VolumeCreate, name=_named(name), size_bytes=_size(size), tier=_tier(tier), format=image_format, host=host_id
    )
    return await _change(client, output, volumes.CREATE, name, body, wait=wait)


async def volume_resize(client: Client, output: Output, word: str, size: str, *, wait: bool) -> int:
    body = _checked(VolumeResize, size_bytes=_size(size))
    return await _on_volume(client, output, volumes.RESIZE, word, body, wait=wait)


async def volume_clone(client: Client, output: Output, word: str, name: str, tier: str, *, wait: bool) -> int:
    body = _checked(VolumeClone, name=_named(name), tier=_tier(tier) if tier else None)
    return await _on_volume(client, output, volumes.CLONE, word, body, wait=wait)


async def volume_attach(client: Client, output: Output, word: str, vm: str, *, read_only: bool, wait: bool) -> int:
    body = VolumeAttach(vm=(await vm_of(client, vm)).id, read_only=read_only)
    return await _on_volume(client, output, volumes.ATTACH, word, body, wait=wait)


async def volume_detach(client: Client, output: Output, word: str, *, wait: bool) -> int:
    return await _on_volume(client, output, volumes.DETACH, word, None, wait=wait)


async def volume_move(client: Client, output: Output, word: str, tier: str, limit: str, *, wait: bool) -> int:
    body = _checked(VolumeMove, tier=_tier(tier), bandwidth_bytes_s=_size(limit) if limit else None)
    return await _on_volume(client, output, volumes.MOVE, word, body, wait=wait)


async def volume_delete(client: Client, output: Output, word: str, *, sure: bool, wait: bool) -> int:
    """Tell what would go, ask, delete. The exit code."""
    volume = await volume_of(client, word)
    preview = await client.call(volumes.DELETION, volume_id=volume.id)
    if preview.refused:
        raise errors.Conflict(preview.refused)
    if not sure:
        _ask_sure(f"delete the volume {cell(volume.name)}, {size_text(preview.frees_bytes)}", cell(volume.name))
    return await _change(client, output, volumes.DELETE, volume.name, None, wait=wait, volume_id=volume.id)


async def pool_set_tier(client: Client, output: Output, word: str, tier: str, *, wait: bool) -> int:
    found = [p for p in await everything(client, pools.LIST, ListQuery()) if word in (p.id, p.name)]
    if len(found) != 1:
        raise errors.NotFound(f"there is no pool {word!r}" if not found else f"{len(found)} pools are called {word}")
    body = _checked(PoolTier, tier=None if tier == "none" else _tier(tier))
    return await _change(client, output, pools.SET_TIER, found[0].name, body, wait=wait, pool_id=found[0].id)


async def image_upload(
    client: Client, output: Output, file: Path, *, name: str, image_format: str, sha256: str, replace: bool
) -> None:
    """Send a file to the server. On a terminal it says how far it is."""
    try:
        length = file.stat().st_size
    except OSError as e:
        raise UsageError(f"{file}: {e.strerror}") from e
    name = name or name_for(file)
    if refused := why_not_image_name(name):
        raise UsageError(refused)
    if sha256 and not is_sha256(sha256):
        raise UsageError("--sha256: 64 hexadecimal digits")
    query = _checked(ImageQuery, format=image_format or format_for(file), sha256=sha256.lower(), replace=replace)
    shown = sys.stderr.isatty()

    def told(sent: int) -> None:
        if shown:
            print(f"\r{sent / max(length, 1):4.0%} of {size_text(length)}", end="", file=sys.stderr, flush=True)

    image = await client.upload(images.PUT, pieces(file, told), length, query=query, name=name)
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if output is Output.JSON:
        show_json(image)
        return
    say(f"{cell(image.name)}: {size_text(image.size_bytes)}, {image.format}, sha256 {image.sha256}")


async def image_delete(client: Client, name: str) -> None:
    await client.call(images.DELETE, name=name)
    say(f"{cell(name)}: deleted")


async def _on_volume(
    client: Client, output: Output, endpoint: Endpoint[Operation, Any, Any], word: str, body: Any, *, wait: bool
) -> int:
    volume = await volume_of(client, word)
    return await _change(client, output, endpoint, volume.name, body, wait=wait, volume_id=volume.id)


async def _change(
    client: Client,
    output: Output,
    endpoint: Endpoint[Operation, Any, Any],
    name: str,
    body: Any,
    *,
    wait: bool,
    **path: str,
) -> int:
    async def ask(key: str) -> Operation:
        return await client.call(endpoint, body=body, idempotency_key=key, if_match=None, **path)

    result, code = await settled(client, next(iter(path.values()), ""), name, ask, wait=wait)
    tell(output, [result])
    return code


def _checked(kind: type[T], **values: object) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as e:
        sentence, field = explain(str(e))
        raise UsageError(f"{_FLAGS.get(field, field)}: {sentence}") from e


def _named(name: str) -> str:
    if refused := why_not_volume_name(name):
        raise UsageError(refused)
    return name


def _tier(name: str) -> str:
    if name not in TIERS:
        raise UsageError(f"there is no tier {name!r}: there are {', '.join(TIERS)}")
    return name


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as e:
        raise UsageError(f"{text}: {e}") from e


def _ask_sure(what: str, word: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"to {what} without a terminal, say --yes")
    print(f"This will {what}. Type {word} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != word:
        raise errors.Conflict("not deleted: that was something else")
