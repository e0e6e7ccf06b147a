"""Fixed numbers for the metrics screen: a fleet's hour with a gap, a host that is read and one that is not."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import httpx

from novacron_core.api.events import SamplesFrame
from novacron_core.api.history import Curve, History
from novacron_core.api.samples import HostSample, VMSample
from novacron_core.api.usage import FleetUsage, HostUsage, UsageTotals
from novacron_core.values.sizes import GIB, MIB
from tests.support.console.wire import Stream, Wire, ok
from tests.support.console.world import HOST_ID, NOW, OTHER_HOST_ID, fleet, host, inventory, live

POINTS = 120


def wave(scale: float, low: float = 0.0, *, gap: bool = True) -> Curve:
    values = [low + scale * (1 + math.sin(at / 9) * math.cos(at / 23)) / 2 for at in range(POINTS)]
    return Curve(average=[None if gap and 50 <= at < 62 else value for at, value in enumerate(values)])


def history(request: httpx.Request) -> httpx.Response:
    names = request.url.params["metric"].split(",")
    scales = {"cpu_percent": 90.0, "memory_used_bytes": 9.0 * GIB, "disk_read_bytes_s": 40.0 * MIB,
              "disk_write_bytes_s": 12.0 * MIB, "net_received_bytes_s": 3.0 * MIB, "net_sent_bytes_s": MIB}  # fmt: skip
    curves = {name: wave(scales.get(name, 0.0)) for name in names}
    of_host = request.url.params.get("subject", "").startswith("host:")
    curves["memory_given_bytes"] = wave(0.0, (32.0 if of_host else 16.0) * GIB)
    start = NOW - timedelta(hours=1)
    return ok(History(subject=request.url.params.get("subject", "fleet"), start=start, step_s=30, points=POINTS, source="samples", curves=curves))  # fmt: skip


def now(**changes: Any) -> FleetUsage:
    sums = UsageTotals(
        vms=4, cpu_cores=6.4, cpu_percent=40, memory_used_bytes=9 * GIB, memory_given_bytes=16 * GIB,
        disk_read_bytes_s=30 * MIB, disk_write_bytes_s=4 * MIB, net_received_bytes_s=2 * MIB, net_sent_bytes_s=MIB,
    )  # fmt: skip
    read = HostUsage(host=HOST_ID, name="kvm-a", source="libvirt", time=NOW, age_s=2, cpu_cores=5, cpu_percent=62,
                   memory_used_bytes=12 * GIB, memory_bytes=32 * GIB, vms=sums)  # fmt: skip
    silent = HostUsage(host=OTHER_HOST_ID, name="kvm-b", source="libvirt", note="does not respond")
    return FleetUsage(time=NOW, fleet=changes.get("fleet", sums), hosts=[read, silent], age_s=2)


def samples() -> SamplesFrame:
    vms = {}
    for number, vm in enumerate(fleet()):
        if vm.state == "running":
            vms[vm.id] = VMSample(
                cpu_cores=0.4 * number + 0.1, cpu_percent=22.0 * number % 100, memory_used_bytes=(number + 1) * 200 * MIB,
                memory_given_bytes=vm.memory_bytes, disk_read_bytes_s=number * MIB, disk_write_bytes_s=number * 70_000,
                net_received_bytes_s=number * 9000, net_sent_bytes_s=number * 500,
            )  # fmt: skip
    return SamplesFrame(time=NOW, host=HOST_ID, vms=vms, hosts={HOST_ID: HostSample(cpu_percent=62, period_s=5)})


def measured() -> Stream:
    hosts = [host(), host(id=OTHER_HOST_ID, name="kvm-b")]
    return Stream(live(), inventory(fleet(), hosts), samples())


def wire(**routes: Any) -> Wire:
    answers = {"GET /api/monitoring/metrics": lambda _: ok(now()), "GET /api/monitoring/history": history}
    return Wire(routes=answers | routes)
