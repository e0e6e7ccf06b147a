"""The format of the file into which QEMU mirrors a thin disk in use."""

from __future__ import annotations

import libvirt
import pytest

from novacron_core.values.sizes import GIB, KIB, MIB, TIB
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.specs import VolumeSpec, mirror_cluster_bytes
from novacron_server.hypervisor.storage import volumes


def disk(size_bytes: int, allocated_bytes: int = 100 * MIB) -> VolumeFacts:
    return VolumeFacts(
        pool="p",
        pool_uuid="",
        name="d",
        path="",
        size_bytes=size_bytes,
        allocated_bytes=allocated_bytes,
        format="qcow2",
    )


@pytest.mark.parametrize(
    ("size", "allocated", "cluster"),
    [
        (8 * GIB, 0, 0),
        (64 * GIB, 0, 0),
        (100 * GIB, 0, 256 * KIB),
        (256 * GIB, 0, 512 * KIB),
        (TIB, 100 * MIB, 2 * MIB),
        (TIB, 6 * GIB, 2 * MIB),
        (TIB, 7 * GIB, 0),  # the tables are 2 % of the data
        (64 * TIB, 0, 2 * MIB),
    ],
)
def test_large_clusters_only_where_the_tables_would_be_much_beside_the_data(
    size: int, allocated: int, cluster: int
) -> None:
    assert mirror_cluster_bytes(disk(size, allocated)) == cluster
    if cluster and size <= TIB:
        assert size // cluster * 16 <= 8 * MIB


class OldPool:
    """A pool of a libvirt that does not know extended L2 entries."""

    asked: list[str]

    def __init__(self) -> None:
        self.asked = []

    def name(self) -> str:
        return "p"

    def UUIDString(self) -> str:
        return "u"

    def createXML(self, text: str, _flags: int) -> OldPool:
        self.asked.append(text)
        if "extended_l2" in text:
            raise libvirt.libvirtError("unsupported storage volume feature extended_l2")
        return self

    def storageVolLookupByName(self, _name: str) -> None:
        error = libvirt.libvirtError("no such volume")
        error.err = (libvirt.VIR_ERR_NO_STORAGE_VOL, 18, "no such volume", 1, "", None, None, -1, -1)
        raise error

    def XMLDesc(self, _flags: int) -> str:
        return "<volume><name>d</name><capacity>1</capacity><allocation>0</allocation></volume>"


def test_old_host_gets_the_usual_clusters() -> None:
    pool = OldPool()

    class Connection:
        def storagePoolLookupByName(self, _name: str) -> OldPool:
            return pool

    spec = VolumeSpec(pool="p", name="d", size_bytes=TIB, cluster_bytes=2 * MIB)
    assert volumes.create_volume(Connection(), spec, new=True).name == "d"
    assert ["extended_l2" in text for text in pool.asked] == [True, False]
