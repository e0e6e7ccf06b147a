"""What the list of VMs and the page of one have in common: the verbs, on whichever VMs are chosen there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_tui.actions import Action, refusal
from novacron_tui.connection.session import Session
from novacron_tui.screens.base import BaseScreen
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.vms.actions import COPY_ID, CREATE, Verb
from novacron_tui.vms.perform import VMActionRunner


class VMScreen(BaseScreen):
    """A subclass answers `chosen`: the VMs that a verb acts on."""

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(session, glyphs)
        self.performer = VMActionRunner(session, self.ask, self.say)
        self._judged: Sequence[VM] = ()
        self._judged_when: tuple[object, ...] = ()
        self._refusals: dict[Verb, str | None] = {}

    def chosen(self) -> Sequence[VM]:
        raise NotImplementedError

    def subject(self) -> VM | None:
        return next(iter(self.chosen()), None)

    def why_not(self, action: Action[Any]) -> str | None:
        if not isinstance(action, Verb):
            return refusal(action, self.session, self.subject())
        chosen, session = self.chosen(), self.session
        when = (session.store.version, session.who, frozenset(session.asked))
        if chosen is not self._judged or when != self._judged_when:
            self._judged, self._judged_when, self._refusals = chosen, when, {}
        if action not in self._refusals:
            self._refusals[action] = self._refusal_of(action, chosen)
        return self._refusals[action]

    def _refusal_of(self, action: Verb, chosen: Sequence[VM]) -> str | None:
        """The sentence for these VMs. It is kept until one of them, or what is known, changes: of ten thousand marked, the
        footer asks at every key."""
        first: str | None = None
        for vm in chosen:  # one that allows it is enough
            if (refused := self.performer.why_not(action, vm)) is None:
                return None
            first = first or refused
        return first or self.performer.why_not(action, None)

    async def do(self, action: Action[Any]) -> None:
        if isinstance(action, Verb):
            await self.performer.perform(action, list(self.chosen()))
        elif action is CREATE:
            await self._create()
        elif action is COPY_ID and (vm := self.subject()):
            self.app.copy_to_clipboard(vm.id)
            self.say(f"copied {vm.id}")

    async def _create(self) -> None:
        from novacron_tui.vms.create import CreateVM

        op = await self.app.push_screen_wait(CreateVM(self.session))
        if op is not None:
            self.session.followed[op.id] = op
            self.say(f"{op.target.name}: creating accepted", "busy")
            self.made(op)
            self.session.changed()

    def made(self, op: Operation) -> None:
        """A VM is being made by this operation."""
