"""A VM was started when it runs, not when libvirt has accepted the call."""

from __future__ import annotations

import pytest

from novacron_core.api.operations import OperationState
from novacron_core.api.vms import CREATE, START, State
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.vms.procedures.power import why_not_started
from tests.support.requests import succeeded, vm_request
from tests.support.server import LiveServer


@pytest.mark.parametrize(
    ("state", "reason", "sentence"),
    [
        (State.RUNNING, "", ""),
        (State.PAUSED, "", "the VM has started, but is paused. Resume it"),
        (State.PAUSED, "no space left for vda", "the VM has started, but is paused: no space left for vda. Resume it"),
        (State.STOPPED, "", "the VM is stopped right after its start"),
        (State.CRASHED, "the guest panicked", "the VM is crashed right after its start: the guest panicked"),
    ],
)
def test_what_a_started_vm_does_instead_is_said(state: State, reason: str, sentence: str) -> None:
    assert why_not_started(DomainFacts(uuid="u", name="n", state=state, reason=reason)) == sentence


async def test_vm_that_stops_at_once_was_not_started(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await succeeded(server, await server.admin.call(CREATE, body=vm_request(start=False)))
    start = LibvirtHost.start

    async def start_and_end(host: LibvirtHost, vm_id: str) -> None:
        await start(host, vm_id)
        await host.power_off(vm_id)

    monkeypatch.setattr(LibvirtHost, "start", start_and_end)
    ended = await server.ended(await server.admin.call(START, vm_id=created.target.id))
    assert (ended.state, ended.problem and ended.problem.detail) == (
        OperationState.FAILED,
        "the VM is stopped right after its start: powered off",
    )
