"""`volume …`, `pool …`, `tier ls`, `image upload|delete`: the storage commands."""

from __future__ import annotations

import stat
import sys
from contextlib import suppress
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
from novacron_core.rules.room import overcommitted, promised_beyond_room
from novacron_core.rules.validation import explain
from novacron_core.values.names import is_sha256, why_not_image_name, why_not_volume_name
from novacron_core.values.sizes import parse_size, size_text
from novacron_core.values.tiers import TIERS
from novacron_tui.cli.runtime.exit_codes import UsageError, print_error
from novacron_tui.cli.runtime.lookup import find_host_id, find_pool, find_vm, find_volume, list_all
from novacron_tui.cli.runtime.output import Output, cell, distinct_names, print_line, show_data, show_table
from novacron_tui.cli.runtime.prompts import confirm
from novacron_tui.cli.runtime.wait import report, run_change
from novacron_tui.images.file import check_format, name_for, pieces

T = TypeVar("T", bound=msgspec.Struct)
_FLAGS = {"size_bytes": "size", "bandwidth_bytes_s": "--limit", "format": "--format"}
"""Request field → its name on the command line."""


async def volume_ls(client: Client, output: Output, q: str) -> None:
    """List volumes by name; `q` is filter text."""
    found = await list_all(client, volumes.LIST, ListQuery(q=q))
    if output.is_data:
        show_data(output, found)
        return
    used = any(v.vm for v in found)
    names = {vm.id: vm.name for vm in await list_all(client, vms.LIST, vms.VMQuery())} if used else {}
    rows = (
        (name, v.tier or "-", size_text(v.size_bytes), size_text(v.allocated_bytes), v.format,
         names.get(v.vm, v.vm) if v.vm else "-", v.pool, v.id)
        for v, name in zip(found, distinct_names([v.name for v in found]), strict=True)
    )  # fmt: skip
    show_table(("NAME", "TIER", "SIZE", "USED", "FORMAT", "VM", "POOL", "ID"), rows)


async def pool_ls(client: Client, output: Output) -> None:
    """List pools by name."""
    found = await list_all(client, pools.LIST, ListQuery())
    if output.is_data:
        show_data(output, found)
        return
    rows = (
        (p.name, p.tier or "-", p.type, "on" if p.active else "off", size_text(p.capacity_bytes),
         size_text(p.available_bytes), ", ".join(p.shares_disk_with or ()) or "-", p.path, p.id)
        for p in found
    )  # fmt: skip
    show_table(("NAME", "TIER", "TYPE", "STATE", "SIZE", "FREE", "SAME DISK AS", "PATH", "ID"), rows)


async def tier_ls(client: Client, output: Output) -> None:
    """List tiers, fastest first."""
    found = (await client.call(tiers.LIST)).items
    if output.is_data:
        show_data(output, found)
        return
    named = {t.name: t for t in found}
    rows = (
        (t.name, size_text(t.capacity_bytes), size_text(t.free_bytes), size_text(t.provisioned_bytes), t.volumes,
         ", ".join(t.shares_disk_with) or "-", "; ".join(filter(None, [*t.notes, overcommitted(t.name, named)])))
        for t in found
    )  # fmt: skip
    show_table(("TIER", "SIZE", "FREE", "PROVISIONED", "VOLUMES", "SAME DISK AS", "NOTES"), rows)


async def warn_of_room(client: Client, name: str, size_bytes: int, tier: str, host: str | None) -> None:
    """Say on stderr when a new disk is promised more than there is room for. Who may not read pools is told nothing."""
    with suppress(errors.NovaCronError):
        named = {t.name: t for t in (await client.call(tiers.LIST)).items}
        found = await list_all(client, pools.LIST, ListQuery())
        if size_bytes and (words := promised_beyond_room(size_bytes, tier, named, found, host or "")):
            print_error(f"{name}: {words}")


async def volume_create(
    client: Client, output: Output, *, name: str, size: str, tier: str, image_format: str, host: str, wait: bool
) -> int:
    """Create an empty volume. Returns the exit code."""
    host_id = await find_host_id(client, host) if host else None
    body = _convert(
        VolumeCreate,
        name=_check_name(name),
        size_bytes=_parse_size(size),
        tier=_check_tier(tier),
        format=image_format,
        host=host_id,
    )
    await warn_of_room(client, name, body.size_bytes, body.tier, host_id)
    return await _change(client, output, volumes.CREATE, name, body, wait=wait)


async def volume_resize(client: Client, output: Output, name_or_id: str, size: str, *, wait: bool) -> int:
    body = _convert(VolumeResize, size_bytes=_parse_size(size))
    return await _change_volume(client, output, volumes.RESIZE, name_or_id, body, wait=wait)


