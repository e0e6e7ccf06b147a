"""Pools and volumes of one connection. Blocking calls: run in a worker thread."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any

import libvirt
import msgspec
import structlog

from novacron_core.errors import Conflict, HostUnavailable
from novacron_core.values.counts import counted
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.faults import code_of, plain
from novacron_server.hypervisor.specs import Format, PoolSpec, VolumeSpec
from novacron_server.hypervisor.unreadable import name_of, raise_if_lost, skip_all_unreadable, skip_unreadable
from novacron_server.hypervisor.xml.storage import check_name, pool_xml, read_pool, read_volume, volume_xml

_log = structlog.get_logger(__name__)
_BUSY = "has asynchronous jobs running"
"""What libvirt says of a pool in which it is creating a volume; the code is that of an internal error."""
_BUSY_S, _BUSY_POLL_S = 5.0, 0.05


def read_pools(connection: Any) -> list[PoolFacts]:
    """Every pool that can be read; others are logged and left out."""
    found = []
    for pool in connection.listAllStoragePools(0):
        try:
            found.append(_pool_facts(pool))
        except Exception as error:  # noqa: BLE001 - one bad pool must not hide the others
            skip_unreadable(connection, "pool", pool, error)
    return found


def read_volumes(
    connection: Any, pool: PoolFacts, *, refresh: bool = False, wanted: Collection[str] = ()
) -> tuple[list[VolumeFacts], str]:
    """The volumes of an active pool, and why they cannot be listed, as a sentence that is empty if they can.

    `refresh` makes libvirt scan the directory first, which is slow. Of a pool that cannot be listed, as libvirt refuses
    to list more than 16,384 files, the volumes with the names `wanted` are looked up one by one.
    """
    found = _find_pool(connection, pool.name)
    if found is None:
        return [], ""
    try:
        if refresh:
            with suppress(PoolBusy):  # the next refresh finds what others have put there
                _refresh(found, wait_s=0.0)
        return _volumes(connection, found), ""
    except Exception as error:  # noqa: BLE001 - one bad pool must not hide the others
        reason = skip_unreadable(connection, "volumes of a pool", found, error)
        return list(_look_up(connection, found, wanted)), f"its volumes cannot be listed: {reason}"


def _look_up(connection: Any, pool: Any, names: Iterable[str]) -> Iterator[VolumeFacts]:
    """The volumes of these names, as far as they exist and can be read."""
    for name in names:
        try:
            if (volume := _find_volume(pool, name)) is not None:
                yield _volume_facts(pool, volume)
        except Exception as error:  # noqa: BLE001 - one bad volume must not hide the others
            skip_unreadable(connection, "volume", pool, error, of=name)


def _volumes(connection: Any, pool: Any) -> list[VolumeFacts]:
    name, uuid = str(pool.name()), str(pool.UUIDString())
    found: list[VolumeFacts] = []
    unreadable: list[tuple[Any, Exception]] = []
    for volume in pool.listAllVolumes(0):
        try:
            found.append(read_volume(volume.XMLDesc(0), pool=name, pool_uuid=uuid))
        except Exception as error:  # noqa: BLE001 - one bad file must not hide the others
            raise_if_lost(connection, error)
            unreadable.append((volume, error))
    skip_all_unreadable(connection, "volume", unreadable, of=name)
    return found


def _pool_facts(pool: Any) -> PoolFacts:
    return read_pool(pool.XMLDesc(0), active=bool(pool.isActive()))


def ensure_pool(connection: Any, spec: PoolSpec) -> PoolFacts:
    """Define, build and start the pool, as far as that is not done yet.

    The directory is built once, for a new pool: one that is missing later may be on a disk that is not mounted, and an
    empty directory in its place would hide it. Raises Conflict if another pool has the name, or if the pool has another
    directory, or none.
    """
    pool = _find_pool(connection, spec.name)
    if pool is None:
        pool = connection.storagePoolDefineXML(pool_xml(spec), 0)
    _check_same(pool, spec)
    if not pool.isActive():
        if not pool.autostart():  # set when it was started first
            pool.build(0)
        _start_pool(pool, spec)
    pool.setAutostart(1)
    return _pool_facts(pool)


def _start_pool(pool: Any, spec: PoolSpec) -> None:
    try:
        pool.create(0)
    except libvirt.libvirtError as error:
        if "no such file or directory" not in str(error).lower():
            raise
        raise Conflict(f"the directory {spec.path} of the pool {spec.name} is missing: is its disk mounted?") from error


def _check_same(pool: Any, spec: PoolSpec) -> None:
    facts = _pool_facts(pool)
    if facts.uuid != spec.uuid.lower():
        raise Conflict(f"another storage pool named {spec.name} already exists on the host")
    if facts.path != spec.path.rstrip("/"):
        raise Conflict(
            f"the storage pool {spec.name} is in {facts.path}, and not in {spec.path}: the server's data directory was"
            f" moved or copied. Move it back. If {facts.path} is not used any more, remove the pool with"
            f" virsh pool-destroy {spec.name} and virsh pool-undefine {spec.name}; its volumes are kept"
        )


def delete_pool(connection: Any, name: str) -> None:
    """Remove an empty pool and its empty directory; succeeds if there is none. Raises Conflict if it has volumes."""
    pool = _find_pool(connection, name)
    if pool is None:
        return
    if pool.isActive():
        _refresh(pool)
        if count := pool.numOfVolumes():
            raise Conflict(f"the storage pool {name} still contains {counted(count, 'volume')}")
        pool.destroy()
    try:
        pool.delete(0)
    except libvirt.libvirtError as error:
        _log.warning("cannot remove the directory of a removed pool", pool=name, error=plain(str(error)))
    pool.undefine()


def create_volume(connection: Any, spec: VolumeSpec, *, new: bool = False) -> VolumeFacts:
    """Create a thin volume. Unless `new`, an existing volume with the same name, size and format is returned instead.
    It has the usual clusters where the host does not know others (libvirt before 8.0, QEMU before 5.2).

    Raises Conflict if another volume has the name, libvirtError if pool not found.
    """
    text = volume_xml(spec)
    pool = connection.storagePoolLookupByName(spec.pool)
    try:
        return _volume_facts(pool, pool.createXML(text, 0))
    except libvirt.libvirtError as error:
        existing = _find_volume(pool, spec.name)  # drivers use different error codes for "already exists"
        if existing is None:
            if not spec.cluster_bytes:
                raise
            _log.warning("a volume is created with the usual clusters", volume=spec.name, error=plain(str(error)))
            return create_volume(connection, msgspec.structs.replace(spec, cluster_bytes=0), new=new)
        facts = _volume_facts(pool, existing)
        if not new and (facts.size_bytes, facts.format) == (spec.size_bytes, spec.format):
            return facts
        raise Conflict(f"a volume named {spec.name} already exists in the pool {spec.pool}") from error


def read_volume_named(connection: Any, pool: str, name: str) -> VolumeFacts | None:
    """One volume, None if there is none."""
    found = _find_pool(connection, pool)
    volume = None if found is None else _find_volume(found, name)
    return None if volume is None else _volume_facts(found, volume)


def refresh_pool(connection: Any, pool: str) -> None:
    """Make libvirt scan a pool's directory again."""
    _refresh(connection.storagePoolLookupByName(pool))


