"""Values to XML and back: golden files for the XML sent to libvirt, and hostile text that must stay text."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core.errors import InvalidArgument
from novacron_server.hypervisor import DiskSpec, DomainSpec, NICSpec, OwnershipTag, PoolSpec, VolumeSpec, mac_for
from novacron_server.hypervisor.facts import DiskFacts
from novacron_server.hypervisor.xml.definition import digest, read_domain, without_secrets
from novacron_server.hypervisor.xml.disk_locations import disk_locations
from novacron_server.hypervisor.xml.disks import one_disk, with_disk, with_source, without_disk
from novacron_server.hypervisor.xml.document import MalformedXML, parse
from novacron_server.hypervisor.xml.domain import DiskSource, domain_xml
from novacron_server.hypervisor.xml.metadata import tag_element
from novacron_server.hypervisor.xml.storage import pool_xml, read_pool, read_volume, volume_xml
from novacron_server.inventory.compose import _disk

GOLDEN = Path(__file__).parent / "golden"
UUID_1 = "0b1e3d44-6c1c-4a44-9f0e-0d9f5a3c2b11"
MIB = 1024**2
SPEC = DomainSpec(
    uuid=UUID_1,
    name="web-1",
    vcpus=2,
    memory_bytes=512 * MIB,
    virtualization="kvm",
    disks=(
        DiskSpec(pool="hot", volume="web-1.qcow2"),
        DiskSpec(pool="hot", volume="data.raw", format="raw", target="vdb", read_only=True),
    ),
    nics=(NICSpec(network="default"), NICSpec(mac="52:54:00:12:34:56")),
    description="[/red] <disk type='file'/> ]]> \"quoted\" & more",
    tag=OwnershipTag(instance="i-1", tenant="t-1", operation="o-1", generation=7),
)
SOURCES = (DiskSource("/pools/hot/web-1.qcow2"), DiskSource("/dev/vg/data", block=True))
DIRECT = DomainSpec(
    uuid=UUID_1,
    name="alpine",
    vcpus=1,
    memory_bytes=256 * MIB,
    virtualization="qemu",
    disks=(DiskSpec(pool="hot", volume="a"),),
    nics=(NICSpec(),),
    kernel="/pools/hot/kernel",
    initrd="/pools/hot/initrd",
    cmdline="root=/dev/vda console=ttyS0",
)
# Every text that XML can contain and libvirt returns unchanged: normalized line ends, nothing trimmed.
_LEGAL_CHARACTER = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
_NASTY = st.sampled_from(["<", "&", "]]>", '"', "'", "\n", "\t", "\u0085", "\u202e", "\x9b", "[/red]", "<!ENTITY"])
LEGAL = st.lists(_LEGAL_CHARACTER | _NASTY, max_size=30).map("".join)


def golden(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_domain_xml_matches_the_golden_file() -> None:
    golden("domain-kvm.xml", domain_xml(SPEC, SOURCES))
    golden("domain-direct-boot.xml", domain_xml(DIRECT, (DiskSource("/pools/hot/a"),)))


def test_pool_and_volume_xml_match_the_golden_files() -> None:
    golden("pool.xml", pool_xml(PoolSpec(uuid=UUID_1, name="novacron-ab12cd34-hot", path="/var/lib/novacron/hot")))
    golden("volume-qcow2.xml", volume_xml(VolumeSpec(pool="hot", name="web-1.qcow2", size_bytes=3 * 1024**3)))
    thin = VolumeSpec(pool="hot", name="thin", size_bytes=1 << 40, cluster_bytes=2 << 20)
    golden("volume-extended-qcow2.xml", volume_xml(thin))
    block = VolumeSpec(pool="vg", name="data", size_bytes=3 * 1024**3, format="raw", block=True)
    golden("volume-block.xml", volume_xml(block))
    golden("volume-raw.xml", volume_xml(VolumeSpec(pool="hot", name="kernel", size_bytes=12637184, format="raw")))


def test_written_xml_is_read_back() -> None:
    found = read_domain(domain_xml(SPEC, SOURCES), {"/pools/hot": "hot"})
    assert (found.vcpus, found.memory_bytes, found.virtualization) == (2, 512 * MIB, "kvm")
    assert (found.description, found.tag) == (SPEC.description, SPEC.tag)
    first, second = found.disks
    assert (first.target, first.bus, first.format, first.pool, first.volume) == (
        "vda", "virtio", "qcow2", "hot", "web-1.qcow2",
    )  # fmt: skip
    assert (second.path, second.pool, second.read_only) == ("/dev/vg/data", "", True)
    assert [(n.network, n.mac, n.model) for n in found.nics] == [
        ("default", mac_for(UUID_1, 0), "virtio"),
        ("user", "52:54:00:12:34:56", "virtio"),
    ]
    direct = read_domain(domain_xml(DIRECT, (DiskSource("/pools/hot/a"),)), {})
    assert (direct.kernel, direct.initrd) == (DIRECT.kernel, DIRECT.initrd)


@given(description=LEGAL, tenant=LEGAL, cmdline=LEGAL)
def test_hostile_text_stays_text(description: str, tenant: str, cmdline: str) -> None:
    tag = OwnershipTag(instance="i", tenant=tenant[:200].replace("\n", " ").replace("\t", " "), operation="o")
    spec = DomainSpec(
        uuid=UUID_1, name="a", vcpus=1, memory_bytes=MIB, virtualization="qemu",
        description=description, cmdline=cmdline, kernel="/k", tag=tag,
    )  # fmt: skip
    text = domain_xml(spec, ())
    found = read_domain(text, {})
    assert found.description == description[:4096]
    assert found.tag == tag
    assert parse(text).findtext("os/cmdline", "") == cmdline
    assert found.disks == ()
    assert {e.tag for e in parse(text)} <= {
        "name", "uuid", "metadata", "description", "memory", "vcpu", "os", "features", "cpu", "clock",
        "on_poweroff", "on_reboot", "on_crash", "devices",
    }  # fmt: skip


@given(st.characters(categories=["Cs", "Cc"]) | st.sampled_from("\ufffe\uffff"))
def test_character_that_xml_does_not_allow_is_refused(character: str) -> None:
    spec = DomainSpec(
        uuid=UUID_1, name="a", vcpus=1, memory_bytes=MIB, virtualization="qemu", description=f"a{character}b"
    )
    if character in "\t\n\r" or "\x7f" <= character <= "\x9f":
        assert read_domain(domain_xml(spec, ()), {}).description == f"a{character}b".replace("\r", "\n")
        return
    with pytest.raises(InvalidArgument, match="control character"):
        domain_xml(spec, ())


@pytest.mark.parametrize(
    "change",
    [
        {"name": "<disk/>"},
        {"name": "a/b"},
        {"name": ""},
        {"name": "a\n"},
        {"uuid": "no"},
        {"vcpus": 0},
        {"memory_bytes": 0},
        {"nics": (NICSpec(mac="52:54:00:12:34:56'/>"),)},
        {"nics": (NICSpec(mac="53:54:00:12:34:56"),)},
        {"disks": (DiskSpec(pool="p", volume="v", target="../vda"),)},
        {"disks": (DiskSpec(pool="p", volume="v"), DiskSpec(pool="p", volume="w"))},
        {"kernel": "relative"},
    ],
)
def test_invalid_spec_is_refused(change: dict[str, object]) -> None:
    values = {"uuid": UUID_1, "name": "a", "vcpus": 1, "memory_bytes": MIB, "virtualization": "qemu"} | change
    spec = DomainSpec(**values)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        domain_xml(spec, tuple(DiskSource("/x") for _ in spec.disks))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-rf", ".hidden", "a b", "a\n", "x" * 161, "a<b"])
def test_unsafe_storage_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        volume_xml(VolumeSpec(pool="p", name=name, size_bytes=1))
    with pytest.raises(InvalidArgument):
        pool_xml(PoolSpec(uuid=UUID_1, name=name, path="/p"))


@pytest.mark.parametrize("path", ["relative", "/a/../etc", ""])
def test_unsafe_pool_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument):
        pool_xml(PoolSpec(uuid=UUID_1, name="p", path=path))


def test_document_type_is_refused() -> None:
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><domain><description>&b;</description></domain>'
    for reader in (lambda t: read_domain(t, {}), without_secrets, digest):
        with pytest.raises(MalformedXML):
            reader(bomb)
        with pytest.raises(MalformedXML):
            reader("<domain>")


def test_names_are_expanded_also_in_documents_with_undeclared_prefixes() -> None:
    text = (
        "<d xmlns='urn:d'><x:e xmlns:x='urn:x' x:a='1' b='2'><y:f z:c='3'/></x:e><e xmlns=''><!--<!DOCTYPE--></e></d>"
    )
    root = parse(text)
    assert [element.tag for element in root.iter()] == ["{urn:d}d", "{urn:x}e", "y:f", "e"]
    assert [element.attrib for element in root] == [{"{urn:x}a": "1", "b": "2"}, {}]
    declared = text.replace("<y:f z:c='3'/>", "")
    plain = ET.fromstring(declared.replace("<!--<!DOCTYPE-->", ""))
    assert ET.tostring(parse(declared)) == ET.tostring(plain)


def test_passwords_are_removed_and_nothing_else() -> None:
    text = "<domain><devices><graphics type='vnc' port='1' passwd='secret' passwdValidTo='2030'/></devices></domain>"
    assert "secret" not in without_secrets(text)
    assert "port=" in without_secrets(text)
    plain = domain_xml(SPEC, SOURCES)
    assert without_secrets(plain) is plain


def test_invalid_values_in_unmanaged_documents_are_tolerated() -> None:
    text = """<domain type='xen'><memory unit='parsec'>x</memory><vcpu current='many'>9999999999999</vcpu><devices>
      <disk type='network'><source protocol='rbd' name='p/v'/></disk><disk type='file' device='cdrom'/><disk/>
      <disk type='volume'><source pool='hot' volume='v'/></disk>
      <interface type='direct'><source dev='eth0'/></interface><interface/></devices>
      <metadata><n:vm xmlns:n='urn:novacron:vm:1' instance='i' generation='9e9'/></metadata></domain>"""
    found = read_domain(text, {"/hot": "hot"})
    assert (found.vcpus, found.memory_bytes) == (0, 0)
    assert [d.path for d in found.disks] == ["rbd:p/v", "", "", "/hot/v"]
    assert [n.network for n in found.nics] == ["eth0", ""]
    assert found.tag == OwnershipTag(instance="i", tenant="", operation="", generation=0)
    assert read_domain("<domain/>", {}).tag is None


@pytest.mark.parametrize("generation", ["", "-1", "1.5", "9" * 5000, "\u0661"])
def test_invalid_generation_counts_as_zero(generation: str) -> None:
    text = f"<domain><metadata><n:vm xmlns:n='urn:novacron:vm:1' instance='i' generation='{generation}'/></metadata></domain>"
    found = read_domain(text, {}).tag
    assert found is not None
    assert found.generation == 0


def test_digest_changes_with_content_but_not_with_device_order() -> None:
    one = "<domain><name>a</name><devices>\n<disk dev='a'/>\n<nic/>\n</devices></domain>"
    same = "<domain><name>a</name><devices>\n<nic/>\n<disk dev='a'/></devices></domain>"
    other = "<domain><name>a</name><devices>\n<nic/>\n<disk dev='b'/></devices></domain>"
    assert digest(one) == digest(same) != digest(other)


def test_sizes_are_read_in_their_units() -> None:
    text = "<pool type='dir'><name>p</name><uuid>u</uuid><capacity unit='GiB'>2</capacity><target><path>/p/</path></target></pool>"
    pool = read_pool(text, active=True)
    assert (pool.capacity_bytes, pool.available_bytes, pool.path) == (2 * 1024**3, 0, "/p")
    volume = read_volume("<volume><name>v</name><capacity>10</capacity></volume>", pool="p", pool_uuid="u")
    assert (volume.size_bytes, volume.format) == (10, "")


def test_tag_is_in_novacrons_namespace() -> None:
    assert tag_element(OwnershipTag(instance="i", tenant="t", operation="o")).tag == "{urn:novacron:vm:1}vm"


@given(st.uuids(), st.integers(0, 20))
def test_derived_mac_addresses_are_valid_and_stable(uuid: UUID, index: int) -> None:
    mac = mac_for(str(uuid), index)
    assert mac == mac_for(str(uuid), index)
    spec = DomainSpec(
        uuid=str(uuid), name="a", vcpus=1, memory_bytes=MIB, virtualization="qemu", nics=(NICSpec(mac=mac),)
    )
    assert read_domain(domain_xml(spec, ()), {}).nics[0].mac == mac


FOREIGN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <metadata>
    <owner xmlns="urn:example:cmdb:1"><team note="a  b">finance <b>and</b> law &amp; order</team></owner>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="x"/></libosinfo:libosinfo>
  </metadata>
  <devices>
    <disk type="file"><source file="/p/a"/><target dev="vda"/></disk>
  </devices>
  <!-- kept -->
  <qemu:commandline><qemu:arg value="-name"/></qemu:commandline>
</domain>"""
KEPT = (
    'xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"',
    '<owner xmlns="urn:example:cmdb:1"><team note="a  b">finance <b>and</b> law &amp; order</team></owner>',
    '<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="x" />',
    "<!-- kept -->",
    '<qemu:commandline><qemu:arg value="-name" /></qemu:commandline>',
)


