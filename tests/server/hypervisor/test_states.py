"""Domain states and reasons that no real host takes on demand."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from novacron_core.api.vms import State
from novacron_server.hypervisor.vms import domains
from novacron_server.hypervisor.vms.states import read_state
from tests.support.libvirt_objects import Thing, libvirt_error

PAUSED_MIGRATION = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


def _raises(error: Any) -> Any:
    def call() -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("job", "migrating"),
    [
        ([libvirt.VIR_DOMAIN_JOB_UNBOUNDED, 1, 2], True),
        ([libvirt.VIR_DOMAIN_JOB_NONE, 0, 0], False),
        (_raises(libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "statistics only on the source host")), True),
        (_raises(libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "not supported")), False),
    ],
)
def test_only_a_job_makes_a_paused_domain_a_migrating_one(job: Any, migrating: bool) -> None:
    assert domains._is_migrating(Thing("vm", jobInfo=lambda: job() if callable(job) else job)) is migrating
    state, _ = read_state(*PAUSED_MIGRATION, saved=False, migrating=migrating)
    assert state is (State.MIGRATING if migrating else State.PAUSED)


def test_io_error_names_the_disk_that_has_no_space() -> None:
    full, failed = libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE, libvirt.VIR_DOMAIN_DISK_ERROR_UNSPEC
    assert domains._io_error(Thing("vm", diskErrors={"vdb": full})) == "no space left for vdb"
    both = Thing("vm", diskErrors={"vdb": full, "vda": failed})
    assert domains._io_error(both) == "no space left for vdb; I/O error on vda"
    assert domains._io_error(Thing("vm", diskErrors={})) == ""
    assert domains._io_error(Thing("vm", diskErrors=_raises(libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "no")))) == ""