class PoolBusy(HostUnavailable):
    """libvirt scans no pool in which it is creating a volume."""


def _refresh(pool: Any, wait_s: float = _BUSY_S) -> None:
    """Scan a pool's directory; wait for volumes that are being created there. Raises PoolBusy."""
    gives_up_at = time.monotonic() + wait_s
    while True:
        try:
            pool.refresh(0)
            return
        except libvirt.libvirtError as error:
            if _BUSY not in str(error):
                raise
            if time.monotonic() >= gives_up_at:
                raise PoolBusy(f"libvirt is still creating other volumes in the pool {name_of(pool)}") from error
        time.sleep(_BUSY_POLL_S)


def _volume_facts(pool: Any, volume: Any) -> VolumeFacts:
    return read_volume(volume.XMLDesc(0), pool=str(pool.name()), pool_uuid=str(pool.UUIDString()))


def delete_volume(connection: Any, pool: str, name: str, *, undo: bool = False) -> None:
    """Delete a volume and its data; succeeds if there is none.

    Raises Conflict if the pool is not defined: the file may still be there. With `undo`, for what was perhaps never
    made, that counts as deleted.
    """
    if undo and _find_pool(connection, pool) is None:
        return
    found = require_pool(connection, pool)
    check_name(name, "volume")
    volume = _find_volume(found, name)
    if volume is None and found.isActive():
        _refresh(found)  # a crash can leave a file that libvirt does not know
        volume = _find_volume(found, name)
    if volume is not None:
        volume.delete(0)


def resize_volume(connection: Any, pool: str, name: str, size_bytes: int, image: Format) -> None:
    """Grow a volume to `size_bytes`; does nothing if it has that size. Raises Conflict for a smaller size.

    libvirt detects the format from the file header, and a guest may have written another header into a raw disk.
    """
    volume = find_volume(connection, pool, name)
    detected = read_volume(volume.XMLDesc(0), pool=pool, pool_uuid="").format
    if detected in ("raw", "qcow2") and detected != image:
        raise Conflict(f"the volume {name} is {image}, but libvirt detects {detected}: grow it while its VM runs")
    current = int(volume.info()[1])
    if size_bytes < current:
        raise Conflict(f"the volume {name} has {current} bytes and cannot be shrunk")
    if size_bytes > current:
        volume.resize(size_bytes, 0)


def find_volume(connection: Any, pool: str, name: str) -> Any:
    """Look up a volume. Raises libvirtError (no such pool, no such volume)."""
    return connection.storagePoolLookupByName(pool).storageVolLookupByName(name)


def require_pool(connection: Any, name: str) -> Any:
    """Look up a pool. Raises Conflict if it is not defined."""
    pool = _find_pool(connection, name)
    if pool is None:
        raise Conflict(f"the pool {name} is not defined on the host: define it again with virsh pool-define first")
    return pool


def _find_pool(connection: Any, name: str) -> Any | None:
    try:
        return connection.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        return None


def _find_volume(pool: Any, name: str) -> Any | None:
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None
