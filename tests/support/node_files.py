"""Node files for libvirt's test driver: fleets of any size, opened as `test:///FILE`, without real guests."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

ROLES = ("web", "db", "cache", "api", "worker", "build", "mail", "dns", "proxy", "store")
_RUNNING, _PAUSED, _STOPPED = 1, 3, 5
_NODE = """<node>
  <cpu><mhz>3000</mhz><model>x86_64</model><active>64</active><nodes>2</nodes><sockets>2</sockets><cores>16</cores>
    <threads>2</threads></cpu>
  <memory>1073741824</memory>
  <network><name>default</name><bridge name="virbr0"/><forward/>
    <ip address="192.168.122.1" netmask="255.255.255.0"/></network>
  <pool type="dir"><name>default-pool</name><target><path>/default-pool</path></target></pool>
{domains}
</node>
"""
_DOMAIN = """  <domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0">
    <name>{name}</name><uuid>{id}</uuid><memory unit="GiB">{memory_gib}</memory><vcpu>{vcpus}</vcpu>
    <os><type arch="x86_64">hvm</type><boot dev="hd"/></os>
    <devices>
      <disk type="file" device="disk"><source file="/default-pool/{name}.qcow2"/><target dev="vda" bus="virtio"/></disk>
      <disk type="file" device="disk"><source file="/default-pool/{name}-d.qcow2"/><target dev="vdb" bus="virtio"/></disk>
      <interface type="network"><mac address="{mac}"/><source network="default"/></interface>
    </devices>
    <test:runstate>{state}</test:runstate>
  </domain>"""


def write_node(path: Path, count: int, *, first: int = 1) -> str:
    """Write a node of `count` VMs, numbered from `first` on, and return its URI. Of six, four run, one is paused and
    one is stopped; the same numbers give the same VMs in every process."""
    chance = random.Random(first)
    domains = "\n".join(_domain(number, chance) for number in range(first, first + count))
    path.write_text(_NODE.format(domains=domains))
    return f"test://{path}"


def name_of(number: int) -> str:
    return f"{ROLES[number % len(ROLES)]}-{number:05d}"


def _domain(number: int, chance: random.Random) -> str:
    return _DOMAIN.format(
        name=name_of(number),
        id=uuid.UUID(int=chance.getrandbits(128), version=4),
        memory_gib=chance.choice([1, 2, 4, 8, 16]),
        vcpus=chance.choice([1, 2, 4, 8]),
        mac=f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        state={0: _STOPPED, 3: _PAUSED}.get(number % 6, _RUNNING),
    )


NODE = """<node><cpu><mhz>3000</mhz><model>x86_64</model><active>16</active></cpu><memory>67108864</memory>
<network><name>default</name><bridge name="virbr0"/><forward/><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
<domain type="test"><name>test</name><memory>1048576</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain></node>"""
