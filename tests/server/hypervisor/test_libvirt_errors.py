"""libvirt's errors as NovaCron errors. The texts are those of libvirt 9.0 and QEMU 7.2."""

from __future__ import annotations

import libvirt
import pytest

from novacron_core import errors
from novacron_server.hypervisor import faults
from tests.support.libvirt_objects import libvirt_error


class FakeConnection:
    def __init__(self, alive: int) -> None:
        self.alive = alive

    def isAlive(self) -> int:
        return self.alive


@pytest.mark.parametrize(
    ("code", "text", "kind", "says"),
    [
        (libvirt.VIR_ERR_NO_DOMAIN, "Domain not found: no domain with matching uuid 'x'", errors.NotFound, "VM not found"),
        (libvirt.VIR_ERR_NO_STORAGE_VOL, "Storage volume not found", errors.NotFound, "volume not found"),
        (libvirt.VIR_ERR_OPERATION_INVALID, "Requested operation is not valid: domain is already running",
         errors.Conflict, "already running"),
        (libvirt.VIR_ERR_OPERATION_INVALID, "Requested operation is not valid: network 'default' is not active",
         errors.Conflict, "network is not active"),
        (libvirt.VIR_ERR_OPERATION_FAILED, "operation failed: domain 'a' already exists with uuid x",
         errors.Conflict, "already exists on this host"),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, "Timed out during operation: cannot acquire state change lock (held by x)",
         errors.Conflict, "busy"),
        (libvirt.VIR_ERR_INTERNAL_ERROR,
         'internal error: qemu unexpectedly closed the monitor: Failed to get "write" lock', errors.Conflict,
         "in use by another running VM"),
        (libvirt.VIR_ERR_INTERNAL_ERROR,
         'internal error: process exited: Failed to get shared "write" lock\nIs another process using the image [x]?',
         errors.Conflict, "in use by another"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, "cannot write to stream: No space left on device", errors.Conflict, "no space"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "cannot set up guest memory 'pc.ram': Cannot allocate memory",
         errors.Conflict, "free memory"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: No more available PCI slots", errors.Conflict,
         "no free PCI slot"),
        (libvirt.VIR_ERR_OPERATION_FAILED, "operation failed: unplug of device was rejected by the guest",
         errors.Conflict, "has not released"),
        (libvirt.VIR_ERR_INTERNAL_ERROR,
         "internal error: Child process (/usr/bin/qemu-img resize /srv/pools/hot/web.qcow2 1073741824) unexpected exit"
         " status 1: qemu-img: Can't resize a v2 image which has snapshots\n", errors.Conflict,
         "its disk has snapshots inside"),
        (libvirt.VIR_ERR_INTERNAL_ERROR,
         "internal error: Child process (LC_ALL=C /usr/bin/qemu-img resize /srv/pools/hot/web.qcow2 1) unexpected exit"
         " status 1: qemu-img: Could not open '/srv/pools/hot/web.qcow2': Image is corrupt", errors.Internal,
         "cannot start the VM: qemu-img: Could not open 'web.qcow2': Image is corrupt"),
        (libvirt.VIR_ERR_INTERNAL_ERROR,
         f"internal error: Child process (/usr/bin/qemu-img create /srv/{'x' * 400}) unexpected fatal signal 11",
         errors.Internal, "qemu-img failed and gave no reason"),
        (libvirt.VIR_ERR_NO_SUPPORT, "this function is not supported by the connection driver: virX",
         errors.Unsupported, "does not support that"),
        (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "unsupported configuration: x", errors.Unsupported, "does not support that"),
        (libvirt.VIR_ERR_XML_ERROR, "XML error: x", errors.InvalidArgument, "XML error"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: \x1b[31mboo\x9b\nsecond line", errors.Internal, "[31mboo"),
        (0, "", errors.Internal, "no reason"),
    ],
)  # fmt: skip
def test_each_error_has_its_class_and_message(
    code: int, text: str, kind: type[errors.NovaCronError], says: str
) -> None:
    error = faults.translate(libvirt_error(code, text), "start the VM")
    assert type(error) is kind
    assert error.detail.startswith("cannot start the VM: ")
    assert says in error.detail
    assert error.detail.isprintable()
    assert "/srv" not in error.detail
    assert len(error.detail) < 400


def test_lost_connection_is_distinguished_from_a_refusal() -> None:
    refusal = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket to virtlogd", libvirt.VIR_FROM_RPC)
    assert not faults.is_lost(refusal, FakeConnection(1))
    assert faults.is_lost(refusal, FakeConnection(0))
    closing = libvirt_error(
        libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: client socket is closed", libvirt.VIR_FROM_RPC
    )
    assert faults.is_lost(closing, FakeConnection(1))
