"""One object of a host that cannot be read does not hide the others, and never looks like a lost connection."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from novacron_core.api.vms import State
from novacron_core.errors import Conflict, HostUnavailable
from novacron_server.hypervisor import unreadable
from novacron_server.hypervisor.networks.leases import read_addresses
from novacron_server.hypervisor.storage import volumes
from novacron_server.hypervisor.storage.backing_files import Files
from novacron_server.hypervisor.vms import disks
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.hypervisor.xml.storage import read_pool
from tests.support.libvirt_objects import Thing, libvirt_error

UUID = "6f1d3b5e-0000-4000-8000-00000000000{}"
GOOD_VOLUME = "<volume><name>good</name><capacity>1024</capacity><target><path>/p/good</path></target></volume>"
GOOD_POOL = "<pool type='dir'><name>pool</name><uuid>u</uuid><target><path>/p</path></target></pool>"
DOMAIN = "<domain type='qemu'><name>web</name><uuid>{}</uuid><memory>1024</memory><vcpu>1</vcpu></domain>"


def undecodable() -> str:
    return b"Gr\xf6\xdfe.iso".decode()


def too_many() -> Any:
    text = "internal error: Too many storage_vols '40000' for limit '16384'"
    raise libvirt_error(libvirt.VIR_ERR_RPC, text, libvirt.VIR_FROM_RPC)


@pytest.fixture(autouse=True)
def nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "_logged", set())


def pool(name: str = "pool", **answers: Any) -> Thing:
    return Thing(
        name, UUIDString="u", isActive=1, XMLDesc=GOOD_POOL.replace("pool</name>", f"{name}</name>"), **answers
    )


class Host(Thing):
    """A connection to a host with these pools."""

    def __init__(self, *pools: Thing, alive: int = 1) -> None:
        super().__init__("host", listAllStoragePools=list(pools), isAlive=alive)
        self._pool = pools[0]

    def storagePoolLookupByName(self, _: str) -> Thing:
        return self._pool


FACTS = read_pool(GOOD_POOL, active=True)


def test_undecodable_file_name_hides_no_other_volume(capsys: pytest.CaptureFixture[str]) -> None:
    good = Thing("good", XMLDesc=GOOD_VOLUME)
    broken, malformed = Thing(undecodable, XMLDesc=undecodable), Thing("odd", XMLDesc="<volume>")
    connection = Host(pool(listAllVolumes=[broken, malformed, good]))
    for _ in range(3):
        assert [facts.name for facts in volumes.read_volumes(connection, FACTS)[0]] == ["good"]
    told = capsys.readouterr().out
    assert told.count("cannot read a volume") == 2, "each is logged once"
    assert "xf6" in told and "pool" in told


class FullPool(Thing):
    """A pool with more files than libvirt lists; one volume can be looked up."""

    def __init__(self, name: str) -> None:
        super().__init__(name, UUIDString="u", listAllVolumes=too_many)

    def storageVolLookupByName(self, name: str) -> Thing:
        if name == "mine":
            return Thing("mine", XMLDesc=GOOD_VOLUME.replace(">good<", ">mine<"))
        raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_VOL, "no such volume")


def test_pool_that_is_stopped_while_it_is_read_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def stopped() -> Any:
        raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "storage pool 'pool' is not active")

    files = [Thing(f"f{number}", XMLDesc=stopped) for number in range(3000)]
    for _ in range(2):
        assert volumes.read_volumes(Host(pool(listAllVolumes=files)), FACTS) == ([], "")
    (line,) = capsys.readouterr().out.splitlines()
    assert "cannot read many volumes" in line
    for told in ("of=pool", "count=3000", "example=f0", "is not active"):
        assert told in line


def test_of_a_pool_with_too_many_files_the_known_volumes_are_looked_up() -> None:
    full = Host(FullPool("full"))
    listed, problem = volumes.read_volumes(full, FACTS, wanted={"mine", "gone"})
    assert [facts.name for facts in listed] == ["mine"]
    assert "its volumes cannot be listed: internal error: Too many storage_vols" in problem
    assert volumes.read_volumes(full, FACTS)[0] == []
    unreadable = Thing(undecodable, XMLDesc=undecodable)
    assert [facts.name for facts in volumes.read_pools(Host(unreadable, pool()))] == ["pool"]


def test_lost_connection_is_not_taken_for_a_bad_pool_or_volume() -> None:
    for answers in ({"listAllVolumes": too_many}, {"listAllVolumes": [Thing("f", XMLDesc=too_many)] * 10}):
        with pytest.raises(libvirt.libvirtError):
            volumes.read_volumes(Host(pool(**answers), alive=0), FACTS)


def domains(*found: Thing) -> Thing:
    stats = [(domain, {"state.state": libvirt.VIR_DOMAIN_RUNNING, "state.reason": 0}) for domain in found]
    return Thing("host", listAllDomains=list(found), getAllDomainStats=stats, isAlive=1)


def domain(number: int, xml: Any, name: Any = "web") -> Thing:
    uuid = UUID.format(number)
    return Thing(name, UUIDString=uuid, ID=1, XMLDesc=DOMAIN.format(uuid) if xml is None else xml)


def test_domain_that_cannot_be_read_keeps_its_state_and_hides_no_other() -> None:
    connection = domains(domain(1, undecodable, undecodable), domain(2, None))
    odd, good = DomainReader().read_all(connection, fresh=True)
    assert (odd.uuid, odd.name, odd.state) == (UUID.format(1), "Gr\ufffd\ufffde.iso", State.RUNNING)
    assert "cannot be read" in odd.reason
    assert (good.name, good.vcpus) == ("web", 1)


def test_use_of_a_file_is_unknown_while_a_definition_cannot_be_read() -> None:
    with pytest.raises(Conflict, match="cannot be read"):
        list(DomainReader().documents(domains(domain(1, undecodable, undecodable)), fresh=True))


def test_odd_lease_hides_no_other() -> None:
    leases = [{"mac": None, "ipaddr": "192.0.2.1"}, {"mac": "52:54:00:00:00:01", "ipaddr": "192.0.2.2"}]
    networks = [Thing("broken", DHCPLeases=undecodable), Thing("default", bridgeName="virbr0", DHCPLeases=leases)]
    assert read_addresses(Thing("host", listAllNetworks=networks, isAlive=1)) == {
        ("default", "52:54:00:00:00:01"): ("192.0.2.2",),
        ("virbr0", "52:54:00:00:00:01"): ("192.0.2.2",),
    }


def test_newest_lease_comes_first() -> None:
    leases = [
        {"mac": "52:54:00:00:00:01", "ipaddr": "192.0.2.1", "expirytime": 100},
        {"mac": "52:54:00:00:00:01", "ipaddr": "2001:db8::1", "expirytime": 300},
        {"mac": "52:54:00:00:00:01", "ipaddr": "192.0.2.9", "expirytime": 300},
        {"mac": "52:54:00:00:00:01", "ipaddr": "192.0.2.1", "expirytime": 50},
    ]
    network = Thing("default", bridgeName=undecodable, DHCPLeases=leases)
    assert read_addresses(Thing("host", listAllNetworks=[network])) == {
        ("default", "52:54:00:00:00:01"): ("192.0.2.9", "2001:db8::1", "192.0.2.1")
    }


def no_driver() -> Any:
    raise libvirt.libvirtError("this function is not supported by the connection driver")


def test_host_without_a_network_driver_has_no_addresses() -> None:
    assert read_addresses(Thing("host", listAllNetworks=no_driver, isAlive=1)) == {}
    with pytest.raises(libvirt.libvirtError):
        read_addresses(Thing("host", listAllNetworks=no_driver, isAlive=0))


ODD_METADATA = [
    '<x:doc xmlns:x="urn:x"><foo:bar/></x:doc>',
    '<x:doc xmlns:x="urn:x"><![CDATA[<!DOCTYPE html>]]></x:doc>',
    '<x:doc xmlns:x="urn:x"><!-- <!DOCTYPE html> --></x:doc>',
    '<x:a:b xmlns:x="urn:x"/>',
]


@pytest.mark.parametrize("metadata", ODD_METADATA)
def test_use_of_a_file_is_seen_whatever_the_metadata_contain(metadata: str) -> None:
    """libvirt accepts and returns all of these. The connection is its test driver's."""
    connection = libvirt.open("test:///default")
    disk = "<disk type='file' device='disk'><source file='/p/vda'/><target dev='vda' bus='virtio'/></disk>"
    odd = connection.createXML(
        f"<domain type='test'><name>odd</name><memory>1024</memory><os><type>hvm</type></os>"
        f"<metadata>{metadata}</metadata><devices>{disk}</devices></domain>",
        0,
    )
    try:
        reader = DomainReader()
        found = disks.users(connection, reader, "/p/vda", Files(local=False), fresh=True)
        assert [user.name for user in found] == ["odd"]
        assert {facts.name: len(facts.disks) for facts in reader.read_all(connection, fresh=True)}["odd"] == 1
    finally:
        odd.destroy()  # all connections of a process to this URI share one host, which ends with the last of them
        connection.close()


