"""Two thousand domains are read quickly. Prints the measured times (pytest -s)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import pytest

from novacron_server.hypervisor import Timing

COUNT = 2000
LONG_TIMEOUTS = Timing(first_attempt_s=100.0, read_s=100.0)
"""Long timeouts, so that a busy machine does not fail the test."""
HEAD = """<node><cpu><mhz>3000</mhz><model>x86_64</model><active>64</active><nodes>2</nodes><sockets>2</sockets>
<cores>16</cores><threads>2</threads></cpu><memory>1073741824</memory>
<network><name>default</name><bridge name="virbr0"/><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
<pool type="dir"><name>default-pool</name><target><path>/default-pool</path></target></pool>
"""
DOMAIN = """<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>web-{i:05d}</name>
<uuid>{uuid}</uuid><memory unit="KiB">1048576</memory><vcpu>2</vcpu><os><type arch="x86_64">hvm</type></os><devices>
<disk type="file" device="disk"><source file="/default-pool/{i}.qcow2"/><target dev="vda" bus="virtio"/></disk>
<disk type="file" device="disk"><source file="/default-pool/{i}-data.qcow2"/><target dev="vdb" bus="virtio"/></disk>
<interface type="network"><mac address="52:54:00:00:{a:02x}:{b:02x}"/><source network="default"/></interface>
<console type="pty"/><graphics type="vnc" port="-1" autoport="yes"/></devices>
<test:runstate>{state}</test:runstate></domain>
"""


def _node(path: Path) -> None:
    parts = [HEAD]
    for i in range(COUNT):
        state = {0: 5, 3: 3}.get(i % 6, 1)
        parts.append(DOMAIN.format(i=i, uuid=uuid.uuid5(uuid.NAMESPACE_OID, str(i)), a=i >> 8, b=i & 255, state=state))
    path.write_text("".join(parts) + "</node>\n")


async def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await call()
    return time.perf_counter() - began, result


def count_reads(monkeypatch: pytest.MonkeyPatch, read: list[int]) -> None:
    """Add the flags of every read of a definition to `read`."""
    real = libvirt.virDomain.XMLDesc

    def counted(self: Any, flags: int = 0) -> str:
        read.append(flags)
        return str(real(self, flags))

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", counted)


async def test_definitions_of_two_thousand_domains_are_read_once(
    tmp_path: Path, watch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _node(tmp_path / "node.xml")
    read: list[int] = []
    count_reads(monkeypatch, read)
    host = watch(f"test://{tmp_path}/node.xml", LONG_TIMEOUTS).host
    opened, _ = await _seconds(host.open)
    began = time.process_time()  # CPU time, because the machine may be busy with other work
    first, domains = await _seconds(host.read_domains)
    cpu_s = time.process_time() - began
    again, same = await _seconds(host.read_domains)
    read.clear()
    known, _ = await _seconds(lambda: host.read_domains(fresh=False))
    assert read == [], "known definitions must not be read again"
    one, _ = await _seconds(lambda: host.read_domain(domains[0].uuid))
    assert 1 <= len(read) <= 2, "an event about one domain causes only its definition to be read"
    print(f"\n{COUNT} domains: open {opened:.2f} s, first read {first:.3f} s, full re-read {again:.3f} s, "
          f"states only {known:.3f} s, one domain {one * 1000:.1f} ms")  # fmt: skip
    assert len(domains) == COUNT
    assert same == domains
    assert {d.disks[0].pool for d in domains} == {"default-pool"}
    assert cpu_s < 5


async def test_users_of_a_file_are_found_without_reading_every_definition_again(
    tmp_path: Path, watch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _node(tmp_path / "node.xml")
    host = watch(f"test://{tmp_path}/node.xml", LONG_TIMEOUTS).host
    read: list[int] = []
    await host.open()
    await host.read_domains()
    count_reads(monkeypatch, read)

    def find_users() -> Any:
        return host.disks.users("/default-pool/77-data.qcow2")

    quick, users = await _seconds(find_users)
    assert [(user.name, user.live.target, user.persistent.target) for user in users] == [("web-00077", "vdb", "vdb")]
    assert read == []
    full, same = await _seconds(lambda: host.disks.users("/default-pool/77-data.qcow2", fresh=True))
    assert same == users
    assert len(read) >= COUNT
    print(f"\n{COUNT} domains: who uses a file {quick * 1000:.0f} ms, with every definition read anew {full:.2f} s")
    disk = '<disk type="file" device="disk"><source file="/default-pool/./77-data.qcow2"/><target dev="vda"/></disk>'
    host._supervisor.require().first.connection.defineXML(
        f"<domain type='test'><name>new</name><memory>1024</memory><os><type>hvm</type></os><devices>{disk}</devices></domain>"
    )
    assert {user.name for user in await find_users()} == {"web-00077", "new"}
