"""The newest samples of VMs and hosts, with a short history for sparklines. `store` is its only writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from novacron_core.api.events import SamplesFrame as Frame
from novacron_core.api.samples import HeatSample, HostSample, TierSample, VMSample
from novacron_core.api.vms import VM, State

HISTORY_LENGTH = 60
"""Samples kept per VM: five minutes at the usual interval."""
STALE_S, MAX_STALE_S = 30.0, 86_400.0
"""After how long a sample counts as old: three periods of its host, within these."""
TIER_STALE_S = 30.0
MAX_VMS = 20_000
_NO_RATES: dict[str, None] = dict.fromkeys(
    (
        "disk_read_bytes_s", "disk_write_bytes_s", "disk_reads_s", "disk_writes_s", "net_received_bytes_s",
        "net_sent_bytes_s",
    )
)  # fmt: skip


class _Held:
    """The samples of one VM."""

    __slots__ = ("fresh_until", "newest", "past", "received_at")

    def __init__(self) -> None:
        self.received_at = self.fresh_until = datetime.min.replace(
            tzinfo=UTC
        )  # fresh_until: after this time the sample is stale
        self.newest = VMSample()
        self.past: deque[float | None] = deque(maxlen=HISTORY_LENGTH)


class SampleStore:
    """`version` changes with each frame but not with events, so that views of samples can compare it.

    Memory is bounded: the least recently updated VMs are dropped first.
    """

    def __init__(self, now: Callable[[], datetime], *, max_vms: int = MAX_VMS) -> None:
        self._now = now
        self._max_vms = max_vms
        self.version = 0
        self.times: dict[str, datetime] = {}
        self.hosts: dict[str, HostSample] = {}
        self._tiers: dict[str, tuple[TierSample, datetime]] = {}
        self._held: dict[str, dict[str, _Held]] = {}  # by host, as frames come: hosts may share a UUID
        self._count = 0
        self.heat: dict[str, HeatSample] = {}
        """By volume id, as last told: only what changes is told again."""
        self.heat_version = 0

    def apply(self, frame: Frame) -> None:
        """Apply a frame. VMs missing from it keep their last sample, which ages."""
        self.version += 1
        now = self._now()
        self.times[frame.host] = frame.time
        self.hosts.update(frame.hosts)
        if frame.heat:
            self.heat_version += 1
            self.heat.update(frame.heat)
        self._tiers.update({name: (sample, now) for name, sample in frame.tiers.items()})
        vms = self._held.setdefault(frame.host, {})
        before = len(vms)
        fresh_until = now + self._fresh_for(frame.host)
        for vm_id, sample in frame.vms.items():
            held = vms.get(vm_id)
            if held is None:
                held = vms[vm_id] = _Held()
            held.received_at, held.fresh_until = now, fresh_until
            held.newest = sample
            held.past.append(sample.cpu_percent)
        self._count += len(vms) - before
        if self._count > self._max_vms:
            self._forget_oldest()

    def of(self, vm: VM) -> VMSample | None:
        """The newest sample of a VM; None when there is none, it is stale or its host does not respond. Of a VM that was
        paused since then its vCPUs are known to stand, and its rates are not known."""
        held = self._of(vm)
        if held is None or vm.state is State.UNKNOWN or self._now() > held.fresh_until:
            return None
        if vm.state is State.PAUSED and vm.state_since and held.received_at - self._period(vm.host) < vm.state_since:
            return msgspec.structs.replace(held.newest, cpu_cores=0.0, cpu_percent=0.0, **_NO_RATES)
        return held.newest

    def tier(self, name: str) -> TierSample:
        """The newest sample of a tier; an empty one when there is none or it is stale."""
        sample, received_at = self._tiers.get(name, (TierSample(), self._now()))
        stale = self._now() - received_at > timedelta(seconds=TIER_STALE_S)
        return TierSample() if stale else sample

    def age_s(self, vm: VM) -> float | None:
        """Seconds since a sample of a VM was received; None when never."""
        held = self._of(vm)
        return None if held is None else max(0.0, (self._now() - held.received_at).total_seconds())

    def past(self, vm: VM) -> Sequence[float | None]:
        """The last CPU percentages of a VM, oldest first; None where unknown."""
        held = self._of(vm)
        return () if held is None else held.past

    def _of(self, vm: VM) -> _Held | None:
        vms = self._held.get(vm.host)
        return None if vms is None else vms.get(vm.id)

    def _period(self, host_id: str) -> timedelta:
        """The time that a sample of this host covers."""
        host = self.hosts.get(host_id)
        return timedelta(seconds=max(0.0, min(host.period_s, MAX_STALE_S)) if host else 0.0)

    def _fresh_for(self, host_id: str) -> timedelta:
        host = self.hosts.get(host_id)
        return timedelta(seconds=max(STALE_S, min(3 * host.period_s, MAX_STALE_S)) if host else STALE_S)

    def _forget_oldest(self) -> None:
        """Shrink to 90 % of the maximum, so that this is not needed at every frame."""
        keys = [(held.received_at, host, vm_id) for host, vms in self._held.items() for vm_id, held in vms.items()]
        keys.sort(key=lambda key: key[0])
        for _, host, vm_id in keys[: len(keys) - self._max_vms * 9 // 10]:
            del self._held[host][vm_id]
            self._count -= 1
