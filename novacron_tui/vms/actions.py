"""The actions on a VM as data (key, words, endpoint, rule that refuses it), and how they are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novacron_core.api import console_logs, operations, vms
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, State
from novacron_core.rules import vm_actions
from novacron_core.rules.operation_words import Words, words
from novacron_core.rules.vm_actions import state_words
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.store import Store

if TYPE_CHECKING:  # the client imports httpx: not before the first paint
    from novacron_core.client import Client


@dataclass(frozen=True, eq=False)
class Verb(Action[VM]):
    """An action on a VM. `warning` is shown before it."""

    group: str = "VM"
    warning: str = ""

    @property
    def words(self) -> Words:
        """What the operation is called: asked for, running and done."""
        return words(f"vm.{self.name}")


A = vm_actions.VMAction


def _by_rule(action: A) -> Callable[[VM, Store], str | None]:
    return lambda vm, store: vm_actions.why_not_vm(action, vm, store.operation_on(vm))


# fmt: off
def _verb(
    action: A, key: str, label: str, help: str, endpoint: Endpoint[Any, Any, Any], danger: Danger = Danger.REVERSIBLE,
    warning: str = "", *, rare: bool = False,
) -> Verb:
    """The row of an action: the rules refuse it, and it runs on the VMs that the screen has chosen."""

    async def run(screen: Any, _vm: VM) -> None:
        await screen.vm_actions.perform(verb, list(screen.chosen()))

    verb = Verb(action, key, label, help, endpoint, _by_rule(action), danger, warning=warning, rare=rare, run=run,
        command=f"vm {action} {{names}}",
    )
    return verb


START = _verb(A.START, "s", "start", "Start the VM.", vms.START)
STOP = _verb(
    A.STOP, "x", "shut down", "Ask the guest to shut down; it may take time or ignore the request.", vms.STOP
)
PAUSE = _verb(A.PAUSE, "p", "pause", "Suspend its vCPUs and keep its memory.", vms.PAUSE)
RESUME = _verb(A.RESUME, "p", "resume", "Resume a paused VM.", vms.RESUME)
RESTART = _verb(A.RESTART, "t", "restart", "Ask the guest to restart.", vms.RESTART)
POWER_OFF = _verb(
    A.POWER_OFF, "X", "power off", "Power off immediately; unsaved guest data is lost.", vms.POWER_OFF,
    Danger.LOSES_WORK, "This powers off immediately. Data that the guest has not written to disk is lost.",
)
RESET = _verb(
    A.RESET, "T", "reset", "Hard-reset the VM; unsaved guest data is lost.", vms.RESET,
    Danger.LOSES_WORK, "This is a hard reset. Data that the guest has not written to disk is lost.",
)
DISCARD_SAVED = _verb(
    A.DISCARD_SAVED, "z", "discard memory", "Discard the saved memory; the VM starts afresh.", vms.DISCARD_SAVED,
    Danger.LOSES_WORK, "The guest's memory is lost, as if it had been powered off.", rare=True,
)
ACKNOWLEDGE = _verb(
    A.ACKNOWLEDGE, "A", "acknowledge", "Acknowledge the crash: the VM is shown as stopped.", vms.ACKNOWLEDGE, rare=True,
)
DELETE = _verb(
    A.DELETE, "D", "delete", "Delete the VM; its disks are kept by default.", vms.DELETE,
    Danger.DESTROYS, "Permanently removes the VM. Its disks stay as free volumes, unless they are deleted too.",
)
VERBS: tuple[Verb, ...] = (ACKNOWLEDGE, DISCARD_SAVED, START, STOP, PAUSE, RESUME, RESTART, POWER_OFF, RESET, DELETE)
"""The rare ones first: when they can be done, they are what the VM needs."""
INTERRUPTING = (STOP, RESTART, POWER_OFF, RESET, PAUSE)
"""What keeps a guest from serving, for a while or for good."""
STOPPING = (STOP, POWER_OFF)
"""What a transient VM does not outlive."""
HAND_OVER = Verb(
    A.HAND_OVER, "", "hand over", "Give the VM and its disks to a colleague, or to another tenant.", vms.HAND_OVER,
    _by_rule(A.HAND_OVER), Danger.REVERSIBLE, opens=True, run=lambda screen, _: screen.hand_over(),
    command="vm hand-over {names} --to USER",
)
ADOPT = Verb(
    A.ADOPT, "", "adopt", "Manage an unmanaged VM and the disks that it writes, for a tenant.", vms.ADOPT,
    _by_rule(A.ADOPT), Danger.REVERSIBLE, opens=True, run=lambda screen, _: screen.adopt(),
    command="vm adopt {names} --tenant TENANT",
)
RELEASE = Verb(
    A.RELEASE, "", "release", "Stop managing the VM and its disks: they stay as they are.", vms.RELEASE,
    _by_rule(A.RELEASE), Danger.LOSES_WORK, run=lambda screen, _: screen.release(), command="vm release {names}",
)
SET_UP_CONSOLE = Verb(
    A.SET_UP_CONSOLE, "", "set up console", "Give the VM a serial console that is logged, from its next start on.",
    console_logs.SET_UP, _by_rule(A.SET_UP_CONSOLE), Danger.REVERSIBLE, command="vm set-up-console {names}",
    run=lambda screen, vm: screen.set_up_console(vm),
)
LOG = Action[VM](
    "log", "L", "console log", "Show what the VM has printed on its serial console.", console_logs.READ, group="VM",
    opens=True, run=lambda screen, vm: screen.show_log(vm), command="vm log {names}",
)
CONSOLE_LOGS = (LOG, SET_UP_CONSOLE)
"""The second one is reached by its name."""
OWNERSHIP = (HAND_OVER, ADOPT, RELEASE)
"""What changes whose a VM is. They are reached by their names."""
CREATE = Action[VM](
    "create", "c", "create", "Create a VM from an image.", vms.CREATE, danger=Danger.REVERSIBLE, needs_one=False,
    group="VM", opens=True, run=lambda screen, _: screen.create_vm(), command="vm create --name NAME --image IMAGE",
)



def _why_no_crash(vm: VM, _store: Store) -> str | None:
    crashed = State.CRASHED in (vm.state, vm.last_state)
    return None if crashed else f"{vm.name} is {state_words(vm)}: it has not crashed"


CRASH = Action[VM](
    "crash", "enter", "why it crashed", "Show when and why the VM crashed, with QEMU's log.", vms.CRASH, _why_no_crash,
    group="VM", opens=True, rare=True, run=lambda screen, vm: screen.show_crash(vm),
)
COPY_ID = Action[VM](
    "copy-id", "y", "copy id", "Copy the ids of the VMs to the terminal's clipboard.", group="VM",
    run=lambda screen, _: screen.copy_ids([vm.id for vm in screen.chosen()]),
)
STOP_REST = Action[VM](
    "cancel", "C", "stop the rest", "Stop the bulk action: VMs that are queued are not changed.", operations.CANCEL,
    needs_one=False, group="List", rare=True, run=lambda screen, _: screen.stop_rest(), command="op cancel ID",
)
# fmt: on


async def send(verb: Verb, client: Client, vm: VM, key: str, *, disks: bool = False) -> Operation:
    """Send the action to the server. `key` makes repeated requests idempotent. Raises the server's error."""
    if verb is DELETE:
        query = vms.DeleteQuery(disks=disks)
        return await client.call(vms.DELETE, query=query, if_match=vm.generation, idempotency_key=key, vm_id=vm.id)
    if verb.endpoint is None:
        raise ValueError(f"{verb.name} has no endpoint")
    answer: Operation = await client.call(verb.endpoint, idempotency_key=key, vm_id=vm.id)
    return answer
