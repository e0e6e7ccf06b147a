"""When a VM is crashed: what libvirt says of it now, and the row of its last crash. Pure.

libvirt forgets how a run ended when libvirtd restarts; the row does not (G4).
"""

from __future__ import annotations

from datetime import datetime

from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.inventory.rows import CrashRow

_RAN_AGAIN = frozenset({State.RUNNING, State.PAUSED, State.SAVED, State.STOPPING, State.MIGRATING})


def is_over(facts: DomainFacts) -> bool:
    """Whether the VM has run since its crash, or was powered off after it: the crash is history."""
    return facts.ended_cleanly or facts.state in _RAN_AGAIN


def new_crash(
    host_id: str, facts: DomainFacts, since: datetime | None, row: CrashRow | None, now: datetime
) -> CrashRow | None:
    """The row of a crash that libvirt reports and `row` does not hold; None if there is none.

    `since` is when the server saw the domain get its state, None for before its first read.
    """
    if facts.state is not State.CRASHED or (row is not None and not _is_newer(since, row)):
        return None
    return CrashRow(host_id=host_id, vm_id=facts.uuid, at=since, found_at=now, reason=facts.reason)


def current_crash(facts: DomainFacts, since: datetime | None, row: CrashRow | None) -> CrashRow | None:
    """The row, if it is about what the VM is now: neither about an earlier run, nor superseded by a newer crash."""
    if row is None or facts.state not in (State.CRASHED, State.STOPPED) or is_over(facts):
        return None
    return None if facts.state is State.CRASHED and _is_newer(since, row) else row


def _is_newer(since: datetime | None, row: CrashRow) -> bool:
    return since is not None and since > row.found_at
