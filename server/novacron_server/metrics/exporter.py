"""All metrics in Prometheus' text format: raw counters (Prometheus computes rates), base units, conventional names.

A VM's metrics are labelled only with its id and host; its name is a label of `novacron_vm_info`, for joins. The number
of exported VMs is limited; `novacron_vms_unexported` counts the others.
"""

from __future__ import annotations

import asyncio
import gzip
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
from novacron_server.metrics.meter import HostMeter
from novacron_server.metrics.vm_lines import VMLines, clean_text

__all__ = ["CONTENT_TYPE", "Exporter"]
MAX_VMS = 5_000
SLICE = 100
"""VMs whose lines are written at once: a few milliseconds."""
_GZIP_LEVEL = 1
"""A sixth of the size for 10 ms a thousand VMs; higher levels take twice as long for a tenth less."""
Gauges = Mapping[str, tuple[str, Callable[[], float]]]
"""Name → its description, and a function that returns the current value."""


class Exporter:
    """Renders one scrape. `gauges` are values from the server's other parts."""

    def __init__(self, inventory: Inventory, latest: LatestSamples, history: HistoryWriter, gauges: Gauges) -> None:
        self._inventory = inventory
        self._latest = latest
        self._history = history
        self._gauges = gauges
        self._lock = asyncio.Lock()

    async def text(self, *, compressed: bool = False) -> bytes:
        """The exposition. VMs are written in slices between which others are served; joining and compressing all of it
        runs in a thread. One scrape at a time: another one waits."""
        async with self._lock:
            vms = VMLines()
            states = await self._write_vms(vms)
            families = [*self._server(), *self._hosts(), *self._counts(states)]
            return await asyncio.to_thread(_render, families, vms, compressed)

    async def _write_vms(self, lines: VMLines) -> Counter[tuple[str, str]]:
        """Write the lines of up to MAX_VMS; returns how many VMs are in each state of each host."""
        states: Counter[tuple[str, str]] = Counter()
        state, written = self._inventory.state, 0
        for number, key in enumerate({**state.known, **state.rows}):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            if (key not in state.known and key not in state.rows) or (vm := state.composed(key)) is None:
                continue  # gone meanwhile
            states[vm.host, str(vm.state)] += 1
            if written < MAX_VMS:
                lines.add(vm, self._latest.meter(vm.host, vm.id))
                written += 1
        return states

    def _counts(self, states: Counter[tuple[str, str]]) -> Iterator[Metric]:
        count = GaugeMetricFamily("novacron_vms", "VMs by state.", labels=("host", "state"))
        for labels, vms in states.items():
            count.add_metric(labels, vms)
        yield count
        omitted = max(0, states.total() - MAX_VMS)
        yield GaugeMetricFamily("novacron_vms_unexported", "VMs omitted from this exposition.", omitted)

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
            up.add_metric((view.id, clean_text(view.name)), float(view.status is HostStatus.UP))
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

    def _fresh(self, host_id: str) -> HostMeter:
        host = self._latest.host(host_id)
        current = self._latest.fresh(host) and self._inventory.state.responds(host_id)
        return host if current else HostMeter()


class _Taken:
    """Adapts finished metric families to a registry's collector interface."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _render(families: list[Metric], vms: VMLines, compressed: bool) -> bytes:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Taken(families))
    text = generate_latest(registry) + vms.text()
    return gzip.compress(text, compresslevel=_GZIP_LEVEL, mtime=0) if compressed else text


def _add(family: Any, labels: tuple[str, ...], value: float | None, factor: float = 1) -> None:
    """Add a value; a missing value adds no line, because it is not 0."""
    if value is not None:
        family.add_metric(labels, value * factor)
