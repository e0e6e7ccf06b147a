"""The fixed world of storage with a VM that has two disks, a network interface with two addresses, and a past."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from novacron_core.api.operations import OperationState
from novacron_core.api.vms import NIC, VM, Disk
from novacron_core.values.sizes import GIB
from tests.support.console.metrics_world import history
from tests.support.console.storage_world import moving, storage, wire
from tests.support.console.wire import Stream, Wire
from tests.support.console.world import NOW, event, fleet, operation, samples

DISKS = [
    Disk(target="vda", bus="virtio", format="qcow2", volume="vol-1", source="hot/web-01-1a2b3c4d.qcow2",
         size_bytes=8 * GIB, tier="hot"),
    Disk(target="sda", device="cdrom", bus="sata", format="raw", source="debian-13.iso", size_bytes=GIB, read_only=True),
]  # fmt: skip
NICS = [NIC(mac="52:54:00:00:00:01", network="default", model="virtio", addresses=["192.168.122.21", "fe80::1"])]


def with_devices() -> list[VM]:
    first, *others = fleet()
    return [msgspec.structs.replace(first, disks=DISKS, nics=NICS), *others]


def page_wire(**routes: Any) -> Wire:
    return wire(**{"GET /api/monitoring/history": history, **routes})


def page_world(**changes: Any) -> Stream:
    failed = operation(
        "vm.restart", fleet()[0], state=OperationState.FAILED, created_at=NOW - timedelta(minutes=4), progress=None
    )
    stream = storage(vms=with_devices(), **{"operations": [moving(), failed], **changes})
    stream.say(event(11, fleet()[5], "vm.crashed", note="I/O error on vda"))
    stream.say(event(12, with_devices()[0], "vm.started", note="by the host"))
    stream.say(samples(5))
    return stream