def test_edits_keep_prefixes_comments_and_mixed_content() -> None:
    added = with_disk(FOREIGN, DiskSpec(pool="p", volume="b", format="raw", target="vdb"), DiskSource("/p/b"))
    changed = with_source(added, "vda", "/q/a")
    removed = without_disk(changed, "vdb")
    for text in (added, changed, removed):
        assert not [piece for piece in KEPT if piece not in text]
        assert "ns0" not in text
    assert [(disk.target, disk.path) for disk in disk_locations(changed)] == [("vda", "/q/a"), ("vdb", "/p/b")]
    assert [disk.target for disk in disk_locations(removed)] == ["vda"]
    assert one_disk(added, "vdb").startswith('<disk type="file" device="disk">')


@pytest.mark.parametrize("text", ["<a><b></a>", "<!DOCTYPE a []><a/>", "", "<a xmlns:b='c'/><d/>"])
def test_malformed_document_is_not_edited(text: str) -> None:
    with pytest.raises(MalformedXML):
        without_disk(text, "vda")


def test_network_disk_names_its_protocol_and_place() -> None:
    disks = (
        "<disk type='network'><source protocol='rbd' name='vms/root'/><target dev='vda'/></disk>"
        "<disk type='network'><source protocol='iscsi' name='iqn.2026-01.x:t/2'/><target dev='vdb'/></disk>"
        "<disk type='network'><source protocol='https' name='/netinst.iso'><host name='deb.x' port='443'/></source>"
        "<target dev='vdc'/></disk>"
        "<disk type='network'><source protocol='nbd'><host name='10.0.0.9'/></source><target dev='vdd'/></disk>"
    )
    found = disk_locations(f"<domain><devices>{disks}</devices></domain>")
    expected = ["rbd:vms/root", "iscsi:iqn.2026-01.x:t/2", "https://deb.x/netinst.iso", "nbd://10.0.0.9"]
    assert [disk.path for disk in found] == expected
    for with_host, names in ((True, expected), (False, ["rbd:root", "iscsi:2", "https:netinst.iso", "nbd"])):
        facts = read_domain(f"<domain><devices>{disks}</devices></domain>", {}).disks
        shown = [_disk(disk, {}, with_host=with_host) for disk in facts]
        assert [(disk.source, disk.size_bytes) for disk in shown] == [(name, None) for name in names]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("nfs:/export/secret/vm.img", "nfs:vm.img"),
        ("gluster:vol1/secret/vm.img", "gluster:vm.img"),
        ("iscsi:iqn.2013-07.internal.store01:vg/1", "iscsi:1"),
        ("/dev/disk/by-path/ip-10.0.0.5:3260-iscsi-iqn.2013-07.internal:vg-lun-1", "block device"),
        ("/dev/mapper/vg-data", "vg-data"),
        ("/pools/secret/web-01.qcow2", "web-01.qcow2"),
        ("https://deb.internal", "https"),
        ("nbd:", "nbd"),
        ("", ""),
    ],
)
def test_members_are_not_told_where_a_disk_is(path: str, shown: str) -> None:
    disk = DiskFacts(target="vda", path=path)
    assert _disk(disk, {}, with_host=False).source == shown


def test_encrypted_volume_is_not_called_raw() -> None:
    text = "<volume><name>v</name><target>{}</target></volume>"
    luks = "<format type='raw'/><encryption format='luks'/>"
    both = "<format type='qcow2'/><encryption format='luks'/>"
    formats = [read_volume(text.format(inner), pool="p", pool_uuid="").format for inner in (luks, both)]
    assert formats == ["luks", "qcow2 (luks)"]
