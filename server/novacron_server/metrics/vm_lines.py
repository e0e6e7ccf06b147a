"""The lines of VMs in Prometheus' text format, written directly: a library's objects for each of ten thousand values cost
a second of the event loop."""

from __future__ import annotations

from prometheus_client.utils import floatToGoString

from novacron_core.api.vms import VM
from novacron_server.metrics.meter import VMMeter

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_COUNTER, _GAUGE = "counter", "gauge"
_FAMILIES = {
    "info": (_GAUGE, "Name and tenant of a VM, for joins by id and host."),
    "vcpus": (_GAUGE, "vCPUs of the VM."),
    "cpu_seconds_total": (_COUNTER, "CPU time of the VM on its host."),
    "memory_given_bytes": (_GAUGE, "Memory assigned to the VM."),
    "memory_used_bytes": (_GAUGE, "Memory that the guest cannot reclaim."),
    "disk_read_bytes_total": (_COUNTER, "Bytes read."),
    "disk_reads_total": (_COUNTER, "Read requests."),
    "disk_written_bytes_total": (_COUNTER, "Bytes written."),
    "disk_writes_total": (_COUNTER, "Write requests."),
    "network_receive_bytes_total": (_COUNTER, "Bytes received by the VM."),
    "network_transmit_bytes_total": (_COUNTER, "Bytes sent by the VM."),
}
"""Name without the prefix `novacron_vm_` → type and description."""


class VMLines:
    """Collects the lines of VMs, and joins them by family."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {name: [] for name in _FAMILIES}

    def add(self, vm: VM, meter: VMMeter | None) -> None:
        """Write the lines of one VM. A missing value has no line, because it is not 0."""
        labels = f'host="{_escaped(vm.host)}",vm="{_escaped(vm.id)}"'
        named = f'name="{_escaped(vm.name)}",tenant="{_escaped(vm.tenant or "")}",{labels}'
        self._write("info", named, 1.0)
        self._write("vcpus", labels, vm.vcpus)
        counters = meter.counters if meter else None
        if meter is None or counters is None:
            return
        self._write("cpu_seconds_total", labels, None if counters.cpu_ns is None else counters.cpu_ns * 1e-9)
        self._write("memory_given_bytes", labels, counters.memory_given_bytes)
        self._write("memory_used_bytes", labels, meter.memory_used_bytes)
        for nic in counters.nics or ():
            device = f'device="{_escaped(nic.name)}",{labels}'
            self._write("network_receive_bytes_total", device, nic.received_bytes)
            self._write("network_transmit_bytes_total", device, nic.sent_bytes)
        for disk in (meter.disk_counters.disks if meter.disk_counters else None) or ():
            device = f'device="{_escaped(disk.target)}",{labels}'
            self._write("disk_read_bytes_total", device, disk.read_bytes)
            self._write("disk_reads_total", device, disk.reads)
            self._write("disk_written_bytes_total", device, disk.written_bytes)
            self._write("disk_writes_total", device, disk.writes)

    def text(self) -> bytes:
        """All families."""
        parts = []
        for name, (kind, description) in _FAMILIES.items():
            full = f"novacron_vm_{name}"
            parts.append(f"# HELP {full} {description}\n# TYPE {full} {kind}\n")
            parts += self._lines[name]
        return "".join(parts).encode()

    def _write(self, name: str, labels: str, value: float | None) -> None:
        if value is not None:
            self._lines[name].append(f"novacron_vm_{name}{{{labels}}} {_number(value)}\n")


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def clean_text(name: str) -> str:
    """An external name as a label, in which invalid UTF-8 is replaced."""
    return name if name.isascii() else name.encode("utf-8", "replace").decode()


def _escaped(text: str) -> str:
    return clean_text(text).translate(_ESCAPES)
