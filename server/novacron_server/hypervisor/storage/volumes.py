"""Pools and volumes of one connection. Blocking calls: run in a worker thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt
import structlog

from novacron_core.errors import Conflict
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.faults import code_of, plain
from novacron_server.hypervisor.specs import Format, PoolSpec, VolumeSpec
from novacron_server.hypervisor.xml.storage import check_name, pool_xml, read_pool, read_volume, volume_xml

_log = structlog.get_logger(__name__)


def read_pools(connection: Any) -> list[PoolFacts]:
    """Every pool that can be read; one that cannot is logged and left out."""
    found = []
    for pool in connection.listAllStoragePools(0):
        try:
            found.append(_pool_facts(pool))
        except libvirt.libvirtError as error:
            _pass_over("pool", str(pool.name()), error)
    return found


def read_volumes(connection: Any, *, refresh: bool = False) -> list[VolumeFacts]:
    """The volumes of every active pool. `refresh` has libvirt look at the directories again first, which is slow."""
    found: list[VolumeFacts] = []
    for pool in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        try:
            if refresh:
                pool.refresh(0)
            found.extend(_volumes(pool))
        except libvirt.libvirtError as error:
            _pass_over("pool", str(pool.name()), error)
    return found


def _volumes(pool: Any) -> Iterator[VolumeFacts]:
    name, uuid = str(pool.name()), str(pool.UUIDString())
    for volume in pool.listAllVolumes(0):
        try:
            yield read_volume(volume.XMLDesc(0), pool=name, pool_uuid=uuid)
        except libvirt.libvirtError as error:
            _pass_over("volume", f"{name}/{volume.name()}", error)


def _pass_over(what: str, name: str, error: Any) -> None:
    if error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE):
        raise error  # the connection, not this pool
    _log.warning(f"a {what} cannot be read", name=name, error=plain(str(error)))


def _pool_facts(pool: Any) -> PoolFacts:
    return read_pool(pool.XMLDesc(0), active=bool(pool.isActive()))


def ensure_pool(connection: Any, spec: PoolSpec) -> PoolFacts:
    """The pool, defined, built and active, whatever part of that was there before.

    Raises Conflict when another pool has its name, or it has another directory.
    """
    pool = _find_pool(connection, spec.name)
    if pool is None:
        pool = connection.storagePoolDefineXML(pool_xml(spec), 0)
    _check_same(pool, spec)
    if not pool.isActive():
        pool.build(0)
        pool.create(0)
    pool.setAutostart(1)
    return _pool_facts(pool)


def _check_same(pool: Any, spec: PoolSpec) -> None:
    facts = _pool_facts(pool)
    if facts.uuid != spec.uuid.lower() or facts.path != spec.path.rstrip("/"):
        raise Conflict(f"the host has another storage pool named {spec.name}")


def delete_pool(connection: Any, name: str) -> None:
    """Removes an empty pool and its empty directory; none is fine too. Raises Conflict while it holds volumes."""
    pool = _find_pool(connection, name)
    if pool is None:
        return
    if pool.isActive():
        pool.refresh(0)
        if count := pool.numOfVolumes():
            raise Conflict(f"the storage pool {name} still holds {count} volume{'s' if count > 1 else ''}")
        pool.destroy()
    try:
        pool.delete(0)
    except libvirt.libvirtError as error:
        _log.warning("the directory of a removed pool stays", pool=name, error=plain(str(error)))
    pool.undefine()


def create_volume(connection: Any, spec: VolumeSpec, *, new: bool = False) -> VolumeFacts:
    """A new thin volume. Unless it must be `new`, one that is already there, with the same size and format, is as good.

    Raises Conflict when a different volume has the name, NotFound when the pool is not there.
    """
    text = volume_xml(spec)
    pool = connection.storagePoolLookupByName(spec.pool)
    try:
        return _volume_facts(pool, pool.createXML(text, 0))
    except libvirt.libvirtError as error:
        existing = _find_volume(pool, spec.name)  # drivers have different codes for "it exists"
        if existing is None:
            raise
        facts = _volume_facts(pool, existing)
        if not new and (facts.size_bytes, facts.format) == (spec.size_bytes, spec.format):
            return facts
        raise Conflict(f"the pool {spec.pool} has another volume named {spec.name}") from error


def read_volume_named(connection: Any, pool: str, name: str) -> VolumeFacts | None:
    """One volume, None when there is none."""
    found = _find_pool(connection, pool)
    volume = None if found is None else _find_volume(found, name)
    return None if volume is None else _volume_facts(found, volume)


def refresh_pool(connection: Any, pool: str) -> None:
    """Has libvirt look at a pool's directory again."""
    connection.storagePoolLookupByName(pool).refresh(0)


def _volume_facts(pool: Any, volume: Any) -> VolumeFacts:
    return read_volume(volume.XMLDesc(0), pool=str(pool.name()), pool_uuid=str(pool.UUIDString()))


def delete_volume(connection: Any, pool: str, name: str) -> None:
    """Removes a volume and its bytes; none is fine too."""
    found = _find_pool(connection, pool)
    if found is None:
        return
    check_name(name, "volume")
    volume = _find_volume(found, name)
    if volume is None and found.isActive():
        found.refresh(0)  # a crash can leave a file that libvirt has not seen
        volume = _find_volume(found, name)
    if volume is not None:
        volume.delete(0)


def resize_volume(connection: Any, pool: str, name: str, size_bytes: int, image: Format) -> None:
    """Grows a volume to `size_bytes`; nothing is done where it has that size. Raises Conflict to shrink it.

    libvirt goes by what the file looks like, and a guest may have written another image's head into a raw disk.
    """
    volume = find_volume(connection, pool, name)
    looks = read_volume(volume.XMLDesc(0), pool=pool, pool_uuid="").format
    if looks in ("raw", "qcow2") and looks != image:
        raise Conflict(f"the volume {name} is {image}, and looks like {looks}: grow it while its VM runs")
    now = int(volume.info()[1])
    if size_bytes < now:
        raise Conflict(f"the volume {name} has {now} bytes already: it can only grow")
    if size_bytes > now:
        volume.resize(size_bytes, 0)


def find_volume(connection: Any, pool: str, name: str) -> Any:
    """The volume. Raises libvirtError (no such pool, no such volume)."""
    return connection.storagePoolLookupByName(pool).storageVolLookupByName(name)


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