async def volume_clone(client: Client, output: Output, name_or_id: str, name: str, tier: str, *, wait: bool) -> int:
    body = _convert(VolumeClone, name=_check_name(name), tier=_check_tier(tier) if tier else None)
    return await _change_volume(client, output, volumes.CLONE, name_or_id, body, wait=wait)


async def volume_attach(
    client: Client, output: Output, name_or_id: str, vm: str, *, read_only: bool, wait: bool
) -> int:
    body = VolumeAttach(vm=(await find_vm(client, vm)).id, read_only=read_only)
    return await _change_volume(client, output, volumes.ATTACH, name_or_id, body, wait=wait)


async def volume_detach(client: Client, output: Output, name_or_id: str, *, wait: bool) -> int:
    return await _change_volume(client, output, volumes.DETACH, name_or_id, None, wait=wait)


async def volume_move(client: Client, output: Output, name_or_id: str, tier: str, limit: str, *, wait: bool) -> int:
    body = _convert(VolumeMove, tier=_check_tier(tier), bandwidth_bytes_s=_parse_size(limit) if limit else None)
    return await _change_volume(client, output, volumes.MOVE, name_or_id, body, wait=wait)


async def volume_delete(client: Client, output: Output, name_or_id: str, *, sure: bool, wait: bool) -> int:
    """Show what would be deleted, ask for confirmation unless `sure`, delete. Returns the exit code."""
    volume = await find_volume(client, name_or_id)
    preview = await client.call(volumes.DELETION, volume_id=volume.id)
    if preview.refused:
        raise errors.Conflict(preview.refused)
    if not sure:
        confirm(f"delete the volume {cell(volume.name)}, {size_text(preview.frees_bytes)}", volume.name)
    return await _change(client, output, volumes.DELETE, volume.name, None, wait=wait, volume_id=volume.id)


async def pool_set_tier(client: Client, output: Output, name_or_id: str, tier: str, *, wait: bool) -> int:
    pool = await find_pool(client, name_or_id)
    body = _convert(PoolTier, tier=None if tier == "none" else _check_tier(tier))
    return await _change(client, output, pools.SET_TIER, pool.name, body, wait=wait, pool_id=pool.id)


async def image_upload(
    client: Client, output: Output, file: Path, *, name: str, image_format: str, sha256: str, replace: bool
) -> None:
    """Upload an image file to the server. Shows the progress on a terminal."""
    try:
        state = file.stat()
    except OSError as e:
        raise UsageError(f"{file}: {e.strerror}") from e
    if not stat.S_ISREG(state.st_mode):
        raise UsageError(f"{file} is not a regular file, so its size is unknown")
    length = state.st_size
    name = name or name_for(file)
    if refused := why_not_image_name(name):
        raise UsageError(refused)
    if sha256 and not is_sha256(sha256):
        raise UsageError("--sha256 must be 64 hexadecimal digits")
    if length == 0:
        raise errors.InvalidArgument(f"{file} is empty")
    query = _convert(ImageQuery, format=image_format or "qcow2", sha256=sha256.lower(), replace=replace)
    try:
        found = check_format(file, query.format if image_format else None)
    except OSError as e:
        raise UsageError(f"{file}: {e.strerror}") from e
    query = msgspec.structs.replace(query, format=found)
    interactive = sys.stderr.isatty()

    def show_progress(sent: int) -> None:
        if interactive:
            print(f"\r{sent / max(length, 1):4.0%} of {size_text(length)}", end="", file=sys.stderr, flush=True)

    image = await client.upload(images.PUT, pieces(file, show_progress), length, query=query, name=name)
    if interactive:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if output.is_data:
        show_data(output, image)
        return
    print_line(f"{cell(image.name)}: {size_text(image.size_bytes)}, {image.format}, sha256 {image.sha256}")


async def image_delete(client: Client, name: str) -> None:
    await client.call(images.DELETE, name=name)
    print_line(f"{cell(name)}: deleted")


async def _change_volume(
    client: Client, output: Output, endpoint: Endpoint[Operation, Any, Any], name_or_id: str, body: Any, *, wait: bool
) -> int:
    volume = await find_volume(client, name_or_id)
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
    async def send(key: str) -> Operation:
        return await client.call(endpoint, body=body, idempotency_key=key, if_match=None, **path)

    result, code = await run_change(client, next(iter(path.values()), ""), name, send, wait=wait)
    report(output, [result])
    return code


def _convert(kind: type[T], **values: object) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as e:
        sentence, field = explain(str(e))
        raise UsageError(f"{_FLAGS.get(field, field)}: {sentence}") from e


def _check_name(name: str) -> str:
    if refused := why_not_volume_name(name):
        raise UsageError(refused)
    return name


def _check_tier(name: str) -> str:
    if name not in TIERS:
        raise UsageError(f"unknown tier {name!r}; the tiers are {', '.join(TIERS)}")
    return name


def _parse_size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as e:
        raise UsageError(f"{text}: {e}") from e
