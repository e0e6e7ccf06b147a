"""The newest numbers of VMs and hosts on this side, and a short past of each for sparklines. `store` is its only writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from novacron_core.api.events import SamplesFrame as Frame
from novacron_core.api.samples import HostSample, VMSample
from novacron_core.api.vms import VM

KEPT = 60
"""Samples of a VM that are kept: five minutes at the usual pace."""
STALE_S = 30.0
MOST_VMS = 20_000


class _Held:
    """What is kept of one VM."""

    __slots__ = ("heard", "newest", "past", "until")

    def __init__(self) -> None:
        self.heard = self.until = datetime.min.replace(tzinfo=UTC)  # until when its numbers are called fresh
        self.newest = VMSample()
        self.past: deque[float | None] = deque(maxlen=KEPT)


class SampleStore:
    """`version` changes with each frame; events leave it alone, so whoever draws numbers alone can compare it.

    Memory is bounded: the VMs heard of longest ago are forgotten first.
    """

    def __init__(self, now: Callable[[], datetime], *, most: int = MOST_VMS) -> None:
        self._now = now
        self._most = most
        self.version = 0
        self.times: dict[str, datetime] = {}
        self.hosts: dict[str, HostSample] = {}
        self._held: dict[str, dict[str, _Held]] = {}  # by host, as frames come: hosts may share a UUID
        self._count = 0

    def take(self, frame: Frame) -> None:
        """Fold a frame in. What it does not tell of keeps its last numbers and grows old."""
        self.version += 1
        now = self._now()
        self.times[frame.host] = frame.time
        self.hosts.update(frame.hosts)
        vms = self._held.setdefault(frame.host, {})
        before = len(vms)
        until = now + self._fresh_for(frame.host)
        for vm_id, sample in frame.vms.items():
            held = vms.get(vm_id)
            if held is None:
                held = vms[vm_id] = _Held()
            held.heard, held.until = now, until
            held.newest = sample
            held.past.append(sample.cpu_percent)
        self._count += len(vms) - before
        if self._count > self._most:
            self._forget_oldest()

    def of(self, vm: VM) -> VMSample | None:
        """A VM's newest numbers; None when none were heard lately."""
        held = self._of(vm)
        return None if held is None or self._now() > held.until else held.newest

    def age_s(self, vm: VM) -> float | None:
        """Seconds since a VM's numbers were heard; None: never."""
        held = self._of(vm)
        return None if held is None else max(0.0, (self._now() - held.heard).total_seconds())

    def past(self, vm: VM) -> Sequence[float | None]:
        """The last CPU percentages of a VM, oldest first; None where there was no number."""
        held = self._of(vm)
        return () if held is None else held.past

    def _of(self, vm: VM) -> _Held | None:
        vms = self._held.get(vm.host)
        return None if vms is None else vms.get(vm.id)

    def _fresh_for(self, host_id: str) -> timedelta:
        host = self.hosts.get(host_id)
        return timedelta(seconds=max(STALE_S, 3 * host.period_s) if host else STALE_S)

    def _forget_oldest(self) -> None:
        """Down to nine tenths of the most, so that it is not done at each frame."""
        keys = [(held.heard, host, vm_id) for host, vms in self._held.items() for vm_id, held in vms.items()]
        keys.sort(key=lambda key: key[0])
        for _, host, vm_id in keys[: len(keys) - self._most * 9 // 10]:
            del self._held[host][vm_id]
            self._count -= 1
