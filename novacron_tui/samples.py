"""The newest numbers of VMs and hosts on this side, and a short past of each for sparklines. `store` is its only writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from novacron_core.api.events import Samples as Frame
from novacron_core.api.metrics import HostSample, VMSample
from novacron_core.api.vms import VM

KEPT = 60
"""Samples of a VM that are kept: five minutes at the usual pace."""
STALE_S = 30.0
MOST_VMS = 20_000

Key = tuple[str, str]
"""(host id, VM id): hosts may share a UUID."""


class Samples:
    """`version` changes with each frame; events leave it alone, so whoever draws numbers alone can compare it.

    Memory is bounded: the VMs heard of longest ago are forgotten first.
    """

    def __init__(self, now: Callable[[], datetime], *, most: int = MOST_VMS) -> None:
        self._now = now
        self._most = most
        self.version = 0
        self.times: dict[str, datetime] = {}
        self.hosts: dict[str, HostSample] = {}
        self._heard: dict[Key, datetime] = {}
        self._newest: dict[Key, VMSample] = {}
        self._past: dict[Key, deque[float | None]] = {}

    def take(self, frame: Frame) -> None:
        """Fold a frame in. What it does not tell of keeps its last numbers and grows old."""
        self.version += 1
        now = self._now()
        self.times[frame.host] = frame.time
        self.hosts.update(frame.hosts)
        for vm_id, sample in frame.vms.items():
            key = (frame.host, vm_id)
            self._heard.pop(key, None)
            self._heard[key] = now
            self._newest[key] = sample
            self._past.setdefault(key, deque(maxlen=KEPT)).append(sample.cpu_percent)
        while len(self._heard) > self._most:
            self._forget(next(iter(self._heard)))

    def of(self, vm: VM) -> VMSample | None:
        """A VM's newest numbers; None when none were heard lately."""
        key = (vm.host, vm.id)
        heard = self._heard.get(key)
        if heard is None or (self._now() - heard).total_seconds() > self._stale_s(vm.host):
            return None
        return self._newest[key]

    def age_s(self, vm: VM) -> float | None:
        """Seconds since a VM's numbers were heard; None: never."""
        heard = self._heard.get((vm.host, vm.id))
        return None if heard is None else max(0.0, (self._now() - heard).total_seconds())

    def past(self, vm: VM) -> Sequence[float | None]:
        """The last CPU percentages of a VM, oldest first; None where there was no number."""
        return self._past.get((vm.host, vm.id), ())

    def _stale_s(self, host_id: str) -> float:
        host = self.hosts.get(host_id)
        return max(STALE_S, 3 * host.period_s) if host else STALE_S

    def _forget(self, key: Key) -> None:
        for held in (self._heard, self._newest, self._past):
            held.pop(key, None)
