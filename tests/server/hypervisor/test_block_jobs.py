"""A disk that was unplugged while it was copied has no block job: that is an answer, not a reason to try for ever."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from novacron_server.hypervisor.vms import disks
from tests.support.libvirt_objects import Thing, libvirt_error


def domain(error: Any) -> Thing:
    def refuse() -> Any:
        raise error

    return Thing("web", isActive=1, blockJobInfo=refuse, blockJobAbort=refuse, XMLDesc="<domain/>")


def test_job_of_an_unplugged_disk_is_none() -> None:
    gone = libvirt_error(libvirt.VIR_ERR_INVALID_ARG, "invalid argument: disk 'vdb' not found in domain")
    connection = Thing("host", lookupByUUIDString=domain(gone))
    assert disks.block_job(connection, "u", "vdb") is None
    disks.abort_copy(connection, "u", "vdb")


def test_other_refusals_are_raised() -> None:
    other = libvirt_error(libvirt.VIR_ERR_INVALID_ARG, "invalid argument: bandwidth must be positive")
    connection = Thing("host", lookupByUUIDString=domain(other))
    with pytest.raises(libvirt.libvirtError):
        disks.block_job(connection, "u", "vdb")
    with pytest.raises(libvirt.libvirtError):
        disks.abort_copy(connection, "u", "vdb")
