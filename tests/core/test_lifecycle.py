"""The rules for VM actions."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.vms import VM, State
from novacron_core.rules.operation_words import doing
from novacron_core.rules.vm_actions import VMAction, why_not_vm

VM_ = VM(id="1", name="web-01", host="h", state=State.RUNNING, vcpus=1, memory_bytes=1)


def operation(kind: str) -> Operation:
    target = Target(type="vm", id="1", name="web-01")
    return Operation(
        id="o", kind=kind, target=target, state=OperationState.RUNNING, created_at=datetime.now(UTC), actor="ann"
    )


def in_state(state: State, **more: object) -> VM:
    return msgspec.structs.replace(VM_, state=state, **more)


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (VMAction.START, {State.STOPPED, State.SAVED, State.FAILED}),
        (VMAction.STOP, {State.RUNNING}),
        (VMAction.RESTART, {State.RUNNING}),
        (VMAction.RESET, {State.RUNNING, State.PAUSED, State.CRASHED}),
        (
            VMAction.POWER_OFF,
            {State.RUNNING, State.PAUSED, State.STARTING, State.STOPPING, State.MIGRATING, State.CRASHED},
        ),
        (VMAction.PAUSE, {State.RUNNING}),
        (VMAction.RESUME, {State.PAUSED}),
        (VMAction.DISCARD_SAVED, {State.SAVED}),
        (VMAction.DELETE, {State.STOPPED, State.SAVED, State.FAILED}),
    ],
)
def test_states_that_allow_an_action(action: VMAction, allowed: set[State]) -> None:
    assert {state for state in State if why_not_vm(action, in_state(state), None) is None} == allowed


def test_refusal_names_the_vm_and_the_remedy() -> None:
    assert why_not_vm(VMAction.DELETE, VM_, None) == "web-01 is running: shut it down first"
    assert why_not_vm(VMAction.START, VM_, None) == "web-01 is already running"


def test_busy_vm_names_the_actor() -> None:
    refused = why_not_vm(VMAction.PAUSE, VM_, operation("vm.restart"))
    assert refused == "web-01 is busy: restarting (by ann)"


def test_power_off_supersedes_only_a_shutdown() -> None:
    assert why_not_vm(VMAction.POWER_OFF, in_state(State.STOPPING), operation("vm.stop")) is None
    assert why_not_vm(VMAction.POWER_OFF, in_state(State.RUNNING), operation("vm.migrate")) is not None


def test_reset_supersedes_only_a_restart() -> None:
    assert why_not_vm(VMAction.RESET, in_state(State.RUNNING), operation("vm.restart")) is None
    assert why_not_vm(VMAction.RESET, in_state(State.RUNNING), operation("vm.stop")) is not None


def test_unmanaged_and_protected_vms_are_not_deleted() -> None:
    assert "protected" in (why_not_vm(VMAction.DELETE, in_state(State.STOPPED, protected=True), None) or "")
    assert "is unmanaged" in (why_not_vm(VMAction.DELETE, in_state(State.STOPPED, unmanaged=True), None) or "")


def test_vm_on_a_host_that_is_down_refuses_every_action() -> None:
    assert all("not responding" in (why_not_vm(action, in_state(State.UNKNOWN), None) or "") for action in VMAction)


def test_every_action_has_words_for_its_progress() -> None:
    for action in VMAction:
        assert doing(f"vm.{action}") != action
    assert doing("vm.power-off") == "powering off"
    assert doing("vm.dance") == "dance"
