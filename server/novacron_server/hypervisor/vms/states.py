"""Maps libvirt's domain states and reasons (virDomainState) to NovaCron's."""

from __future__ import annotations

import libvirt

from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import ENDED_UNEXPECTEDLY

MANAGED_SAVE_AWARE = frozenset({libvirt.VIR_DOMAIN_SHUTOFF})
"""States whose meaning depends on whether a saved memory image exists."""

_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: State.UNKNOWN,
    libvirt.VIR_DOMAIN_RUNNING: State.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: State.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: State.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: State.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: State.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: State.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: State.PAUSED,
}
# States that depend on the reason.
_BY_REASON = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP): State.STARTING,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN): State.STOPPING,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): State.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): State.FAILED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): State.CRASHED,
}
PAUSED_BY_MIGRATION = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
"""Also the state of a VM that was paused when its memory was saved, after it was restored: only a job tells."""
PAUSED_BY_IO_ERROR = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)
CRASHED = frozenset(
    {
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED),
        (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_UNKNOWN),
        (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED),
    }
)
"""The states of a guest that crashed and was preserved, with its memory."""
_CLEAN_ENDS = frozenset(
    {
        libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN,
        libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED,
        libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED,
        libvirt.VIR_DOMAIN_SHUTOFF_SAVED,
        libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT,
    }
)
"""The reasons of a domain that is off which say that nothing crashed. A libvirtd that was restarted knows none."""
_REASONS = {
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED): "migration cancelled",
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY): "post-copy migration",
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED): "post-copy migration failed",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SAVE): "saving memory",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_DUMP): "dumping memory",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): "I/O error",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_WATCHDOG): "watchdog",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT): "from snapshot",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN): "shutting down",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT): "taking a snapshot",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): "the guest panicked",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY): "post-copy migration",
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED): "post-copy migration failed",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN): "shutdown",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED): "powered off",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): ENDED_UNEXPECTEDLY,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED): "migrated away",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SAVED): "saved",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): "failed to start",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT): "from snapshot",
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED): "guest kernel panic",
    (libvirt.VIR_DOMAIN_PMSUSPENDED, 0): "suspended by the guest",
    (libvirt.VIR_DOMAIN_PMSUSPENDED, 1): "suspended to disk by the guest",
}


def read_state(state: int, reason: int, *, saved: bool, migrating: bool = False) -> tuple[State, str]:
    """The state and the reason, empty if there is nothing special. A state of a newer libvirt is `unknown`.

    `migrating`: a migration of the domain is in progress.
    """
    if saved and state == libvirt.VIR_DOMAIN_SHUTOFF:
        return State.SAVED, ""
    if migrating:
        return State.MIGRATING, "migration"
    mapped = _BY_REASON.get((state, reason)) or _STATES.get(state, State.UNKNOWN)
    return mapped, _REASONS.get((state, reason), "")


def ended_cleanly(state: int, reason: int) -> bool:
    """Whether a domain is off, and libvirt knows that its last run ended without a crash."""
    return state == libvirt.VIR_DOMAIN_SHUTOFF and reason in _CLEAN_ENDS


def is_preserved(state: int, reason: int) -> bool:
    """Whether the guest crashed, and libvirt keeps its memory until it is reset or powered off."""
    return state == libvirt.VIR_DOMAIN_CRASHED or (state, reason) in CRASHED
