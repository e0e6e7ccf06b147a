"""The rules for VM actions."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.vms import VM, State
from novacron_core.api.volumes import Volume
from novacron_core.rules.event_words import change_words, operation_words
from novacron_core.rules.operation_words import doing
from novacron_core.rules.vm_actions import VMAction, has_effect_already, why_not_vm
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume

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
        (VMAction.START, {State.STOPPED, State.SAVED, State.FAILED, State.CRASHED}),
        (VMAction.STOP, {State.RUNNING}),
        (VMAction.RESTART, {State.RUNNING}),
        (VMAction.RESET, {State.RUNNING, State.PAUSED}),
        (VMAction.POWER_OFF, {State.RUNNING, State.PAUSED, State.STARTING, State.STOPPING, State.MIGRATING}),
        (VMAction.PAUSE, {State.RUNNING}),
        (VMAction.RESUME, {State.PAUSED}),
        (VMAction.DISCARD_SAVED, {State.SAVED}),
        (VMAction.ACKNOWLEDGE, {State.CRASHED}),
        (VMAction.DELETE, {State.STOPPED, State.SAVED, State.FAILED, State.CRASHED}),
        (VMAction.SET_UP_CONSOLE, set(State) - {State.PROVISIONING, State.UNKNOWN}),
    ],
)
def test_states_that_allow_an_action(action: VMAction, allowed: set[State]) -> None:
    assert {state for state in State if why_not_vm(action, in_state(state), None) is None} == allowed


def test_crashed_guest_that_holds_its_memory_is_reset_or_powered_off() -> None:
    crashed = in_state(State.CRASHED, preserved=True)
    allowed = {action for action in VMAction if why_not_vm(action, crashed, None) is None}
    assert allowed == {
        VMAction.RESET, VMAction.POWER_OFF, VMAction.SET_UP_CONSOLE, VMAction.HAND_OVER, VMAction.RELEASE
    }  # fmt: skip
    assert "still holds its memory" in (why_not_vm(VMAction.ACKNOWLEDGE, crashed, None) or "")
    assert not has_effect_already(VMAction.POWER_OFF, crashed)


def test_crashed_vm_that_is_off_needs_no_power_off() -> None:
    crashed = in_state(State.CRASHED)
    assert has_effect_already(VMAction.POWER_OFF, crashed)
    assert "already off" in (why_not_vm(VMAction.POWER_OFF, crashed, None) or "")
    assert why_not_vm(VMAction.ACKNOWLEDGE, VM_, None) == "web-01 is running: it has no crash to acknowledge"


def test_disks_of_a_crashed_vm_can_be_changed_once_it_is_off() -> None:
    volume = Volume(
        id="v", name="data", size_bytes=1, allocated_bytes=1, format="qcow2", pool="p", host="h", tenant="t", tier="hot"
    )

    def why_not(vm: VM) -> str | None:
        return why_not_volume(VolumeAction.ATTACH, volume, vm, operation=None, vm_operation=None)

    assert why_not(in_state(State.CRASHED)) is None
    assert "is crashed" in (why_not(in_state(State.CRASHED, preserved=True)) or "")


def test_refusal_names_the_vm_and_the_remedy() -> None:
    assert why_not_vm(VMAction.DELETE, VM_, None) == "web-01 is running: shut it down first"
    assert why_not_vm(VMAction.START, VM_, None) == "web-01 is already running"


def test_busy_vm_names_the_actor() -> None:
    refused = why_not_vm(VMAction.PAUSE, VM_, operation("vm.restart"))
    assert refused == "web-01 is busy: restart requested (by ann)"


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


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("running", "crashed", "crashed while running"),
        ("paused", "crashed", "crashed while paused"),
        ("running", "stopped", "stopped, was running"),
        ("up", "down", "down, was up"),
        ("", "running", "running"),
        ("running", "", ""),
        ("active", "active", "active"),
    ],
)
def test_change_of_a_state_in_words(before: str, after: str, words: str) -> None:
    assert change_words(before, after) == words


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("vm.discard-saved", "saved-memory discard failed"),
        ("vm.acknowledge", "crash acknowledgement failed"),
        ("vm.bulk", "bulk action failed"),
    ],
)
def test_failure_in_words(kind: str, words: str) -> None:
    assert operation_words(kind, "failed") == words


@pytest.mark.parametrize("odd", ["transient", "simulated"])
def test_vm_without_a_definition_of_its_own_is_given_no_console(odd: str) -> None:
    refused = why_not_vm(VMAction.SET_UP_CONSOLE, in_state(State.RUNNING, **{odd: True}), None)
    assert refused is not None
    assert odd in refused
    assert "cannot be given a serial console" in refused


def test_transient_vm_that_has_crashed_can_only_be_acknowledged() -> None:
    gone = msgspec.structs.replace(VM_, state=State.CRASHED, transient=True)
    assert [action for action in VMAction if why_not_vm(action, gone, None) is None] == [VMAction.ACKNOWLEDGE]
    assert why_not_vm(VMAction.START, gone, None) == (
        "web-01 is gone since its crash, because it was transient: acknowledge the crash instead"
    )
    preserved = msgspec.structs.replace(gone, preserved=True)
    assert why_not_vm(VMAction.RESET, preserved, None) is None
