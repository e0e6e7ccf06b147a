"""Hosts and their domains, pools and volumes, through libvirt. The only package that imports libvirt.

libvirt's terms (domain, define, destroy) are used only inside this package. `LibvirtHost` is its interface; `facts` are
the values it returns, `specs` the values it accepts.
"""

from novacron_server.hypervisor.connection.daemons import start_daemons
from novacron_server.hypervisor.connection.supervisor import Timing
from novacron_server.hypervisor.connection.uris import check_uri, choose_uri, is_simulated
from novacron_server.hypervisor.facts import (
    DiskFacts,
    DomainFacts,
    Hint,
    HostFacts,
    NICFacts,
    OwnershipTag,
    PoolFacts,
    VolumeFacts,
)
from novacron_server.hypervisor.host import LibvirtHost
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
    "HostCounters",
    "HostFacts",
    "LibvirtHost",
    "NICCounters",
    "NICFacts",
    "NICSpec",
    "OwnershipTag",
    "PoolFacts",
    "PoolSpec",
    "Reading",
    "Timing",
    "VolumeFacts",
    "VolumeSpec",
    "check_uri",
    "choose_uri",
    "is_simulated",
    "mac_for",
    "start_daemons",
]
