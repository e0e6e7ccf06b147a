"""The actions on a VM as data (key, words, endpoint, rule that refuses it), and how they are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novacron_core.api import vms
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_core.rules import vm_actions
from novacron_core.rules.operation_words import Words, words
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.store import Store

if TYPE_CHECKING:  # the client imports httpx: not before the first paint
    from novacron_core.client import Client


@dataclass(frozen=True)
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


START = Verb(
    name=A.START,
    key="s",
    label="start",
    help="Start the VM.",
    endpoint=vms.START,
    why_not=_by_rule(A.START),
    danger=Danger.REVERSIBLE,
)
STOP = Verb(
    name=A.STOP,
    key="x",
    label="shut down",
    help="Ask the guest to shut down; it may take time or ignore the request.",
    endpoint=vms.STOP,
    why_not=_by_rule(A.STOP),
    danger=Danger.REVERSIBLE,
)
PAUSE = Verb(
    name=A.PAUSE,
    key="p",
    label="pause",
    help="Suspend its vCPUs and keep its memory.",
    endpoint=vms.PAUSE,
    why_not=_by_rule(A.PAUSE),
    danger=Danger.REVERSIBLE,
)
RESUME = Verb(
    name=A.RESUME,
    key="p",
    label="resume",
    help="Resume a paused VM.",
    endpoint=vms.RESUME,
    why_not=_by_rule(A.RESUME),
    danger=Danger.REVERSIBLE,
)
RESTART = Verb(
    name=A.RESTART,
    key="t",
    label="restart",
    help="Ask the guest to restart.",
    endpoint=vms.RESTART,
    why_not=_by_rule(A.RESTART),
    danger=Danger.REVERSIBLE,
)
POWER_OFF = Verb(
    name=A.POWER_OFF,
    key="X",
    label="power off",
    help="Power off immediately; unsaved guest data is lost.",
    endpoint=vms.POWER_OFF,
    why_not=_by_rule(A.POWER_OFF),
    danger=Danger.LOSES_WORK,
    warning="This powers off immediately. Data that the guest has not written to disk is lost.",
)
RESET = Verb(
    name=A.RESET,
    key="T",
    label="reset",
    help="Hard-reset the VM; unsaved guest data is lost.",
    endpoint=vms.RESET,
    why_not=_by_rule(A.RESET),
    danger=Danger.LOSES_WORK,
    warning="This is a hard reset. Data that the guest has not written to disk is lost.",
)
DELETE = Verb(
    name=A.DELETE,
    key="D",
    label="delete",
    help="Delete the VM; its disks are kept by default.",
    endpoint=vms.DELETE,
    why_not=_by_rule(A.DELETE),
    danger=Danger.DESTROYS,
    warning="Deletion is permanent.",
)
VERBS: tuple[Verb, ...] = (START, STOP, PAUSE, RESUME, RESTART, POWER_OFF, RESET, DELETE)
CREATE = Action[VM](
    name="create",
    key="c",
    label="create",
    help="Create a VM from an image.",
    endpoint=vms.CREATE,
    danger=Danger.REVERSIBLE,
    needs_one=False,
    group="VM",
    opens=True,
)
COPY_ID = Action[VM]("copy-id", "y", "copy id", "Copy the VM's id to the terminal's clipboard.", group="VM")


async def send(verb: Verb, client: Client, vm: VM, key: str, *, disks: bool = False) -> Operation:
    """Send the action to the server. `key` makes repeated requests idempotent. Raises the server's error."""
    if verb is DELETE:
        query = vms.DeleteQuery(disks=disks)
        return await client.call(vms.DELETE, query=query, if_match=vm.generation, idempotency_key=key, vm_id=vm.id)
    if verb.endpoint is None:
        raise ValueError(f"{verb.name} has no endpoint")
    answer: Operation = await client.call(verb.endpoint, idempotency_key=key, vm_id=vm.id)
    return answer
