"""The common part of the VM list and the VM page: the actions on the chosen VMs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.list_screen import ListScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import ADOPT, HAND_OVER, RELEASE, SET_UP_CONSOLE, Verb
from novacron_tui.vms.bulk import verb_of
from novacron_tui.vms.bulk_panel import BulkPanel
from novacron_tui.vms.perform import VMActionRunner


async def show_bulk(screen: BaseScreen, runner: VMActionRunner, bulk: Operation) -> None:
    """Show the results of a bulk, and perform it again on the VMs chosen there. Must be called from a worker."""
    keys = await screen.show_dialog(BulkPanel(bulk, screen.session, screen.glyphs))
    vms = [vm for key in keys or () if (vm := screen.session.store.vms.get(key))]
    if vms and (verb := verb_of(bulk)) is not None:
        await runner.perform(verb, vms, as_bulk=True)


class VMScreen(ListScreen):
    """A subclass overrides `chosen`: the VMs that an action applies to."""

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.vm_actions = VMActionRunner(self)
        self._refusals_of: Sequence[VM] = ()
        self._refusals_when: tuple[object, ...] = ()
        self._refusals: dict[Verb, str | None] = {}

    def chosen(self) -> Sequence[VM]:
        raise NotImplementedError

    def subject(self, action: Action[Any]) -> Any:
        return next(iter(self.chosen()), None)

    def subjects(self, action: Action[Any]) -> Sequence[Any]:
        return self.chosen() if isinstance(action, Verb) else super().subjects(action)

    def why_not(self, action: Action[Any]) -> str | None:
        if not isinstance(action, Verb):
            return super().why_not(action)
        chosen, session = self.chosen(), self.session
        when = (session.store.version, session.user, frozenset(session.in_flight))
        if chosen is not self._refusals_of or when != self._refusals_when:
            self._refusals_of, self._refusals_when, self._refusals = chosen, when, {}
        if action not in self._refusals:
            self._refusals[action] = self._refusal_of(action, chosen)
        return self._refusals[action]

    def _refusal_of(self, action: Verb, chosen: Sequence[VM]) -> str | None:
        """The sentence for these VMs. It is cached until they or the store change: with ten thousand marked VMs the
        footer asks at every key."""
        first: str | None = None
        for vm in chosen:  # one VM that allows it is enough
            if (refused := self.vm_actions.why_not(action, vm)) is None:
                return None
            first = first or refused
        return first or self.vm_actions.why_not(action, None)

    async def create_vm(self) -> None:
        """Show the form; when it was sent, follow the operation."""
        from novacron_tui.vms.create import CreateVMForm

        op = await self.show_dialog(CreateVMForm(self.session))
        if op is not None:
            self.follow_created(op)
            self.follow(op, "creating")

    async def hand_over(self) -> None:
        """Ask to whom the chosen VMs go, and send it."""
        from novacron_tui.vms import ownership

        await ownership.hand_over(self, self._allowing(HAND_OVER))

    async def adopt(self) -> None:
        """Ask into which tenant the chosen unmanaged VMs go, and send it."""
        from novacron_tui.vms import ownership

        await ownership.adopt(self, self._allowing(ADOPT))

    async def release(self) -> None:
        """Ask, and stop managing the chosen VMs."""
        from novacron_tui.vms import ownership

        await ownership.release(self, self._allowing(RELEASE))

    def show_log(self, vm: VM) -> None:
        """Show what the VM has printed on its serial console."""
        from novacron_tui.screens.console_log import ConsoleLogScreen

        self.app.push_screen(ConsoleLogScreen(self.session, self.glyphs, vm))

    async def set_up_console(self, vm: VM) -> None:
        """Give the VM a serial console that is logged."""
        await self.vm_actions.perform(SET_UP_CONSOLE, [vm])

    def _allowing(self, action: Verb) -> list[VM]:
        """The chosen VMs that allow an action."""
        return [vm for vm in self.chosen() if self.vm_actions.why_not(action, vm) is None]

    def follow_created(self, op: Operation) -> None:
        """Called when an operation that creates a VM was accepted."""
