"""The current usage of VMs and hosts, for authorized readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from msgspec.structs import asdict, replace

from novacron_core.api import samples
from novacron_core.api import usage as api
from novacron_core.api.base import Page
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import VM, State
from novacron_core.rules.host_reasons import public_reason
from novacron_core.rules.visibility import Principal, may
from novacron_core.values.roles import Permission
from novacron_server.inventory.compose import HostView
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.totals import total

_RUNNING = frozenset({State.RUNNING, State.PAUSED, State.STOPPING, State.MIGRATING})


class UsageService:
    """Reports the latest samples. VMs that the principal may not see are always excluded."""

    def __init__(self, inventory: Inventory, latest: LatestSamples) -> None:
        self._inventory = inventory
        self._latest = latest

    def now(self, principal: Principal) -> api.FleetUsage:
        """The current usage of the fleet and its hosts."""
        now = datetime.now(UTC)
        by_host: dict[str, list[tuple[samples.VMSample, int]]] = {}
        for vm in self._inventory.vms(principal):
            if sample := self._latest.sample(vm.host, vm.id):
                by_host.setdefault(vm.host, []).append((sample, vm.vcpus))
        views = self._inventory.state.views.values() if may(principal, Permission.HOST_READ) else ()
        hosts = [self._host(view, by_host.get(view.id, []), now) for view in views]
        sources = {host.source for host in hosts}
        ages = [host.age_s for host in hosts if host.age_s is not None and by_host.get(host.host)]
        return api.FleetUsage(
            time=now,
            fleet=total(pair for pairs in by_host.values() for pair in pairs),
            hosts=hosts,
            age_s=max(ages, default=None),
            source=sources.pop() if len(sources) == 1 else "mixed" if sources else "libvirt",
        )

    def _host(self, view: HostView, vms: list[tuple[samples.VMSample, int]], now: datetime) -> api.HostUsage:
        meter = self._latest.host(view.id)
        age_s = _age(meter.time, now)
        head = api.HostUsage(host=view.id, name=view.name, source=_source(view.simulated), time=meter.time, age_s=age_s)
        if meter.time is None or view.status is not HostStatus.UP or not self._latest.fresh(meter):
            note = "not read yet" if view.status is HostStatus.UP and meter.time is None else _why_outdated(view)
            return replace(head, note=note)
        return replace(head, **asdict(meter.sample), vms=total(vms))

    def vm(self, principal: Principal, vm_id: str) -> api.VMUsage:
        """The current usage of one VM. Raises NotFound, also for another tenant's VM."""
        return self._vm(self._inventory.vm(principal, vm_id), datetime.now(UTC))

    def _vm(self, vm: VM, now: datetime) -> api.VMUsage:
        head = api.VMUsage(vm=vm.id, name=vm.name, host=vm.host, source=_source(vm.simulated))
        host = self._latest.host(vm.host)
        meter = self._latest.meter(vm.host, vm.id)
        if meter is None or meter.counters is None:
            return replace(head, note=self._why_none(vm))
        disks = [
            api.DiskUsage(
                target=target,
                read_bytes_s=round(rate.read_bytes_s),
                write_bytes_s=round(rate.write_bytes_s),
                reads_s=round(rate.reads_s, 1),
                writes_s=round(rate.writes_s, 1),
            )
            for target, rate in meter.disks.items()
        ]
        return replace(head, **asdict(meter.sample), time=host.time, age_s=_age(host.time, now), disks=disks)

    def _why_none(self, vm: VM) -> str:
        if vm.state is State.UNKNOWN:
            return "host does not respond"
        return "not read yet" if vm.preserved or vm.state in _RUNNING else f"VM is {vm.state}"

    def top(self, principal: Principal, query: api.TopQuery) -> Page[api.VMUsage]:
        """The VMs with the highest usage, without those that have no value. Raises ValidationFailed for a bad filter."""
        now = datetime.now(UTC)
        rank = _TOP[query.top]
        ranked = sorted(
            ((value, vm) for vm, sample in self._sampled(principal, query.q) if (value := rank(sample)) is not None),
            key=lambda pair: (-pair[0], pair[1].name),
        )
        begin = (query.page - 1) * query.page_size
        items = [self._vm(vm, now) for _, vm in ranked[begin : begin + query.page_size]]
        return Page(items=items, total=len(ranked), page=query.page, page_size=query.page_size)

    def _sampled(self, principal: Principal, q: str) -> Iterator[tuple[VM, samples.VMSample]]:
        for vm in self._inventory.matching(principal, q):
            sample = self._latest.sample(vm.host, vm.id)
            if sample is not None:
                yield vm, sample


_TOP: dict[str, Callable[[samples.VMSample], float | None]] = {
    "cpu": lambda sample: sample.cpu_cores,
    "memory": lambda sample: sample.memory_used_bytes,
    "disk": lambda sample: sample.disk_bytes_s,
    "net": lambda sample: sample.net_bytes_s,
}


def _source(simulated: bool) -> str:
    return "simulator" if simulated else "libvirt"


def _why_outdated(view: HostView) -> str:
    return (
        f"does not respond: {public_reason(view.detail)}"
        if view.status is not HostStatus.UP
        else "metrics are out of date"
    )


def _age(time: datetime | None, now: datetime) -> float | None:
    return None if time is None else round(max(0.0, (now - time).total_seconds()), 1)
