"""Samples: the newest readings of VMs and hosts, as the event stream carries them."""

from __future__ import annotations

import msgspec

from novacron_core.api.base import Time
from novacron_core.values.sizes import GIB


class VMSample(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A VM's metrics at one moment, sent as a JSON array in this order. New fields are only added at the end."""

    cpu_cores: float | None = None
    cpu_percent: float | None = None
    """Percent of its vCPUs."""
    memory_used_bytes: int | None = None
    memory_given_bytes: int | None = None
    disk_read_bytes_s: int | None = None
    disk_write_bytes_s: int | None = None
    disk_reads_s: float | None = None
    disk_writes_s: float | None = None
    net_received_bytes_s: int | None = None
    net_sent_bytes_s: int | None = None
    disk_age_s: float | None = None
    """How much older than the sample the disk values are."""
    memory_age_s: float | None = None
    """How much older than the sample the used memory value is."""
    memory_note: str = ""
    """Why the used memory is unknown."""

    @property
    def memory_percent(self) -> float | None:
        """Used memory in percent of given memory."""
        used, given = self.memory_used_bytes, self.memory_given_bytes
        return used / given * 100 if used is not None and given else None

    @property
    def disk_bytes_s(self) -> int | None:
        """Both directions together."""
        return _both(self.disk_read_bytes_s, self.disk_write_bytes_s)

    @property
    def net_bytes_s(self) -> int | None:
        """Both directions together."""
        return _both(self.net_received_bytes_s, self.net_sent_bytes_s)


def _both(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)


class HostSample(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A host's metrics at one moment, sent as a JSON array in this order."""

    cpu_cores: float | None = None
    cpu_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    period_s: float = 0.0
    """The current sampling interval: longer on a host where reading is expensive."""


class HeatSample(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """How hot a volume is, sent as a JSON array in this order: two averages in weighted operations per second (see
    `VolumeHeat`), rounded to two digits, and the last access, rounded to ten minutes."""

    fast: float = 0.0
    slow: float = 0.0
    accessed_at: Time | None = None
    """None: no operation was ever seen."""
    as_of: Time | None = None
    """Where later values are not known, the time of these; else None."""

    def per_gib(self, allocated_bytes: int) -> float:
        """What a volume that takes so much space is ranked by."""
        return heat_per_gib(self.fast, self.slow, allocated_bytes)


def heat_per_gib(fast: float, slow: float, allocated_bytes: int) -> float:
    """The lower of both averages per GiB. A volume that takes next to nothing counts as a MiB."""
    return min(fast, slow) / max(allocated_bytes / GIB, 1 / 1024)


class TierSample(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the disks of a tier's VMs do together, per second, sent as a JSON array in this order."""

    read_bytes_s: float | None = None
    write_bytes_s: float | None = None
    reads_s: float | None = None
    writes_s: float | None = None
    at: Time | None = None
    """When the oldest of these rates was read."""
