"""Where a domain's disks lie, whichever way its document names them: the one reader of `<disk>`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

import msgspec

from novacron_server.hypervisor.xml.document import parse


class DiskLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a domain as one of its two definitions has it.

    `path` is empty where it cannot be told. `pool` and `volume` are names, where the disk is a volume of a known pool;
    `by_volume`: the document names it by these and not by its path. `backing_file` are the files that it is an overlay of,
    as far as the document knows them. `mirror` is where a block copy writes to, if one runs; `mirror_ready`: both
    sides are the same from now on.
    """

    target: str
    path: str
    pool: str = ""
    volume: str = ""
    by_volume: bool = False
    device: str = "disk"
    bus: str = ""
    format: str = ""
    read_only: bool = False
    shareable: bool = False
    transient: bool = False
    backing_file: tuple[str, ...] = ()
    mirror: str = ""
    mirror_ready: bool = False


def disk_locations(text: str, pools: Mapping[str, str] | None = None) -> list[DiskLocation]:
    """Every disk of a domain document. `pools` gives pool names by directory. Raises MalformedXML."""
    return locations_in(parse(text), pools or {})


def locations_in(root: ET.Element, pools: Mapping[str, str]) -> list[DiskLocation]:
    """Every disk of a domain."""
    return [_place(disk, pools) for disk in root.iterfind("devices/disk")]


def attribute(parent: ET.Element, tag: str, name: str) -> str:
    """An attribute of a child, empty for none."""
    element = parent.find(tag)
    return "" if element is None else element.get(name, "")


def _place(disk: ET.Element, pools: Mapping[str, str]) -> DiskLocation:
    path, pool, volume = _where(disk, pools)
    mirror = disk.find("mirror")
    return DiskLocation(
        target=attribute(disk, "target", "dev"),
        path=path,
        pool=pool,
        volume=volume,
        by_volume=disk.get("type") == "volume",
        device=disk.get("device", "disk"),
        bus=attribute(disk, "target", "bus"),
        format=attribute(disk, "driver", "type"),
        read_only=disk.find("readonly") is not None,
        shareable=disk.find("shareable") is not None,
        transient=disk.find("transient") is not None,
        backing_file=tuple(_chain(disk, pools)),
        mirror="" if mirror is None else _where(mirror, pools)[0] or mirror.get("file", ""),
        mirror_ready=mirror is not None and mirror.get("ready") == "yes",
    )


def _where(thing: ET.Element, pools: Mapping[str, str]) -> tuple[str, str, str]:
    """Path, pool and volume of a disk, of what it leans on, or of its mirror."""
    source = thing.find("source")
    if source is None:
        return "", "", ""
    if thing.get("type") == "volume":
        pool, volume = source.get("pool", ""), source.get("volume", "")
        folder = next((path for path, name in pools.items() if name == pool), "")
        return (f"{folder}/{volume}" if folder else ""), pool, volume
    if thing.get("type") == "network":
        return f"{source.get('protocol', '')}:{source.get('name', '')}", "", ""
    path = source.get("file") or source.get("dev") or source.get("dir") or ""
    folder, _, name = path.rpartition("/")
    return (path, pools[folder], name) if folder in pools and name else (path, "", "")


def _chain(disk: ET.Element, pools: Mapping[str, str]) -> Iterator[str]:
    """libvirt ends a known chain with an empty element."""
    for store in disk.iter("backingStore"):
        if path := _where(store, pools)[0]:
            yield path
