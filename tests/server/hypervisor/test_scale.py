"""Two thousand domains: the picture must stay quick to read. Prints its figures (pytest -s)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNT = 2000
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


async def test_two_thousand_domains_are_read_quickly(tmp_path: Path, watch: Callable[..., Any]) -> None:
    _node(tmp_path / "node.xml")
    host = watch(f"test://{tmp_path}/node.xml").host
    opened, _ = await _seconds(host.open)
    first, domains = await _seconds(host.read_domains)
    again, same = await _seconds(host.read_domains)
    known, _ = await _seconds(lambda: host.read_domains(fresh=False))
    one, _ = await _seconds(lambda: host.read_domain(domains[0].uuid))
    print(f"\n{COUNT} domains: open {opened:.2f} s, first read {first:.3f} s, full re-read {again:.3f} s, "
          f"states only {known:.3f} s, one domain {one * 1000:.1f} ms")  # fmt: skip
    assert len(domains) == COUNT
    assert same == domains
    assert {d.disks[0].pool for d in domains} == {"default-pool"}
    assert known < first, "known definitions must not be read again"
    assert first < 5
