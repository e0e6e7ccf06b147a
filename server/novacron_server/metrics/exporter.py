"""All metrics in Prometheus' text format: raw counters (Prometheus computes rates), base units, conventional names.

A VM's metrics are labelled only with its id and host; its name is a label of `novacron_vm_info`, for joins. The number
of exported VMs is limited; `novacron_vms_unexported` counts the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from novacron_core import __version__
from novacron_core.api.hosts import HostStatus
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.meter import HostMeter, VMMeter

__all__ = ["CONTENT_TYPE", "Exporter"]
MAX_VMS = 5_000
Gauges = Mapping[str, tuple[str, Callable[[], float]]]
"""Name → its description, and a function that returns the current value."""
_VM = ("vm", "host")


class Exporter:
    """Renders one scrape. `gauges` are values from the server's other parts."""

    def __init__(self, inventory: Inventory, latest: LatestSamples, history: HistoryWriter, gauges: Gauges) -> None:
        self._inventory = inventory
        self._latest = latest
        self._history = history
        self._gauges = gauges

    async def text(self) -> bytes:
        """The exposition. Values are collected here; rendering them, which is slow for many VMs, runs in a thread."""
        families = [*self._server(), *self._hosts(), *self._vms()]
        return await asyncio.to_thread(_render, families)

    def _server(self) -> Iterator[Metric]:
        yield InfoMetricFamily("novacron_build", "The version of this server.", {"version": __version__})
        for name, (description, read) in self._gauges.items():
            yield GaugeMetricFamily(name, description, read())
        waiting = self._history.waiting
        yield CounterMetricFamily("novacron_samples_written", "Samples written to the database.", self._history.written)
        yield CounterMetricFamily("novacron_samples_lost", "Samples that were dropped unwritten.", waiting.lost)
        yield GaugeMetricFamily("novacron_samples_waiting", "Samples queued for the database.", waiting.rows)
        ready = 0 if self._history.problem else 1
        yield GaugeMetricFamily("novacron_sample_partitions_ready", "Whether partitions are created ahead.", ready)

    def _hosts(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("novacron_host_up", "Whether the host responds.", labels=("host", "name"))
        cpu = CounterMetricFamily("novacron_host_cpu_seconds", "CPU time of the host.", labels=("host", "mode"))
        memory = GaugeMetricFamily("novacron_host_memory_bytes", "Memory of the host.", labels=("host",))
        used = GaugeMetricFamily("novacron_host_memory_used_bytes", "Memory in use on the host.", labels=("host",))
        for view in self._inventory.state.views.values():
            up.add_metric((view.id, _text(view.name)), float(view.status is HostStatus.UP))
            counters = self._fresh(view.id).counters
            if counters is None:
                continue
            for mode, spent_ns in (("busy", counters.busy_ns), ("idle", counters.idle_ns)):
                _add(cpu, (view.id, mode), spent_ns, 1e-9)
            _add(memory, (view.id,), counters.memory_bytes)
            _add(used, (view.id,), counters.memory_used_bytes)
        yield from (up, cpu, memory, used, *self._rounds())

    def _rounds(self) -> Iterator[Metric]:
        labels = ("host", "group")
        took = GaugeMetricFamily("novacron_statistics_round_seconds", "Duration of the last read.", labels=labels)
        period = GaugeMetricFamily("novacron_statistics_period_seconds", "Interval between reads.", labels=labels)
        done = CounterMetricFamily("novacron_statistics_rounds", "Reads by result.", labels=(*labels, "result"))
        for key, stats in self._latest.rounds.items():
            took.add_metric(key, stats.took_s)
            period.add_metric(key, stats.period_s)
            done.add_metric((*key, "read"), stats.done)
            done.add_metric((*key, "failed"), stats.failed)
        yield from (took, period, done)

    def _vms(self) -> Iterator[Metric]:
        states: Counter[tuple[str, str]] = Counter()
        info = InfoMetricFamily("novacron_vm", "Name and tenant of a VM, for joins by id and host.", labels=_VM)
        vcpus = GaugeMetricFamily("novacron_vm_vcpus", "vCPUs of the VM.", labels=_VM)
        families = _Families()
        for number, vm in enumerate(self._inventory.state.vms()):
            states[vm.host, str(vm.state)] += 1
            if number >= MAX_VMS:
                continue
            key = (vm.id, vm.host)
            info.add_metric(key, {"name": _text(vm.name), "tenant": _text(vm.tenant or "")})
            vcpus.add_metric(key, vm.vcpus)
            if meter := self._latest.meter(vm.host, vm.id):
                families.add(key, meter)
        count = GaugeMetricFamily("novacron_vms", "VMs by state.", labels=("host", "state"))
        for state, vms in states.items():
            count.add_metric(state, vms)
        omitted = max(0, sum(states.values()) - MAX_VMS)
        unexported = GaugeMetricFamily("novacron_vms_unexported", "VMs omitted from this exposition.", omitted)
        yield from (count, unexported, info, vcpus, *families.all())

    def _fresh(self, host_id: str) -> HostMeter:
        host = self._latest.host(host_id)
        return host if self._latest.fresh(host) else HostMeter()


class _Families:
    """The metric families of VMs."""

    def __init__(self) -> None:
        device = (*_VM, "device")
        vm = "novacron_vm_"
        self._cpu = CounterMetricFamily(f"{vm}cpu_seconds", "CPU time of the VM on its host.", labels=_VM)
        self._given = GaugeMetricFamily(f"{vm}memory_given_bytes", "Memory assigned to the VM.", labels=_VM)
        self._used = GaugeMetricFamily(f"{vm}memory_used_bytes", "Memory that the guest cannot reclaim.", labels=_VM)
        self._disks = [
            CounterMetricFamily(f"{vm}disk_read_bytes", "Bytes read.", labels=device),
            CounterMetricFamily(f"{vm}disk_reads", "Read requests.", labels=device),
            CounterMetricFamily(f"{vm}disk_written_bytes", "Bytes written.", labels=device),
            CounterMetricFamily(f"{vm}disk_writes", "Write requests.", labels=device),
        ]
        self._nics = [
            CounterMetricFamily(f"{vm}network_receive_bytes", "Bytes received by the VM.", labels=device),
            CounterMetricFamily(f"{vm}network_transmit_bytes", "Bytes sent by the VM.", labels=device),
        ]

    def add(self, key: tuple[str, str], meter: VMMeter) -> None:
        counters = meter.counters
        if counters is None:
            return
        _add(self._cpu, key, counters.cpu_ns, 1e-9)
        _add(self._given, key, counters.memory_given_bytes)
        _add(self._used, key, meter.memory_used_bytes)
        for nic in counters.nics or ():
            for family, value in zip(self._nics, (nic.received_bytes, nic.sent_bytes), strict=True):
                family.add_metric((*key, _text(nic.name)), value)
        for disk in (meter.disk_counters.disks if meter.disk_counters else None) or ():
            values = (disk.read_bytes, disk.reads, disk.written_bytes, disk.writes)
            for family, value in zip(self._disks, values, strict=True):
                family.add_metric((*key, _text(disk.target)), value)

    def all(self) -> tuple[Metric, ...]:
        return (self._cpu, self._given, self._used, *self._disks, *self._nics)


class _Taken:
    """Adapts finished metric families to a registry's collector interface."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _render(families: list[Metric]) -> bytes:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Taken(families))
    return generate_latest(registry)


def _add(family: Any, labels: tuple[str, ...], value: float | None, factor: float = 1) -> None:
    """Add a value; a missing value adds no line, because it is not 0."""
    if value is not None:
        family.add_metric(labels, value * factor)


def _text(name: str) -> str:
    """An external name as a label: the library escapes special characters, but does not replace invalid UTF-8."""
    return name.encode("utf-8", "replace").decode()
