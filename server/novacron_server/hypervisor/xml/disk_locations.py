"""The locations of a domain's disks, however its XML specifies them. All `<disk>` elements are parsed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

import msgspec

from novacron_server.hypervisor.xml.document import parse


class DiskLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a domain, as in one of its two documents.

    `path` is empty if unknown. `pool` and `volume` are names, set if the disk is a volume of a known pool; `by_volume`:
    the document specifies these instead of a path. `backing_file` is the chain of backing files, as far as the document
    contains it. `mirror` is the target of a running block copy; `mirror_ready`: both sides are in sync.
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
    """Every disk of a domain document. `pools` maps directories to pool names. Raises MalformedXML."""
    return locations_in(parse(text), pools or {})


def locations_in(root: ET.Element, pools: Mapping[str, str]) -> list[DiskLocation]:
    """Every disk of a domain."""
    return [_location(disk, pools) for disk in root.iterfind("devices/disk")]


def attribute(parent: ET.Element, tag: str, name: str) -> str:
    """An attribute of a child element, empty if there is none."""
    element = parent.find(tag)
    return "" if element is None else element.get(name, "")


def _location(disk: ET.Element, pools: Mapping[str, str]) -> DiskLocation:
    path, pool, volume = _source(disk, pools)
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
        mirror="" if mirror is None else _source(mirror, pools)[0] or mirror.get("file", ""),
        mirror_ready=mirror is not None and mirror.get("ready") == "yes",
    )


def _source(element: ET.Element, pools: Mapping[str, str]) -> tuple[str, str, str]:
    """Path, pool and volume of a disk, a backing file or a mirror."""
    source = element.find("source")
    if source is None:
        return "", "", ""
    if element.get("type") == "volume":
        pool, volume = source.get("pool", ""), source.get("volume", "")
        folder = next((path for path, name in pools.items() if name == pool), "")
        return (f"{folder}/{volume}" if folder else ""), pool, volume
    if element.get("type") == "network":
        return _network_source(source), "", ""
    path = source.get("file") or source.get("dev") or source.get("dir") or ""
    folder, _, name = path.rpartition("/")
    return (path, pools[folder], name) if folder in pools and name else (path, "", "")


def _network_source(source: ET.Element) -> str:
    """Protocol and name, like `rbd:vms/root`; with the host where the name means nothing without it, like
    `https://host/netinst.iso`."""
    protocol, name = source.get("protocol", ""), source.get("name", "")
    host = attribute(source, "host", "name")
    if protocol in ("http", "https", "ftp", "ftps", "tftp") and host:
        return f"{protocol}://{host}/{name.lstrip('/')}"
    return f"{protocol}:{name}" if name or not host else f"{protocol}://{host}"


def _chain(disk: ET.Element, pools: Mapping[str, str]) -> Iterator[str]:
    """The paths of the backing chain. libvirt ends a complete chain with an empty element, which is skipped."""
    for store in disk.iter("backingStore"):
        if path := _source(store, pools)[0]:
            yield path
