"""A crash, and a fleet whose host does not respond, for tests of the console."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import VM, Crash, State
from tests.support.console.wire import Stream
from tests.support.console.world import NOW, fleet, host, inventory, live, samples

CRASH = Crash(
    reason="ended unexpectedly",
    at=NOW - timedelta(minutes=3),
    found_at=NOW - timedelta(minutes=3),
    log=[
        "char device redirected to /dev/pts/0 (label charserial0)",
        "2026-11-23T11:57:00.100000Z qemu-system-x86_64: [red]terminating[/red] on signal 11\x1b[2J",
        "2026-11-23 11:57:00.123+0000: shutting down, reason=crashed",
    ],
)


def unknown_fleet() -> list[VM]:
    """The fleet as it is shown while its host does not respond."""
    lost = {
        "state": State.UNKNOWN,
        "state_since": NOW - timedelta(minutes=2),
        "reason": "lost connection to libvirt",
        "seen_at": NOW - timedelta(minutes=2),
    }
    return [msgspec.structs.replace(vm, last_state=vm.state, **lost) for vm in fleet()]


def away() -> Stream:
    """Samples came until the host was lost."""
    down = host(status=HostStatus.DOWN, detail="lost connection to libvirt")
    return Stream(live(), inventory(fleet()), samples(0), inventory(unknown_fleet(), [down], seq=11))
