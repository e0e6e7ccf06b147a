"""Hosts and their domains, pools and volumes, through libvirt. The only package that imports libvirt.

libvirt's words (domain, define, destroy) stop here. `Host` is the door; `facts` are what it tells, `specs` what it
is asked to make.
"""

from novacron_server.hypervisor.connection.daemons import start_daemons
from novacron_server.hypervisor.connection.supervisor import Timing
from novacron_server.hypervisor.connection.uris import allowed_uri, choose_uri, is_simulated
from novacron_server.hypervisor.facts import (
    DiskFacts,
    DomainFacts,
    Hint,
    HostFacts,
    NICFacts,
    PoolFacts,
    Tag,
    VolumeFacts,
)
from novacron_server.hypervisor.host import Host
from novacron_server.hypervisor.specs import DiskSpec, DomainSpec, NICSpec, PoolSpec, VolumeSpec, mac_for
from novacron_server.hypervisor.statistics.counters import (
    DiskCounters,
    DomainCounters,
    HostCounters,
    NICCounters,
    Reading,
)

__all__ = [
    "DiskCounters",
    "DiskFacts",
    "DiskSpec",
    "DomainCounters",
    "DomainFacts",
    "DomainSpec",
    "Hint",
    "Host",
    "HostCounters",
    "HostFacts",
    "NICCounters",
    "NICFacts",
    "NICSpec",
    "PoolFacts",
    "PoolSpec",
    "Reading",
    "Tag",
    "Timing",
    "VolumeFacts",
    "VolumeSpec",
    "allowed_uri",
    "choose_uri",
    "is_simulated",
    "mac_for",
    "start_daemons",
]