def test_file_that_a_malformed_definition_may_use_is_not_free() -> None:
    connection = domains(domain(1, "<domain><devices>"), domain(2, None))
    with pytest.raises(Conflict, match="cannot be read"):
        disks.users(connection, DomainReader(), "/p/vda", Files(local=False), fresh=True)
    odd, good = DomainReader().read_all(connection, fresh=True)
    assert "cannot be read" in odd.reason
    assert good.vcpus == 1


class BusyPool(Thing):
    """A pool in which libvirt is creating a volume: it refuses to scan the directory for some calls."""

    def __init__(self, refusals: int, **answers: Any) -> None:
        super().__init__("pool", isActive=1, UUIDString="u", refresh=self._scan, **answers)
        self.refusals, self.scans = refusals, 0

    def _scan(self) -> int:
        self.scans += 1
        if self.scans <= self.refusals:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "pool 'pool' has asynchronous jobs running.")
        return 0


def no_volume() -> Any:
    raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_VOL, "no such volume")


def test_change_waits_while_libvirt_creates_other_volumes_in_the_pool() -> None:
    busy = BusyPool(2, storageVolLookupByName=no_volume)
    connection = Host(busy)
    volumes.delete_volume(connection, "pool", "gone.qcow2")
    volumes.refresh_pool(connection, "pool")
    assert busy.scans == 4
    with pytest.raises(HostUnavailable, match="still creating other volumes in the pool"):
        volumes._refresh(BusyPool(10_000), 0.1)


def test_pool_is_listed_although_libvirt_cannot_scan_it_now() -> None:
    busy = BusyPool(10_000, listAllVolumes=[Thing("good", XMLDesc=GOOD_VOLUME)])
    found, problem = volumes.read_volumes(Host(busy), FACTS, refresh=True)
    assert ([volume.name for volume in found], problem) == (["good"], "")
